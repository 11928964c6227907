"""Hand frames over: what the manager refuses is halved, down to the frame that it is about.

That frame stays in the journal; the store is told only that it was refused and why, so that
queries, `sprov status` and `sprov verify` can say it.

What the manager fails on is tried again after a while, and other runs go on meanwhile; when it has
failed so often, it is dealt with as what is refused.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from typing import NamedTuple

from pllib.linked import Batch
from pllib.log import Frame

from .handover import FailedError, Handover, RefusedError
from .linker import link, link_refused
from .workqueue import Due

MAX_REFUSED = 100
"""Frames that `status` names; all are in the graph."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 60.0
MAX_FAILURES = 6
"""So often in a row the manager fails on a run's frames before they are halved: after 8 s."""
Numbered = tuple[int, Frame]


class RefusedFrame(NamedTuple):
    run: str
    log_id: str
    frame: int
    reason: str


class Sent(NamedTuple):
    """What became of a run's frames."""

    taken: list[Batch]
    left: Sequence[Numbered] = ()
    """Frames to try again, in order."""
    pause_s: float = 0.0
    """When."""


class _Failing(NamedTuple):
    n: int
    """Times in a row."""
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
        self._failing: dict[str, _Failing] = {}

    @property
    def trouble(self) -> str:
        """Which runs wait because the manager fails on them."""
        return "; ".join(
            f"run {run[:8]} waits: {failing.reason}" for run, failing in list(self._failing.items())
        )

    def send(self, due: Due) -> Sent:
        """Hand frames over in order, as one batch if they are taken so.

        Some are neither taken nor left if the handover was stopped.

        Raises:
            ManagerRestartedError: The manager restarted; it has not taken all.
        """
        taken: list[Batch] = []
        waiting = [due.frames]
        try:
            while waiting:
                batch = link(waiting[-1], self._journal, due.run)
                try:
                    if not self._handover.hand_over(batch):
                        return Sent(taken)
                except RefusedError as exc:
                    self._check_enough(due.run, exc)
                    if not self._part(due.run, waiting, str(exc)):
                        return Sent(taken)
                else:
                    waiting.pop()
                    self.skipped.update(batch.skipped)
                    taken.append(batch)
        except FailedError as exc:
            left = [frame for frames in reversed(waiting) for frame in frames]
            return Sent(taken, left, self._note_failure(due.run, exc))
        self._failing.pop(due.run, None)
        return Sent(taken)

    def _check_enough(self, run: str, exc: RefusedError) -> None:
        """Raise an error that is to be waited for."""
        failing = self._failing.get(run)
        if isinstance(exc, FailedError) and (failing is None or failing.n < MAX_FAILURES):
            raise exc

    def _note_failure(self, run: str, exc: FailedError) -> float:
        """Return how long a run is to wait."""
        known = self._failing.get(run)
        n = 1 if known is None else known.n + 1
        self._failing[run] = _Failing(n, str(exc))
        return min(FIRST_PAUSE_S * (1 << min(n - 1, 10)), LONGEST_PAUSE_S)

    def _part(self, run: str, waiting: list[list[Numbered]], reason: str) -> bool:
        """Halve the first frames that wait, or set the one aside; False if stopped before that."""
        frames = waiting[-1]
        if len(frames) == 1:
            if not self._set_aside(run, frames[0], reason):
                return False
            waiting.pop()
        else:
            middle = len(frames) // 2
            waiting[-1:] = [frames[middle:], frames[:middle]]
        return True

    def _set_aside(self, run: str, numbered: Numbered, reason: str) -> bool:
        """Have the store say that it lacks a frame, and why; False if stopped before that.

        A frame that was handed over before, to a manager that restarted, is counted once.

        Raises:
            FailedError: The manager fails on this, too: nothing is known of the frame then.
        """
        ordinal, frame = numbered
        batch = link_refused(ordinal, frame, self._journal, run, reason)
        try:
            if not self._handover.hand_over(batch):
                return False
        except FailedError:
            raise
        except RefusedError as exc:  # a manager that does not know such a batch
            self._handover.trouble = f"the manager is not told of a refused frame: {exc}"
        refused = RefusedFrame(run, frame.log_id.hex(), frame.number, reason)
        if refused not in self.refused:
            self.refused.append(refused)
            self.n_refused += 1
            self.skipped.update(batch.skipped)
        return True
