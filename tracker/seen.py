"""Which frames a journal has: the numbers of each log, as ranges.

A log's frames are numbered through, so that they are one range however many there are; what comes
out of order, is under way or was lost to corruption cuts it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping

Bounds = list[int]
"""Start, stop, start, stop ...: ascending; a start is in its range, a stop is not."""


class Seen:
    """Not thread-safe."""

    def __init__(self) -> None:
        self._bounds: dict[bytes, Bounds] = {}

    def has(self, log_id: bytes, number: int) -> bool:
        bounds = self._bounds.get(log_id)
        return bounds is not None and bisect_right(bounds, number) % 2 == 1

    def add(self, log_id: bytes, number: int) -> None:
        self._add(log_id, number, number + 1)

    def unite(self, ranges: Mapping[bytes, Bounds]) -> None:
        """Add the numbers of another."""
        for log_id, bounds in ranges.items():
            for at in range(0, len(bounds), 2):
                self._add(log_id, bounds[at], bounds[at + 1])

    @property
    def ranges(self) -> Mapping[bytes, Bounds]:
        return self._bounds

    def _add(self, log_id: bytes, start: int, stop: int) -> None:
        """Add numbers from `start` until before `stop`."""
        bounds = self._bounds.setdefault(log_id, [])
        left = bisect_right(bounds, start)
        if left % 2 == 0 and left and bounds[left - 1] == start:
            left -= 1  # they go on where a range stops
        right = bisect_right(bounds, stop)
        kept = ([start] if left % 2 == 0 else []) + ([stop] if right % 2 == 0 else [])
        bounds[left:right] = kept
