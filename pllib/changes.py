"""What has changed in a daemon's counts and troubles since somebody looked last, as log lines.

Counts are looked at now and then, so that those who count do not log: a million refused messages
are a few lines.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from .daemonlog import note, warn

LOOK_S = 1.0
COUNT_EVERY_S = 60.0
"""A count that goes on growing is told so often."""
TROUBLE_EVERY_S = 5.0
"""A trouble that comes and goes is told no more often."""


class Changes:
    """Remembers what was told; for one thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told: dict[tuple[str, str], tuple[int, float]] = {}
        """(event, reason) → the count that was told, and when."""
        self._troubles: dict[str, tuple[str, float, float]] = {}
        """Event → what is told of it now, since when, and when that was told."""

    def count(self, event: str, counts: Mapping[str, int], *, at_end: bool = False) -> None:
        """Log what has grown: at first at once, then once a minute, and the rest at the end."""
        now = self._clock()
        for reason, count in counts.items():
            n_told, at = self._told.get((event, reason), (0, -COUNT_EVERY_S))
            if count > n_told and (at_end or now - at >= COUNT_EVERY_S):
                self._told[event, reason] = count, now
                warn(event, reason=reason, more=count - n_told, total=count)

    def trouble(self, text: str, event: str = "trouble") -> None:
        """Log a trouble that is new or another, and its end."""
        now = self._clock()
        before, since, at = self._troubles.get(event, ("", now, -TROUBLE_EVERY_S))
        if text == before or now - at < TROUBLE_EVERY_S:
            return
        self._troubles[event] = text, since if before else now, now
        if text:
            warn(event, reason=text)
        else:
            note(f"{event} is over", reason=before, lasted_s=round(now - since, 1))


class Look(Protocol):
    def __call__(self, *, at_end: bool) -> None: ...


def keep_looking(look: Look, stopping: threading.Event) -> None:
    """Look once a second, and for the last time when that is set; an error is one more line."""
    is_over = False
    _attempt(look, at_end=is_over)
    while not is_over:
        is_over = stopping.wait(LOOK_S)
        _attempt(look, at_end=is_over)


def _attempt(look: Look, *, at_end: bool) -> None:
    try:
        look(at_end=at_end)
    except Exception as exc:  # noqa: BLE001  the daemon does without
        note("observer failed", logging.ERROR, error=f"{type(exc).__name__}: {exc}")
