"""What a process and its node use while they run, as series of its session.

One thread samples.  The process is sampled by whoever asks for it; the node, and each of its GPUs,
by one process of a job (`pllib.seats`), so that sums over ranks count nothing twice.  What a
machine does not tell is left out.  Series and units: docs/reference/telemetry.md.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from typing import TYPE_CHECKING

from .launch import JOB_FACTS
from .readings import JOULES, Reading, Source
from .seats import Seats

if TYPE_CHECKING:
    from .gpu import Gpu
    from .processes import Processes
    from .session import Session

ENERGY = "energy"
"""The series of all energy that a process counts: those of all ranks add up to that of the job."""
STOP_TIMEOUT_S = 1.0

_running: weakref.WeakSet[Sampler] = weakref.WeakSet()
_fork_hook = False


class Sampler:
    """Samples a process with its descendants, and what it is elected to: at the start, each period
    and at the end.

    Args:
        pid: Of the process: this one, or one that this one started.
        period_s: Seconds; a sample that is late is not made up for.
    """

    def __init__(self, session: Session, pid: int, period_s: float) -> None:
        self.n_samples = 0
        self.processes: Processes | None = None
        """Those that are sampled, once it has begun."""
        self._session = session
        self._pid = pid
        self._period_s = period_s
        self._seats = Seats(_scope(session))
        self._sources: list[Source] = []
        self._answered: set[Source] = set()
        self._whole_node = ""
        self._stopped = threading.Event()
        self._given_up = False
        self._thread = threading.Thread(target=self._run, name="sprov-telemetry", daemon=True)

    def start(self) -> None:
        """Begin; all else happens on the thread."""
        _watch_forks()
        _running.add(self)
        try:
            self._thread.start()
        except RuntimeError as exc:  # no thread to be had, as at interpreter exit
            self._session.tell(f"no telemetry: {exc}")

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Take the last sample and end; a driver that does not answer is not waited for."""
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        if self._thread.is_alive():
            self._given_up = True
            self._session.lose("telemetry: the last sample took too long")

    def abandon(self) -> None:
        """In a forked child, which has no such thread: the parent samples on."""
        self._seats.abandon()

    def _run(self) -> None:
        self._session.guard(self._find)
        due_s, is_last = time.monotonic(), False
        while True:
            self._session.guard(self._sample)
            if is_last or self._given_up:
                break
            due_s = max(due_s + self._period_s, time.monotonic())
            is_last = self._stopped.wait(due_s - time.monotonic())
        self._session.guard(self._seats.leave)

    def _find(self) -> None:
        """Find what there is to sample; here, so that nobody waits for the imports and drivers."""
        from .processes import Processes

        processes = self.processes = Processes(self._pid)
        self._sources.append(processes)
        self._sample()  # at once: beside a busy interpreter the rest of this takes its time
        try:
            self._seats.hold("node")
        except OSError as exc:
            self._session.tell(f"the node is not sampled: {exc}")
            return
        from .energy import WHOLE_NODE, find_energy
        from .node import node_sources

        self._sources += node_sources()
        if (energy := find_energy()) is not None:
            self._sources.append(energy)
            self._whole_node = WHOLE_NODE if energy.name == WHOLE_NODE else ""
        if gpus := self._find_gpus():
            from .gpu import GpuMemory, usable

            self._sources += gpus
            of = usable(gpus, os.environ)
            self._sources.append(GpuMemory(of, lambda: processes.pids))

    def _find_gpus(self) -> list[Gpu]:
        from .gpu import find_gpus

        try:
            return find_gpus()
        except ModuleNotFoundError:
            if self._seats.hold("node"):
                self._session.tell("GPUs are not sampled: install sprov[gpu]")
            return []

    def _sample(self) -> None:
        found: list[Reading] = []
        for source in [*self._sources]:
            found += self._session.guard(self._read, source) or []
        joules = [
            reading.value
            for reading in found
            if reading.unit == JOULES and self._whole_node in ("", reading.name)
        ]
        if joules:
            found.append(Reading(ENERGY, sum(joules), JOULES))
        for name, value, unit in found:
            if not self._given_up:
                self._session.metric(name, value, unit=unit)
        self.n_samples += 1

    def _read(self, source: Source) -> list[Reading]:
        """Read a source if that is up to this process; one that never answers is no loss."""
        if source.seat and not self._seats.hold(source.seat):
            return []
        try:
            found = source.read()
        except OSError:
            if source in self._answered:
                raise
            self._sources.remove(source)
            return []
        self._answered.add(source)
        return found


def _scope(session: Session) -> str:
    """Return what elects on a node: the job, else the run."""
    job, cluster = (os.environ.get(JOB_FACTS[name], "") for name in ("job_id", "cluster"))
    return f"{cluster}/{job}" if job else session.run


def _watch_forks() -> None:
    global _fork_hook
    if not _fork_hook:
        _fork_hook = True
        os.register_at_fork(after_in_child=_abandon_all)


def _abandon_all() -> None:
    for sampler in [*_running]:
        sampler.abandon()
    _running.clear()
