"""System calls of this process that fail when told to: each place at which a disk may fail."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

SYNCS = ("fdatasync", "fsync")
NAMES = (*SYNCS, "write", "ftruncate", "rename", "unlink", "open")
"""Of `os`: what changes a file or a folder."""


class Fault(NamedTuple):
    """Calls that fail: as many as `n_calls`, from number `at` on."""

    at: int
    error: int
    n_calls: int = 1
    is_short: bool = False
    """A write that fails has written half of its data, as on a disk that is nearly full."""


class Calls:
    """Counts calls, and has some of them fail; inside `counted` alone."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.n = 0
        self.fault: Fault | None = None
        self._is_counting = False
        for name in NAMES:
            patch.setattr(os, name, self._counted(name, getattr(os, name)))

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        self._is_counting = True
        try:
            yield
        finally:
            self._is_counting = False

    def _counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*given: Any, **named: Any) -> Any:
            only_reads = name == "open" and not given[1] & os.O_CREAT
            if not self._is_counting or only_reads:
                return call(*given, **named)
            nth, fault = self.n, self.fault
            self.n += 1
            if fault is None or not fault.at <= nth < fault.at + fault.n_calls:
                # What a disk keeps when the power goes nobody asks here, and syncs take long.
                return None if name in SYNCS else call(*given, **named)
            if name == "write" and fault.is_short and len(given[1]) > 1:
                return call(given[0], given[1][: len(given[1]) // 2])
            raise OSError(fault.error, os.strerror(fault.error))

        return counted


def faults(n_calls: int) -> Iterator[Fault]:
    """Yield a fault of each kind at each of `n_calls` calls."""
    for at in range(n_calls):
        yield Fault(at, errno.EIO)
        yield Fault(at, errno.EIO, n_calls=3)
        yield Fault(at, errno.ENOSPC, n_calls=7)
        yield Fault(at, errno.ENOSPC, n_calls=4, is_short=True)
