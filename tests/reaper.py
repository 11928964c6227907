"""Ends what tests leave running, also where their own process was killed.

    reaper.py MARK

Runs beside the tests, in a session of its own, until its stdin ends, as it does with the process
of the tests.  Then it kills all processes that have MARK in the environment they began with.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

NAME = "SPROV_TEST_MARK"
PATIENCE_S = 60.0
LOOKS = 3
"""That find nothing before it ends: a process in the midst of execve has no environment."""


class Reaper:
    """From now on what this process starts carries a mark, and is ended with it."""

    def __init__(self) -> None:
        self.mark = f"{NAME}={os.urandom(16).hex()}"
        os.environ[NAME] = self.mark.partition("=")[2]
        self._process = subprocess.Popen(
            [sys.executable, "-ISs", __file__, self.mark],
            env={}, stdin=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    def close(self, patience_s: float = PATIENCE_S) -> list[str]:
        """End what does not end by itself within some time; say what that was, and whose."""
        deadline = time.monotonic() + patience_s
        while (left := marked(self.mark)) and time.monotonic() < deadline:
            time.sleep(0.05)
        lines = [description for pid in left if (description := _describe(pid))]
        self._process.communicate()
        return lines


def marked(mark: str) -> list[int]:
    """Return the processes that began with a mark, but those that are dead."""
    pids = (int(folder.name) for folder in Path("/proc").glob("[0-9]*"))
    return [pid for pid in pids if mark in _begun(pid)]


def _begun(pid: int) -> list[str]:
    """Return the environment that a process began with; empty of one that is dead or another's."""
    with contextlib.suppress(OSError):
        return os.fsdecode(Path(f"/proc/{pid}/environ").read_bytes()).split("\0")
    return []


def _describe(pid: int) -> str:
    with contextlib.suppress(OSError):
        words = os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes()).split("\0")
        tests = [entry for entry in _begun(pid) if entry.startswith("PYTEST_CURRENT_TEST=")]
        return f"{pid}: {' '.join(words)} ({' '.join(tests)})"
    return ""


def main() -> None:
    mark = sys.argv[1]
    sys.stdin.buffer.read()
    deadline = time.monotonic() + PATIENCE_S
    n_looks_in_vain = 0
    while n_looks_in_vain < LOOKS and time.monotonic() < deadline:
        left = marked(mark)
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        n_looks_in_vain = 0 if left else n_looks_in_vain + 1
        time.sleep(0.05)


if __name__ == "__main__":
    main()
