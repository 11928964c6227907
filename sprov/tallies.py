"""What sessions captured against what journals hold of them."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from pllib.log import Frame, record_bodies
from pllib.records import (
    CLOSED_TAG,
    CONTEXT_TAG,
    NO_RANK,
    SIGNATURE_TAG,
    UNDECODABLE,
    Closed,
    Context,
    decode,
)
from tracker.seen import Seen


@dataclass
class Tally:
    """One captured log, as the journals have it."""

    run: str = ""
    rank: int = 0
    journalled: int = 0
    """Records."""
    captured: int | None = None
    """None for a session that did not end in order."""
    lost: int = 0


class Tallies:
    """Counts frames by the log that they were captured in; one that comes twice counts once."""

    def __init__(self) -> None:
        self._of: dict[bytes, Tally] = defaultdict(Tally)
        self._seen = Seen()
        self.n_frames = 0

    def add(self, frame: Frame) -> bool:
        """Count a frame; False if it was counted before.

        Of its records only contexts and ends of sessions are decoded.
        """
        if self._seen.has(frame.log_id, frame.number):
            return False
        self._seen.add(frame.log_id, frame.number)
        self.n_frames += 1
        tally = self._of[frame.log_id]
        for body in record_bodies(frame.payload):
            tag = body[1] if len(body) > 1 else None  # a context's, of 16 fields, is read as 0
            with contextlib.suppress(*UNDECODABLE):  # no record of this version
                if tag == CONTEXT_TAG:
                    if not tally.run and isinstance(context := decode(body), Context):
                        tally.run, tally.rank = context.run, context.rank
                elif tag != SIGNATURE_TAG:
                    tally.journalled += 1
                    if tag == CLOSED_TAG and isinstance(closed := decode(body), Closed):
                        tally.captured = closed.n_records
                        tally.lost = sum(closed.lost.values())
        return True

    @property
    def n_records(self) -> int:
        """Of ranks, and of others that speak."""
        return sum(tally.journalled for tally in self._of.values())

    @property
    def runs(self) -> list[str]:
        """Identities of the runs that they are of."""
        return sorted({tally.run for tally in self._of.values() if tally.run})

    @property
    def sessions(self) -> list[Tally]:
        """Those of ranks; others speak without one."""
        return [tally for tally in self._of.values() if tally.rank != NO_RANK]

    @property
    def counts(self) -> dict[str, int]:
        ended = [tally for tally in self.sessions if tally.captured is not None]
        return {
            "sessions": len(self.sessions),
            "sessions_not_ended": len(self.sessions) - len(ended),
            "captured": sum(tally.captured or 0 for tally in ended),
            "journalled": sum(tally.journalled for tally in self.sessions),
            "lost": sum(tally.lost for tally in self._of.values()),
        }

    @property
    def frames(self) -> dict[str, list[int]]:
        """Log id (hex) to the numbers of its frames, as `tracker.seen` keeps them."""
        return {log_id.hex(): list(bounds) for log_id, bounds in self._seen.ranges.items()}

    @property
    def problems(self) -> list[str]:
        """Sessions of which something is not there."""
        return self.problems_beyond(Seen())

    def problems_beyond(self, forgotten: Seen) -> list[str]:
        """Return sessions of which something is not there that is not known to be forgotten."""
        return [
            f"run {tally.run[:8]} rank {tally.rank}: {tally.captured} records captured, "
            f"{tally.journalled} journalled"
            for log_id, tally in self._of.items()
            if tally.captured is not None
            and tally.captured != tally.journalled
            and not (tally.journalled < tally.captured and self._is_known(log_id, forgotten))
        ]

    def _is_known(self, log_id: bytes, forgotten: Seen) -> bool:
        """Tell whether all that a log lacks is forgotten: frames are numbered through from 0."""
        both = Seen()
        for seen in (self._seen, forgotten):
            both.unite({log_id: seen.ranges.get(log_id, [])})
        bounds = both.ranges.get(log_id, [])
        return list(bounds[:1]) == [0] and len(bounds) == 2 and bounds != self._seen.ranges[log_id]


def tally(frames: Iterable[Frame]) -> Tallies:
    """Count the frames of journals."""
    found = Tallies()
    for frame in frames:
        found.add(frame)
    return found
