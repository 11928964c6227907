"""Files that processes have open, as the operating system tells: what no Python hook sees.

A file that is open only between two looks is missed.  Source: proc(5), ``/proc/PID/fd`` and
``/proc/PID/fdinfo``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from pllib.readings import read_file

from .opened import Opened

MAX_DESCRIPTORS = 1000
"""Of a process, at one look."""
DELETED = " (deleted)"
Seen = tuple[str, int]
"""Path, and O_RDONLY, O_WRONLY or O_RDWR."""


class Descriptors:
    """Looks at what processes have open.

    Args:
        since_ns: When the command began: what changed later, it may have written.
    """

    def __init__(self, opened: Opened, since_ns: int) -> None:
        self._opened = opened
        self._since_ns = since_ns
        self._known: dict[int, dict[str, str]] = {}
        self.shared = _outputs(os.getppid())
        """Where others write what they say, too."""

    def look(self, pids: Iterable[int]) -> list[Seen]:
        """Return what these processes opened since the last look; others are forgotten."""
        seen: list[Seen] = []
        self._known = {pid: self._look(pid, self._known.get(pid, {}), seen) for pid in pids}
        return seen

    def _look(self, pid: int, known: dict[str, str], seen: list[Seen]) -> dict[str, str]:
        """Return what each descriptor of a process is now."""
        found: dict[str, str] = {}
        try:
            for number in os.listdir(f"/proc/{pid}/fd")[:MAX_DESCRIPTORS]:  # noqa: PTH208
                path = os.readlink(f"/proc/{pid}/fd/{number}")  # noqa: PTH115
                found[number] = path
                if known.get(number) != path and self._is_file(path):
                    seen.append((path, flags_of(pid, number) & os.O_ACCMODE))
        except OSError:  # it has ended, closed a file or changed its user
            pass
        return found

    def _is_file(self, path: str) -> bool:
        """Tell whether this is a file, and not the log of whoever started us."""
        return path[0] == "/" and path not in self.shared and not path.endswith(DELETED)

    def note(self, seen: Iterable[Seen]) -> list[str]:
        """Take what was seen as done now; return what is written."""
        written = []
        for path, access in seen:
            if access == os.O_WRONLY or (access == os.O_RDWR and self._has_changed(path)):
                self._opened.wrote(path)
                written.append(path)
            else:  # one that is open for both is generated, too, if it changes yet
                self._opened.read(path)
        return written

    def _has_changed(self, path: str) -> bool:
        try:
            return os.stat(path).st_ctime_ns >= self._since_ns  # noqa: PTH116
        except OSError:
            return True


def _outputs(pid: int) -> set[str]:
    """Return where a process writes what it says: what it did not redirect for us alone."""
    try:
        return {os.readlink(f"/proc/{pid}/fd/{number}") for number in (1, 2)}  # noqa: PTH115
    except OSError:
        return set()


def flags_of(pid: int, number: str) -> int:
    """Return the flags that a file was opened with.

    Raises:
        OSError: It is open no longer.
    """
    for line in read_file(f"/proc/{pid}/fdinfo/{number}").splitlines():
        name, _, value = line.partition(b":")
        if name == b"flags":
            return int(value, 8)
    return os.O_RDONLY
