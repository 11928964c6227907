"""Rank processes of this node that end without a word: by a signal, or by `os._exit`.

The kernel tells when a process ends (pidfd, Linux 5.3).  Whether it left without a word its spool
tells alone: a file of this node whose owner is gone (`pllib.waiting`), and no end in it.  So a pid
that is another process's, as from a container with the host's name, costs some looks and is not
believed.  Ranks that ended before they said HELLO are found by their spools.

What is left in the spool is taken as from a collector.  The file stays: who collects reports it.
Of ranks on other nodes nothing is concluded: silence may be a network's.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from pllib import launch, telling, waiting
from pllib.errors import Error
from pllib.project import Project, read_endpoint

MAX_DESCRIPTORS = 512
"""Processes beyond that, or without pidfd, are looked for in /proc."""
LOOK_MS = 1000
LOOKS_S = (0.0, 1.0, 2.0, 4.0, 8.0, 15.0)
"""After the end of a process, between looks for its spool: one that ended in order leaves none."""
SCAN_S = 5.0
"""Between looks for spools of ranks that ended before they were heard of."""
TIMEOUT_S = 5.0


@dataclass
class _Gone:
    """A process that ended, by its log."""

    at_ns: int
    """When, 0 if it was gone before it could be watched."""
    n_looks: int = 0
    due: float = 0.0
    trouble: str = ""
    """Why what it left could not be handed over."""


class ProcessWatch:
    """Watches the processes whose logs are noted; all but `note` and `stop` on its own thread."""

    def __init__(self, project: Project, endpoint_file: Path, environ: Mapping[str, str]) -> None:
        self._project = project
        self._endpoint_file = endpoint_file
        self._environ = environ
        self._host = launch.host()
        self._noted: deque[tuple[bytes, int]] = deque()
        self._poll = select.poll()
        self._watched: dict[int, bytes] = {}
        """Descriptor → log."""
        self._sought: dict[bytes, int] = {}
        """Log → pid of those without a descriptor."""
        self._known: set[tuple[bytes, int]] = set()
        self._gone: dict[bytes, _Gone] = {}
        self.told: set[bytes] = set()
        """Logs whose processes are known to have ended without a word."""
        self._since_ns = time.time_ns()
        self._scan_at = 0.0
        self._stopping = threading.Event()
        self.n_told = 0
        self._scan_trouble = ""

    @property
    def trouble(self) -> str:
        """What is wrong now; empty when all is well."""
        return next((gone.trouble for gone in [*self._gone.values()] if gone.trouble), "") or (
            self._scan_trouble
        )

    def note(self, log_id: bytes, host: str, pid: int) -> None:
        """Take note of a rank that has said HELLO."""
        if host == self._host and pid > 0:
            self._noted.append((log_id, pid))

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._take_up()
                self._wait()
                self._look()
        finally:
            for descriptor in self._watched:
                os.close(descriptor)

    def _take_up(self) -> None:
        while self._noted:
            log_id, pid = noted = self._noted.popleft()
            if noted in self._known:  # it has connected again
                continue
            self._known.add(noted)
            try:
                descriptor = self._open(pid)
            except ProcessLookupError:
                self._gone[log_id] = _Gone(0)
                continue
            if descriptor is None:
                self._sought[log_id] = pid
            else:
                self._watched[descriptor] = log_id
                self._poll.register(descriptor, select.POLLIN)

    def _open(self, pid: int) -> int | None:
        """Return a descriptor of a process, None if none is to be had.

        Raises:
            ProcessLookupError: There is no such process.
        """
        if len(self._watched) >= MAX_DESCRIPTORS or not hasattr(os, "pidfd_open"):
            return None
        try:
            return os.pidfd_open(pid)
        except ProcessLookupError:
            raise
        except OSError:  # an older kernel, or no descriptor left
            return None

    def _wait(self) -> None:
        """Wait for ends, for a while."""
        if self._watched:
            ready = self._poll.poll(LOOK_MS)
        else:
            ready = []
            self._stopping.wait(LOOK_MS / 1000)
        for descriptor, _ in ready:
            self._poll.unregister(descriptor)
            os.close(descriptor)
            self._gone[self._watched.pop(descriptor)] = _Gone(time.time_ns())
        for log_id, pid in [*self._sought.items()]:
            if not os.path.exists(f"/proc/{pid}"):  # noqa: PTH110
                del self._sought[log_id]
                self._gone[log_id] = _Gone(0)

    def _look(self) -> None:
        """Look for what processes that ended have left."""
        now = time.monotonic()
        due = {log_id: gone for log_id, gone in self._gone.items() if gone.due <= now}
        if not due and now < self._scan_at:
            return
        self._scan_at = now + SCAN_S
        try:
            left = {log.log_id: log for log in waiting.spools(self._project, self._environ)}
            self._scan_trouble = ""
        except (Error, OSError) as exc:
            self._scan_trouble, left = str(exc), {}
        for log_id, log in left.items():
            if log_id not in self.told and log_id not in self._gone and self._is_new(log):
                due[log_id] = self._gone[log_id] = _Gone(0)
        for log_id, gone in due.items():
            found = left.get(log_id)
            gone.n_looks += 1
            gone.trouble = "" if found is None else self._tell(found, gone.at_ns)
            if found is not None and not gone.trouble:
                self.told.add(log_id)
            if log_id in self.told or gone.n_looks >= len(LOOKS_S):
                del self._gone[log_id]
            else:
                gone.due = now + LOOKS_S[gone.n_looks]

    def _is_new(self, log: waiting.Log) -> bool:
        """Tell whether a rank of this job left a spool that never came to say HELLO.

        What lay there before is left to collectors.
        """
        mine = ("", self._environ.get("SLURM_JOB_ID"))
        return not log.trouble and log.owner.job in mine and log.last_ns >= self._since_ns

    def _tell(self, log: waiting.Log, at_ns: int) -> str:
        """Hand over what is in a spool, and that its process was killed; return what failed."""
        try:
            endpoint = read_endpoint(self._endpoint_file)
            waiting.send(endpoint, log.frames(), TIMEOUT_S)
            if not log.is_closed:
                outcome = waiting.killed(log)
                if at_ns and outcome.state == "killed":
                    outcome = msgspec.structs.replace(outcome, at_ns=at_ns, seen_ns=0)
                telling.tell(self._project, log.owner.run, [outcome], endpoint=endpoint)
                self.n_told += 1
        except (Error, OSError) as exc:
            return f"{log.path}: {exc}"
        return ""
