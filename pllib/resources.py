"""What this process used while a stage or run lasted: the numbers in its end.

All threads of the process are in them, whatever else they did meanwhile, and so are children that
ended and were waited for.  A reading takes two small files and two system calls.

Source: getrusage(2); proc(5), ``/proc/PID/{io,statm}``.
"""

from __future__ import annotations

import os
import resource
from typing import NamedTuple

from .foreign import is_theirs
from .processes import transferred
from .readings import read_file

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Used(NamedTuple):
    """Since the process began."""

    cpu_seconds: float
    max_rss_bytes: int
    """The most that this or a child ever held."""
    rss_bytes: int
    """What it holds now."""
    moved: tuple[int, int] | None
    """Bytes read and written, if that is told."""


def used() -> Used:
    own, children = (
        resource.getrusage(of) for of in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return Used(
        own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime,
        max(own.ru_maxrss, children.ru_maxrss) << 10,
        _rss_bytes(),
        _moved(),
    )


def used_since(began: Used) -> dict[str, float]:
    """Return what was used meanwhile, by the names in `pllib.records.RESOURCES`.

    `max_rss_bytes` is the process's peak if it was reached meanwhile, else the larger of what it
    held at either end: the kernel keeps one peak for the whole of its life, and to set that back
    would take it from those who ask for it.
    """
    now = used()
    most = now.max_rss_bytes
    if most <= began.max_rss_bytes:  # which lags, as each processor counts pages by itself
        most = min(max(began.rss_bytes, now.rss_bytes), most)
    found = {"cpu_seconds": now.cpu_seconds - began.cpu_seconds, "max_rss_bytes": float(most)}
    if began.moved is not None and now.moved is not None:
        found["read_bytes"] = float(now.moved[0] - began.moved[0])
        found["written_bytes"] = float(now.moved[1] - began.moved[1])
    return found


def _rss_bytes() -> int:
    try:
        return int(read_file("/proc/self/statm").split()[1]) * _PAGE_BYTES
    except (OSError, IndexError, ValueError) as exc:
        if is_theirs(exc):
            raise
        return 0  # no /proc, as in some sandboxes


def _moved() -> tuple[int, int] | None:
    try:
        return transferred("self")
    except OSError as exc:
        if is_theirs(exc):
            raise
        return None  # no longer dumpable, and not root's
