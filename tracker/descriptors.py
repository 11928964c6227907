"""File descriptors: each client takes one, and without a free one the tracker can't work."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Mapping

CLIENTS = 10_000
"""That a tracker is to have room for, unless its job has more tasks."""
OWN = 64
"""Of the tracker itself: journal, manager, files that it reads, sockets, Python.  Measured: 17."""
MAX_BACKLOG = 4096
"""Ten thousand that come at once overflow one of 1,024, and wait for their kernels to try again,
for twice as long each time."""
MAX_MARGIN = 256
"""Connections that may be accepted until it is seen that one was the last."""
UNLIMITED = 1 << 20
FOLDER = "/proc/self/fd"


class Room:
    """What the limit of this process leaves for clients; the soft limit becomes the hard one."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != hard:
            with contextlib.suppress(OSError, ValueError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self.limit = UNLIMITED if limit == resource.RLIM_INFINITY else limit
        self.backlog = min(max(self.limit // 5, 16), MAX_BACKLOG)
        """Connections that may wait to be accepted: they come even when no more are let in."""
        self.most = self.limit - OWN - self.backlog - min(self.limit // 16, MAX_MARGIN)
        """Descriptors at which no more clients are let in, but for those that wait already."""
        tasks = environ.get("SLURM_NTASKS", "")
        self.n_tasks = int(tasks) if tasks.isascii() and tasks.isdigit() and len(tasks) < 10 else 0

    @property
    def n_clients(self) -> int:
        """How many clients fit."""
        return max(self.most - OWN, 0)

    @property
    def warning(self) -> str:
        """What to say at the start if that may be too few; else empty."""
        if self.n_clients >= max(CLIENTS, self.n_tasks):
            return ""
        return (
            f"{self.n_clients} clients fit at once, others wait in their spools: "
            f"the hard limit on open files is {self.limit} (`ulimit -Hn`)"
        )

    @property
    def trouble(self) -> str:
        """The same where it is known to be too few for the job."""
        return self.warning if self.n_tasks > self.n_clients else ""

    def is_filled_by(self, descriptor: int) -> bool:
        """Tell whether a new descriptor is one too many: all lower numbers are taken."""
        return descriptor >= self.most

    def is_there(self) -> bool:
        """Tell whether clients may be let in again; costs milliseconds where thousands are open."""
        try:
            return len(os.listdir(FOLDER)) < self.most - self.backlog // 2  # noqa: PTH208
        except OSError:
            return False
