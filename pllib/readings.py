"""What is read off a process or node while it runs, and how it is counted."""

from __future__ import annotations

from io import FileIO
from typing import NamedTuple, Protocol

CORES, SECONDS, MIB, BYTES = "cores", "s", "MiB", "B"
JOULES, WATTS, PERCENT, ONE = "J", "W", "%", "1"
"""Units of telemetry: none is scaled but memory, which people request in MiB."""
MIB_BYTES = 1 << 20


class Reading(NamedTuple):
    """A point of a series, not written yet."""

    name: str
    value: float
    unit: str


class Source(Protocol):
    """Something that can be read again and again, on one thread."""

    seat: str
    """What must be held to read it, so that one process a node does; empty if all do."""

    def read(self) -> list[Reading]:
        """Return what it says now.

        Raises:
            OSError: It is not there, or not any more.
        """
        ...


class Counter:
    """The sum of what a counter that only goes up went up by, from the first reading on.

    Args:
        wraps_at: Where it begins again at 0; 0 for nowhere.  Any other step down, as when a process
            vanishes from a sum, takes nothing away.
    """

    __slots__ = ("_last", "_wraps_at", "total")

    def __init__(self, wraps_at: float = 0.0) -> None:
        self.total = 0.0
        self._last: float | None = None
        self._wraps_at = wraps_at

    def grow(self, reading: float) -> float:
        """Take a reading; return the total."""
        if self._last is not None:
            grown = reading - self._last
            self.total += grown if grown >= 0 else max(grown + self._wraps_at, 0.0)
        self._last = reading
        return self.total


class Rate:
    """How fast a counter went up between two readings."""

    SHORTEST_S = 0.1
    """Ten ticks of the kernel's clock: over less, a tick more or less is most of the result."""

    def __init__(self) -> None:
        self._counter = Counter()
        self._before: tuple[float, float] | None = None

    @property
    def total(self) -> float:
        """What the counter went up by since its first reading."""
        return self._counter.total

    def of(self, reading: float, at_s: float) -> float | None:
        """Return the growth a second since the last rate; None if there is none to give yet."""
        total, before = self._counter.grow(reading), self._before
        if before is not None and at_s - before[1] < self.SHORTEST_S:
            return None
        self._before = total, at_s
        return None if before is None else (total - before[0]) / (at_s - before[1])


def read_file(path: str) -> bytes:
    """Return a small file of the kernel's, which gives at most a page at a time of some.

    Raises:
        OSError: It is not there, or not for us.
    """
    # Not `os.open`: a signal handler's exception before `os.close` would leave it open.
    with FileIO(path) as file:
        return file.readall()
