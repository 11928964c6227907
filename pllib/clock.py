"""A session's clock: the wall clock when it opened, and from there on the monotonic one.

So what a session records is in order and lasts as long as it did, whatever is done to the wall
clock meanwhile; that it was set is a record.  CLOCK_MONOTONIC is slewed as NTP has it, and knows
no steps; while a machine is suspended it stands still (Linux), which shows as a step ahead.
"""

from __future__ import annotations

from time import perf_counter_ns, time_ns

STEP_NS = 1_000_000_000
"""What is told: less is what reading two clocks one after the other may make of a busy machine."""
FACT = "clock_step_rank_"
"""Name of the run's fact, with the rank."""


class Clock:
    """For one thread at a time, but for `offset_ns`."""

    __slots__ = ("_ahead_ns", "offset_ns")

    def __init__(self) -> None:
        self.offset_ns = time_ns() - perf_counter_ns()
        """What the monotonic clock lacks to the time that is recorded."""
        self._ahead_ns = 0

    def step(self) -> int:
        """Return by how much the wall clock was set since this was asked last, nanoseconds."""
        ahead_ns = time_ns() - perf_counter_ns() - self.offset_ns
        step_ns = ahead_ns - self._ahead_ns
        if abs(step_ns) < STEP_NS:
            return 0
        self._ahead_ns = ahead_ns
        return step_ns


def told(step_ns: int, host: str) -> str:
    """Return what is said of a step of the wall clock, which is at its new time now."""
    from .moments import date_time  # few clocks are ever set

    which = "back" if step_ns < 0 else "ahead"
    seconds = abs(step_ns) / 1e9
    return f"set {which} by {seconds:.1f} s to {date_time(time_ns(), digits=0)} on {host}"
