"""What sessions captured against what journals hold of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from pllib.log import Frame, record_bodies
from pllib.records import CLOSED_TAG, CONTEXT_TAG, NO_RANK, SIGNATURE_TAG, Closed, Context, decode


@dataclass
class Tally:
    """One captured log, as the journals have it."""

    run: str = ""
    rank: int = 0
    frames: dict[int, int] = field(default_factory=dict)
    """Frame number to records."""
    captured: int | None = None
    """None for a session that did not end in order."""
    lost: int = 0

    @property
    def journalled(self) -> int:
        return sum(self.frames.values())


class Tallies:
    """Counts frames by the log that they were captured in; a frame may come twice."""

    def __init__(self) -> None:
        self._of: dict[bytes, Tally] = defaultdict(Tally)

    def add(self, frame: Frame) -> None:
        """Count a frame; of its records only contexts and ends of sessions are decoded."""
        tally = self._of[frame.log_id]
        n_records = 0
        for body in record_bodies(frame.payload):
            tag = body[1]  # as in every record of less than 16 fields; a context's is read as 0
            if tag == CONTEXT_TAG:
                if not tally.run and isinstance(context := decode(body), Context):
                    tally.run, tally.rank = context.run, context.rank
            elif tag != SIGNATURE_TAG:
                n_records += 1
                if tag == CLOSED_TAG and isinstance(closed := decode(body), Closed):
                    tally.captured = closed.n_records
                    tally.lost = sum(closed.lost.values())
        tally.frames[frame.number] = n_records

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
    def problems(self) -> list[str]:
        """Sessions of which something is not there."""
        return [
            f"run {tally.run[:8]} rank {tally.rank}: {tally.captured} records captured, "
            f"{tally.journalled} journalled"
            for tally in self._of.values()
            if tally.captured is not None and tally.captured != tally.journalled
        ]


def tally(frames: Iterable[Frame]) -> Tallies:
    """Count the frames of journals."""
    found = Tallies()
    for frame in frames:
        found.add(frame)
    return found
