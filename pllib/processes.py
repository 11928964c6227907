"""What a process and all that it started use.

Read straight from ``/proc``: psutil 7 takes 2.1 ms to find the children of a process among 140
others, and 63 us to read one, where these take 10 and 14; and importing it takes 21 ms of the
rank's interpreter.

Source: proc(5) and proc_pid_task(5), ``/proc/PID/{stat,io}``, ``/proc/PID/task/TID/children``.
"""

from __future__ import annotations

import contextlib
import os
import time

from .readings import (
    BYTES,
    CORES,
    MIB,
    MIB_BYTES,
    ONE,
    SECONDS,
    Counter,
    Rate,
    Reading,
    read_file,
)

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
FINDING_SHARE = 0.001
"""Of the time at most is spent on finding processes: one that has hundreds of threads is looked
through less often, since each thread has children of its own."""
READ_TIMES = 3
"""At most, in one sample."""


class Use:
    """What a process used, and uses, as it was at one time.

    Times and bytes are of it and of its children that ended and were waited for.

    Raises:
        OSError, ValueError: It is gone.
    """

    __slots__ = ("moved", "n_threads", "rss_bytes", "started", "state", "ticks")

    def __init__(self, pid: int) -> None:
        fields = _stat(pid)
        self.state = fields[0]
        self.ticks = sum(map(int, fields[11:15]))
        self.n_threads = int(fields[17])
        self.started = int(fields[19])
        self.rss_bytes = int(fields[21]) * _PAGE_BYTES
        self.moved: tuple[int, int] | None = None
        with contextlib.suppress(PermissionError):  # of another user, or no longer dumpable
            self.moved = transferred(pid)


class Processes:
    """A process and its descendants, those included that lost their parent meanwhile."""

    seat = ""

    def __init__(self, root: int) -> None:
        self._known: dict[int, int | None] = {root: None}
        """Pid → when it started, in ticks; None until it is first read."""
        self._find_at = 0.0
        self._cpu = Rate()
        self._read, self._written = Counter(), Counter()

    @property
    def pids(self) -> frozenset[int]:
        return frozenset(self._known)

    def read(self) -> list[Reading]:
        """Return what they use now, all told; nothing once all have ended."""
        self._find()
        used = self._use()
        alive = [use for use in used if use.state not in b"ZX"]
        if not alive:
            return []
        ticks = sum(use.ticks for use in used)
        cpu = self._cpu.of(ticks / _TICKS_A_SECOND, time.monotonic())
        found = [
            Reading("rss_memory", sum(use.rss_bytes for use in alive) / MIB_BYTES, MIB),
            Reading("processes", len(alive), ONE),
            Reading("threads", sum(use.n_threads for use in alive), ONE),
            Reading("cpu_seconds", self._cpu.total, SECONDS),
        ]
        if cpu is not None:
            found.append(Reading("cpu", cpu, CORES))
        if moved := [use.moved for use in used if use.moved is not None]:
            read, written = (sum(each) for each in zip(*moved, strict=True))
            found.append(Reading("read_bytes", self._read.grow(read), BYTES))
            found.append(Reading("written_bytes", self._written.grow(written), BYTES))
        return found

    def _use(self) -> list[Use]:
        """Read all of them, again if one ended meanwhile: a sum must not miss what went over to a
        parent that had been read by then."""
        for _ in range(READ_TIMES):
            found = {pid: self._use_of(pid) for pid in self._known}
            gone = [pid for pid, use in found.items() if use is None]
            for pid in gone:
                del self._known[pid]
            if not gone:
                break
        return [use for use in found.values() if use is not None]

    def _use_of(self, pid: int) -> Use | None:
        """Read a process; None if it is gone, or if its pid is another's now."""
        try:
            use = Use(pid)
        except (OSError, ValueError):
            return None
        if self._known[pid] not in (None, use.started):
            return None
        self._known[pid] = use.started
        return use

    def _find(self) -> None:
        if time.monotonic() < self._find_at:
            return
        began = time.thread_time()
        listed = os.path.exists("/proc/thread-self/children")  # noqa: PTH110
        by_parent = {} if listed else _by_parent()
        waiting = [*self._known]
        while waiting:
            parent = waiting.pop()
            for pid in children(parent) if listed else by_parent.get(parent, ()):
                if pid not in self._known:
                    self._known[pid] = None
                    waiting.append(pid)
        self._find_at = time.monotonic() + (time.thread_time() - began) / FINDING_SHARE


def _stat(pid: int) -> list[bytes]:
    """Return the fields of ``/proc/PID/stat`` from the state on; the name may hold anything."""
    text = read_file(f"/proc/{pid}/stat")
    return text[text.rindex(b")") + 2 :].split()


def transferred(pid: int | str) -> tuple[int, int]:
    """Return the bytes that a process asked for by read and by write calls.

    Not `read_bytes` of that file, which are 0 where the page cache or a file system without a block
    device gives the data; Slurm 22.05's MaxDiskRead is `rchar` too.

    Raises:
        OSError: It is hidden or gone.
    """
    fields = read_file(f"/proc/{pid}/io").split()
    return int(fields[1]), int(fields[3])


def children(pid: int) -> list[int]:
    """Return the children of a process: those of each of its threads."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208
            found += map(int, read_file(f"/proc/{pid}/task/{thread}/children").split())
    except OSError:  # it or its thread ended
        pass
    return found


def _by_parent() -> dict[int, list[int]]:
    """Return all processes by parent: for a kernel without CONFIG_PROC_CHILDREN."""
    found: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208
        if name.isdigit():
            try:
                found.setdefault(int(_stat(int(name))[1]), []).append(int(name))
            except (OSError, ValueError):
                continue
    return found
