"""Series of metrics: how a point is written, and what a session says of all points at its end.

A point is `pllib.records.Metric` packed by hand, in fixed places: one call of C straight into the
spool, where encoding and copying are two (89 against 229 ns, CPython 3.11).  A writer only collects
points as it goes, and sums them up when it moves on to another chunk, so that there are never more
than a chunk holds.
"""

from __future__ import annotations

import struct
from math import isfinite, isnan, nan
from typing import TYPE_CHECKING, Any

from .foreign import is_theirs
from .log import record_bytes
from .records import Summary, encode
from .shape import MAX_SHAPES, Shape

if TYPE_CHECKING:
    from .recording import Recording
    from .writer import Writer

HEAD = b"\x97\x07\xce"
"""An array of seven, the tag of `Metric`, and that its `seq` follows in 32 bits."""
U16, U32, U64, I64, F64, NIL = 0xCD, 0xCE, 0xCF, 0xD3, 0xCB, 0xC0
"""msgpack's types; each byte is followed by its number."""
pack_stepped = struct.Struct(">3sI9sqBQBd").pack_into
_pack_own_step = struct.Struct(">3sI18sQBd").pack_into
_pack_no_step = struct.Struct(">3sI20sQBd").pack_into
_START, _OWN_STEP = struct.Struct(">BIBHB"), struct.Struct(">BIBHBqB")
_NO_STEP = struct.Struct(">BQBQBB")
"""In the middle of a point: activity, signature, step, and that the time follows."""
MAX_LINES = 8
"""Of one name: executions that measure the same by turns, such as training and validation."""
STEPPED_BYTES, NO_STEP_BYTES = 42, 44
POINT_BYTES = 48
"""What either takes up in the spool, so that one sum serves both; hence wide numbers in one."""
assert record_bytes(STEPPED_BYTES) == record_bytes(NO_STEP_BYTES) == POINT_BYTES


class Totals:
    """All points of one name that one writer wrote."""

    __slots__ = (
        "first", "first_seq", "last", "last_seq", "least", "most", "n_not_finite", "n_points",
        "shape", "total",
    )  # fmt: skip

    def __init__(self, shape: Shape, seq: int) -> None:
        self.shape = shape
        self.n_points = self.n_not_finite = 0
        self.first = self.last = nan
        self.first_seq, self.last_seq = seq, -1
        self.least: float | None = None
        self.most: float | None = None
        self.total = 0.0

    def add(self, points: list[float], first_seq: int, last_seq: int) -> None:
        """Add points of one line, in order; those that are not finite are only counted."""
        self.n_points += len(points)
        total = sum(points)
        if not isfinite(total):
            finite = [point for point in points if isfinite(point)]
            self.n_not_finite += len(points) - len(finite)
            points, total = finite, sum(finite)
        if not points:
            return
        if self.least is None or self.most is None:
            self.least = self.most = points[0]
        if isnan(self.first) or first_seq < self.first_seq:
            self.first, self.first_seq = points[0], first_seq
        self.least, self.most = min(self.least, min(points)), max(self.most, max(points))
        if last_seq > self.last_seq:
            self.last, self.last_seq = points[-1], last_seq
        self.total += total

    def merge(self, other: Totals) -> None:
        """Add what another writer wrote."""
        begins_later = other.first_seq > self.first_seq
        if self.least is None or (other.least is not None and not begins_later):
            self.first = other.first
        if not begins_later:
            self.shape, self.first_seq = other.shape, other.first_seq
        if other.last_seq > self.last_seq:
            self.last, self.last_seq = other.last, other.last_seq
        self.n_points += other.n_points
        self.n_not_finite += other.n_not_finite
        self.total += other.total
        self.least = min((v for v in (self.least, other.least) if v is not None), default=None)
        self.most = max((v for v in (self.most, other.most) if v is not None), default=None)

    def summary(self, seq: int, number: int) -> bytes:
        """Return the record that says it, given the number of its shape."""
        return encode(
            Summary(
                seq, number, self.n_points, self.n_not_finite, self.first, self.last, self.least,
                self.most, self.total,
            )
        )  # fmt: skip


