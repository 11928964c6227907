"""Trying again until a disk has space or works again: nothing that was taken in is dropped for it.

Each of the writer's threads tries on its own; what keeps them from it is in `trouble` meanwhile.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 5.0
Done = TypeVar("Done")


class _Trouble(NamedTuple):
    since: float
    """Monotonic, seconds."""
    reason: str


class Retrying:
    """Tries what may fail with OSError until it is done, or until it is time to give up."""

    def __init__(self, on_change: Callable[[], None], patience_s: float) -> None:
        """Args:
        on_change: Called after each attempt that failed, and after the one that did not then.
        patience_s: For so long each thing is tried again, from when it first failed.
        """
        self._on_change = on_change
        self._patience_s = patience_s
        self._give_up_at = math.inf
        self._ending = threading.Event()
        self._troubles: dict[str, _Trouble] = {}

    @property
    def trouble(self) -> str:
        return "; ".join(each.reason for each in list(self._troubles.values()))

    @property
    def lasts_s(self) -> float:
        """For how long something has been failing."""
        now = time.monotonic()
        return max((now - each.since for each in list(self._troubles.values())), default=0.0)

    def end_within(self, seconds: float) -> None:
        """From then on what fails is not tried again."""
        self._give_up_at = time.monotonic() + seconds
        self._ending.set()

    def until_done(
        self, what: str, attempt: Callable[[], Done], repair: Callable[[], None] | None = None
    ) -> Done:
        """Try, with growing pauses, until `attempt` returns; return what that returned.

        Args:
            what: Names it in `trouble`.
            repair: Called before each further attempt; it may fail likewise.

        Raises:
            OSError: It is time to give up.
        """
        pause_s = 0.0
        while True:
            try:
                if pause_s and repair is not None:
                    repair()
                done = attempt()
            except OSError as exc:
                self._note(what, exc)
                if time.monotonic() >= self._give_up_at or self._is_enough(what):
                    raise
            else:
                if self._troubles.pop(what, None) is not None:
                    self._on_change()
                return done
            pause_s = min(2 * pause_s or FIRST_PAUSE_S, LONGEST_PAUSE_S)
            if self._ending.wait(pause_s):
                time.sleep(FIRST_PAUSE_S)

    def _note(self, what: str, exc: OSError) -> None:
        known = self._troubles.get(what)
        since = time.monotonic() if known is None else known.since
        self._troubles[what] = _Trouble(since, f"{what}: {exc}")
        self._on_change()

    def _is_enough(self, what: str) -> bool:
        return time.monotonic() - self._troubles[what].since >= self._patience_s
