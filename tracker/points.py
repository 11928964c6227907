"""Points of series, linked in columns: the one kind of record that comes by the hundred thousand.

The `Metric` records of a frame are decoded together and kept as packed columns, so that a point
costs no object that lives on, and neither the wire nor the manager looks at it again.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable

import msgspec

from pllib import identity, linked
from pllib.log import Frame, record_bodies
from pllib.records import METRIC_TAG, UNDECODABLE, Metric

Finder = Callable[[Metric], linked.PointSource]
"""Tells what a signature's points are of; raises LookupError when the frame has not said it."""

UNDEFINED = "its frame does not define the signature"
OUT_OF_RANGE = "a number is out of range"
"""Why a record is skipped."""

_ARRAY = struct.Struct(">BI")  # msgpack's array 32: 0xdd and the number of elements
_decode_one = msgspec.msgpack.Decoder(Metric).decode
_decode_all = msgspec.msgpack.Decoder(list[Metric]).decode


def set_apart(payload: bytes) -> tuple[list[memoryview], list[memoryview]]:
    """Return the bodies of a frame's records, and apart from the others those of points."""
    others: list[memoryview] = []
    points: list[memoryview] = []
    for body in record_bodies(payload):
        if len(body) > 1 and body[1] == METRIC_TAG:  # behind one byte that opens the array
            points.append(body)
        else:
            others.append(body)
    return others, points


def decode_metrics(bodies: list[memoryview]) -> tuple[list[Metric], int]:
    """Decode records at once; return them and how many can't be read."""
    try:
        return _decode_all(_ARRAY.pack(0xDD, len(bodies)) + b"".join(bodies)), 0
    except UNDECODABLE:
        metrics = [metric for body in bodies for metric in _decoded(body)]
        return metrics, len(bodies) - len(metrics)


def _decoded(body: memoryview) -> list[Metric]:
    try:
        return [_decode_one(body)]
    except UNDECODABLE:
        return []


class Columns:
    """The points of one batch while it is made."""

    def __init__(self) -> None:
        self._sources: dict[linked.PointSource, int] = {}
        self._activities: dict[str, int] = {}
        self._frames: list[tuple[bytes, int]] = []
        self._source, self._activity = array("I"), array("I")
        self._has_step = bytearray()
        self._seq, self._step, self._at_ns, self._value = _pack([])

    def add(self, frame: Frame, metrics: list[Metric], find: Finder) -> dict[str, int]:
        """Add a frame's points; return how many can't be, by reason."""
        sources = self._find_sources(metrics, find)
        known = [metric for metric in metrics if metric.signature in sources]
        n_defined = len(known)
        try:
            activities, columns = self._number_activities(frame.log_id, known), _pack(known)
        except OverflowError:
            known = [metric for metric in known if _fits(metric)]
            activities, columns = self._number_activities(frame.log_id, known), _pack(known)
        if known:
            self._frames.append((frame.log_id, frame.number))
            self._source.extend([sources[metric.signature] for metric in known])
            self._activity.extend([activities[metric.activity] for metric in known])
            self._has_step.extend([metric.step is not None for metric in known])
            self._seq.extend(columns[0])
            self._step.extend(columns[1])
            self._at_ns.extend(columns[2])
            self._value.extend(columns[3])
        n_skipped = {UNDEFINED: len(metrics) - n_defined, OUT_OF_RANGE: n_defined - len(known)}
        return {reason: count for reason, count in n_skipped.items() if count}

    def _find_sources(self, metrics: list[Metric], find: Finder) -> dict[int, int]:
        """Return the number of each signature's source, without those that are not known."""
        found = {}
        for signature, metric in {m.signature: m for m in reversed(metrics)}.items():
            try:
                source = find(metric)
            except LookupError:
                continue
            found[signature] = self._sources.setdefault(source, len(self._sources))
        return found

    def _number_activities(self, log_id: bytes, metrics: list[Metric]) -> dict[int, int]:
        numbers = self._activities
        return {
            seq: numbers.setdefault(identity.activity(log_id, seq), len(numbers))
            for seq in dict.fromkeys([metric.activity for metric in metrics])
        }

    def finish(self) -> linked.Points | None:
        """Return the points, None if there are none."""
        if not self._frames:
            return None
        return linked.Points(
            list(self._sources), list(self._activities), self._frames, self._source.tobytes(),
            self._activity.tobytes(), bytes(self._has_step), self._seq.tobytes(),
            self._step.tobytes(), self._at_ns.tobytes(), self._value.tobytes(),
        )  # fmt: skip


Packed = tuple["array[int]", "array[int]", "array[int]", "array[float]"]
"""seq, step (0 for none), at_ns, value"""


def _pack(metrics: list[Metric]) -> Packed:
    """Raises:
    OverflowError: A number has more than 63 bits, as one in msgpack may.
    """
    return (
        array("q", [metric.seq for metric in metrics]),
        array("q", [metric.step or 0 for metric in metrics]),
        array("q", [metric.at_ns for metric in metrics]),
        array("d", [metric.value for metric in metrics]),
    )


def _fits(metric: Metric) -> bool:
    try:
        _pack([metric])
    except OverflowError:
        return False
    return metric.activity >= 0
