"""Which processes are above this one: its launcher, and programs that it may be a worker of.

What a launcher gives a rank, all processes below the rank inherit.  So the process that started
the rank is the nearest ancestor whose environment is without it, and what lies between is the
rank's own: shells, wrappers, or a program that started this process as one of its workers.

Source: proc(5); ``/proc/PID/environ`` is as it was when the program was executed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import NamedTuple

from .launch import Process, parent_of, process

MAX_ANCESTORS = 50
_PYTHON = re.compile(rb"(python|pypy)[\d.]*[a-z]?")
_POOLS = frozenset({b"xargs", b"parallel"})
"""Other programs that start several of one kind."""
_WRAPPERS = frozenset(
    {b"sprov", b"conda", b"mamba", b"accelerate", b"deepspeed", b"mlflow", b"mprof", b"scalene"}
)
"""Python programs that start one other, which takes their place as the rank."""
_NAMED = 4
"""Words of a command line that may name the program: interpreter, an option or two, the program."""


class Place(NamedTuple):
    """Where a process is below its launcher."""

    launcher: Process | None
    """None if it can't be seen."""
    is_worker: bool
    """A program of the same rank started it as one of several."""


def find_place(environ: Mapping[str, str], marks: tuple[str, ...]) -> Place:
    """Look upwards from this process.

    Args:
        environ: This process's own.
        marks: Names of what the launcher gave it.
    """
    wanted = {os.fsencode(f"{name}={environ[name]}") for name in marks if name in environ}
    pid, is_worker = os.getpid(), False
    for _ in range(MAX_ANCESTORS):
        try:
            pid = parent_of(pid)
            if pid <= 0:
                break
            if not _has(pid, wanted):
                return Place(process(pid), is_worker)
            is_worker = is_worker or _starts_several(pid)
        except ProcessLookupError:  # it has ended since, or /proc hides it
            break
    return Place(None, is_worker)


def _has(pid: int, wanted: set[bytes]) -> bool:
    """Tell whether a process was started with all of that; no if it can't be seen."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return bool(wanted) and wanted <= set(file.read().split(b"\0"))
    except OSError:
        return False


def _starts_several(pid: int) -> bool:
    words = [os.path.basename(word) for word in command_line(pid).split(b"\0")[:_NAMED]]  # noqa: PTH119
    if not words or any(word in _POOLS for word in words):
        return bool(words)
    modules = {word.partition(b".")[0] for word in words}
    return _PYTHON.fullmatch(words[0]) is not None and not modules & _WRAPPERS


def command_line(pid: int) -> bytes:
    """Return a process's arguments, each ended by NUL; empty if they can't be read."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    except OSError:
        return b""
