"""One queue per run: frames wait here until there are enough of them to be worth a batch."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pllib.linked import Batch
from pllib.log import Frame

from .linker import context_of, link

BATCH_RECORDS = 1000
BATCH_BYTES = 32 << 20
"""Of frames; what is linked of them is at most a few times that, and the manager takes 256 MiB."""
BATCH_AGE_S = 0.25
"""A frame waits at most so long for others of its run."""


@dataclass
class _Queue:
    frames: list[tuple[int, Frame]] = field(default_factory=list)
    n_records: int = 0
    n_bytes: int = 0
    since: float = 0.0
    not_before: float = 0.0


class Due(NamedTuple):
    run: str
    frames: list[tuple[int, Frame]]
    """With their ordinals in the journal."""


class WorkQueues:
    """Not thread-safe: one thread puts and takes."""

    def __init__(self) -> None:
        self._queues: dict[str, _Queue] = {}
        self.unreadable = 0
        """Frames without a context: no session speaks in them."""

    def put(self, ordinal: int, frame: Frame, watermarks: Mapping[str, int]) -> None:
        """Queue a frame by its run, unless the run's watermark says that it is stored."""
        context = context_of(frame)
        if context is None:
            self.unreadable += 1
            return
        if ordinal <= watermarks.get(context.run, -1):
            return
        queue = self._queues.setdefault(context.run, _Queue())
        if not queue.frames:
            queue.since = time.monotonic()
        queue.frames.append((ordinal, frame))
        queue.n_records += frame.n_records
        queue.n_bytes += len(frame.payload)

    def put_back(self, run: str, frames: Sequence[tuple[int, Frame]], pause_s: float) -> None:
        """Queue frames again, before all others of the run, which wait with them."""
        now = time.monotonic()
        queue = self._queues.setdefault(run, _Queue(since=now))
        queue.frames[:0] = frames
        queue.n_records += sum(frame.n_records for _, frame in frames)
        queue.n_bytes += sum(len(frame.payload) for _, frame in frames)
        queue.not_before = now + pause_s

    def take(self, journal: str, *, all_ages: bool = False) -> Batch | None:
        """Return a batch of the frames that `take_frames` returns."""
        due = self.take_frames(all_ages=all_ages)
        return None if due is None else link(due.frames, journal, due.run)

    def take_frames(self, *, all_ages: bool = False) -> Due | None:
        """Return frames of the run that has waited longest, if some are due.

        They are those that first make up `BATCH_RECORDS` or `BATCH_BYTES`; others wait for the
        next.
        """
        now = time.monotonic()
        due = [
            (queue.since, run)
            for run, queue in self._queues.items()
            if now >= queue.not_before
            and (all_ages or queue.n_records >= BATCH_RECORDS or now - queue.since >= BATCH_AGE_S)
        ]
        if not due:
            return None
        run = min(due)[1]
        return Due(run, self._pop(run))

    def _pop(self, run: str) -> list[tuple[int, Frame]]:
        queue = self._queues[run]
        n_records = n_frames = n_bytes = 0
        while n_frames < len(queue.frames) and n_records < BATCH_RECORDS and n_bytes < BATCH_BYTES:
            frame = queue.frames[n_frames][1]
            n_records += frame.n_records
            n_bytes += len(frame.payload)
            n_frames += 1
        frames, queue.frames = queue.frames[:n_frames], queue.frames[n_frames:]
        queue.n_records -= n_records
        queue.n_bytes -= n_bytes
        if not queue.frames:
            del self._queues[run]
        return frames

    def clear(self) -> None:
        self._queues.clear()

    @property
    def first_ordinal(self) -> int | None:
        """Of the frames that wait; None if none does."""
        return min((queue.frames[0][0] for queue in self._queues.values()), default=None)

    @property
    def n_bytes(self) -> int:
        """Payloads of all frames."""
        return sum(queue.n_bytes for queue in list(self._queues.values()))

    @property
    def n_due_records(self) -> int:
        """Records but of runs that are made to wait."""
        now = time.monotonic()
        queues = list(self._queues.values())
        return sum(queue.n_records for queue in queues if now >= queue.not_before)

    @property
    def n_records(self) -> int:
        return sum(queue.n_records for queue in list(self._queues.values()))
