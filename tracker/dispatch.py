"""Hand frames over: what the manager refuses is halved, down to the frame that it is about.

That frame stays in the journal; the store is told only that it was refused and why, so that
queries, `sprov status` and `sprov verify` can say it.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import NamedTuple

from pllib.linked import Batch
from pllib.log import Frame

from .handover import Handover, RefusedError
from .linker import link, link_refused
from .workqueue import Due

MAX_REFUSED = 100
"""Frames that `status` names; all are in the graph."""
Numbered = tuple[int, Frame]


class RefusedFrame(NamedTuple):
    run: str
    log_id: str
    frame: int
    reason: str


class Dispatch:
    """Links frames and hands them over; for one thread."""

    def __init__(self, handover: Handover, journal: str) -> None:
        self._handover = handover
        self._journal = journal
        self.skipped: Counter[str] = Counter()
        """Records that are not in the store since this tracker began, by reason."""
        self.refused: deque[RefusedFrame] = deque(maxlen=MAX_REFUSED)
        self.n_refused = 0

    def send(self, due: Due) -> list[Batch]:
        """Hand frames over in order, as one batch if they are taken so; return what was taken.

        It is not all if the handover was stopped.

        Raises:
            ManagerRestartedError: The manager restarted; it has not taken all.
        """
        taken: list[Batch] = []
        waiting = [due.frames]
        while waiting:
            frames = waiting.pop()
            batch = link(frames, self._journal, due.run)
            try:
                if not self._handover.hand_over(batch):
                    break
            except RefusedError as exc:
                if len(frames) > 1:
                    middle = len(frames) // 2
                    waiting += [frames[middle:], frames[:middle]]
                elif not self._set_aside(due.run, frames[0], str(exc)):
                    break
                continue
            self.skipped.update(batch.skipped)
            taken.append(batch)
        return taken

    def _set_aside(self, run: str, numbered: Numbered, reason: str) -> bool:
        """Have the store say that it lacks a frame, and why; False if stopped before that.

        A frame that was handed over before, to a manager that restarted, is counted once.
        """
        ordinal, frame = numbered
        batch = link_refused(ordinal, frame, self._journal, run, reason)
        try:
            if not self._handover.hand_over(batch):
                return False
        except RefusedError as exc:  # a manager that does not know such a batch
            self._handover.trouble = f"the manager is not told of a refused frame: {exc}"
        refused = RefusedFrame(run, frame.log_id.hex(), frame.number, reason)
        if refused not in self.refused:
            self.refused.append(refused)
            self.n_refused += 1
            self.skipped.update(batch.skipped)
        return True
