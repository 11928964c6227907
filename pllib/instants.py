"""When a record says that something happened."""

from __future__ import annotations

from collections.abc import Sequence

from .records import (
    UNDECODABLE,
    Adapted,
    AnyRecord,
    Closed,
    Context,
    Ended,
    Generated,
    Metric,
    Started,
    Transformation,
    decode,
)


def last_instant(bodies: Sequence[bytes | memoryview]) -> int:
    """Return when the last of a frame's records that says it happened, 0 if none does.

    UTC nanoseconds since 1970.
    """
    for body in reversed(bodies):
        try:
            record = decode(body)
        except UNDECODABLE:
            continue
        if at_ns := _instant(record):
            return at_ns
    return 0


def _instant(record: AnyRecord) -> int:
    if isinstance(record, Transformation):
        return record.started_ns + record.duration_ns
    if isinstance(record, Generated | Metric | Adapted | Closed):
        return record.at_ns
    if isinstance(record, Started):
        return record.started_ns
    if isinstance(record, Ended):
        return record.ended_ns
    return record.opened_ns if isinstance(record, Context) else 0
