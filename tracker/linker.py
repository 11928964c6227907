"""Link what ranks said: give every value, activity and plan its identity.

`link` is a pure function of frames, and holds no state that a restart could lose: identities come
from names (`pllib.identity`), and what needs several frames is computed by query.

A record that can't be linked costs itself alone, and is counted in the graph (`tracker.skipped`).
"""

from __future__ import annotations

from collections.abc import Iterable

from pllib import identity, linked
from pllib.log import Frame, record_bodies
from pllib.records import UNDECODABLE, Context, decode

from .points import decode_metrics, set_apart
from .redacted import MARK, tell_redacted
from .skipped import REFUSED, Skipped
from .speaker import Speaker
from .tables import Tables


def context_of(frame: Frame) -> Context | None:
    """Return the context that a frame begins with; None if it has none that can be read."""
    for body in record_bodies(frame.payload):
        try:
            record = decode(body)
        except UNDECODABLE:
            return None
        if isinstance(record, Context) and identity.is_one(record.run):
            return record
        return None
    return None


def link(frames: Iterable[tuple[int, Frame]], journal: str, queue: str) -> linked.Batch:
    """Link frames of one run.

    Args:
        frames: (ordinal in the journal, frame), all of the run `queue`, in order.
    """
    tables = Tables()
    ordinals = []
    for ordinal, frame in frames:
        ordinals.append(ordinal)
        _link_frame(tables, frame)
    if tables.has_redacted:
        tell_redacted(tables)
    return tables.batch(journal, queue, ordinals)


def link_refused(ordinal: int, frame: Frame, journal: str, queue: str, reason: str) -> linked.Batch:
    """Return a batch that says of a frame only that it was refused, and why."""
    tables = Tables()
    skipped = Skipped(frame)
    skipped.add_all(f"{REFUSED}{reason}")
    skipped.tell(tables, queue)
    return tables.batch(journal, queue, [ordinal])


def _link_frame(tables: Tables, frame: Frame) -> None:
    context = context_of(frame)
    if context is None:  # such a frame is of no run, so that no queue takes it
        return
    skipped = Skipped(frame)
    try:
        speaker = Speaker(tables, frame.log_id, frame.number, context)
    except Exception as exc:  # noqa: BLE001  whatever a context of others says, it stops nobody
        skipped.add_all(skipped.reason("Context", exc))
    else:
        tables.has_redacted = tables.has_redacted or MARK in frame.payload
        _link_records(tables, frame, speaker, skipped)
    skipped.tell(tables, context.run)


def _link_records(tables: Tables, frame: Frame, speaker: Speaker, skipped: Skipped) -> None:
    bodies, points = set_apart(frame.payload)
    for body in bodies:
        try:
            record = decode(body)
        except UNDECODABLE:
            skipped.add_unreadable(body)
            continue
        try:
            speaker.say(record)
        except Exception as exc:  # noqa: BLE001  as pllib never writes it: it costs itself alone
            skipped.add_wrong(record, exc)
    if points:
        metrics, n_unreadable = decode_metrics(points)
        skipped.add(skipped.UNREADABLE, n_unreadable)
        for reason, count in speaker.measure(frame, metrics).items():
            skipped.add(f"Metric: {reason}", count)