class Line:
    """A series as one writer writes it into one chunk for one execution, in one unit.

    `others` are the lines of the same name, this one included, by execution and unit.
    """

    __slots__ = (
        "first_seq", "last_seq", "length", "middle", "others", "owner", "pack", "points", "start",
        "stepped", "totals", "unit", "writer",
    )  # fmt: skip

    def __init__(
        self, writer: Writer, unit: Any, totals: Totals, others: dict[Any, Line], seq: int
    ) -> None:
        self.writer = writer
        self.unit = unit
        self.totals = totals
        self.others = others
        self.points: list[float] = []
        self.first_seq, self.last_seq = seq, -1
        self.owner: Recording | None = None

    def bind(self, owner: Recording, number: int) -> None:
        """Write for an execution from now on, under the number of its signature.

        Raises:
            struct.error: The execution has not begun, or a number is beyond its place.
        """
        activity, step = owner.seq, owner.step
        self.start = _START.pack(U32, activity, U16, number, I64)
        self.stepped = step is not None
        if step is None:
            self.middle = _NO_STEP.pack(U64, activity, U64, number, NIL, U64)
            self.pack, self.length = _pack_no_step, NO_STEP_BYTES
        else:
            self.middle = _OWN_STEP.pack(U32, activity, U16, number, I64, step, U64)
            self.pack, self.length = _pack_own_step, STEPPED_BYTES
        self.owner = owner

    def fold(self) -> None:
        points, self.points = self.points, []
        self.owner = None
        if points:
            self.totals.add(points, self.first_seq, self.last_seq)


def line_of(
    writer: Writer, owner: Recording, name: Any, unit: Any, shape: Shape, seq: int
) -> Line | None:
    """Return the line that an execution goes on with; None if there are too many series.

    Args:
        unit: As text.
        shape: Of the point `seq` that was just written by this writer.
    """
    known = writer.lines.get(name)
    others: dict[Any, Line] = {} if known is None else known.others
    found = others.get((owner, unit))
    if found is not None and found.owner is owner:
        return found
    if found is not None or len(others) >= MAX_LINES:
        _fold_all(others)
    (on_wire,) = shape.generated
    totals = writer.totals.get(on_wire)
    if totals is None:
        if len(writer.totals) >= MAX_SHAPES:
            return None
        totals = writer.totals[on_wire] = Totals(shape, seq)
    found = writer.lines[name] = others[owner, unit] = Line(writer, unit, totals, others, seq)
    try:
        found.bind(owner, writer.numbers[shape])
    except (struct.error, KeyError) as exc:  # this execution's points go the long way
        if is_theirs(exc):
            raise
    return found


def take_turn(lines: dict[Any, Line], name: Any, owner: Recording, unit: Any) -> bool:
    """Have the next point of a name go on with its execution's line; False if there is no other."""
    if type(name) is not str or not (unit is None or type(unit) is str):
        return False
    known = lines.get(name)
    if known is None:
        return False
    line = known.others.get((owner, unit))
    if line is None or line.owner is not owner or line is known:
        return False
    lines[name] = line
    return True


def fold(lines: dict[Any, Line]) -> None:
    """Sum up all that was collected; the lines' numbers are another chunk's from now on."""
    while lines:
        _, line = lines.popitem()
        _fold_all(line.others)


def _fold_all(lines: dict[Any, Line]) -> None:
    while lines:
        _, line = lines.popitem()
        line.fold()


def merged(writers: list[Writer]) -> dict[str, Totals]:
    """Return the totals of all writers, by name; theirs are no more than that afterwards."""
    found: dict[str, Totals] = {}
    for writer in writers:
        fold(writer.lines)
        for name, totals in writer.totals.items():
            if name in found:
                found[name].merge(totals)
            else:
                found[name] = totals
    return found
