"""What is looked at beside the running command: processes, what they have open, what they say."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, repeat

from pllib.places import SHARED_MEMORY
from pllib.processes import Processes, children
from pllib.session import Session

from .descriptors import Descriptors
from .lines import Lines
from .opened import Opened
from .written import Written

FIRST_LOOKS_S = (0.02, 0.05, 0.1, 0.2, 0.5)
"""Commands that are soon over are looked at, too."""
PERIOD_S = 2.0
"""What lies where the command works is looked at whenever it is written, too."""
PAUSE_S, MAX_PAUSE_S = 0.002, 0.064
"""Between looks because something is written: longer and longer as long as none is of use."""
STOP_TIMEOUT_S = 5.0


class Watcher:
    """Looks at the files of a command and of all that it started, until `stop`.

    Args:
        lines: What hooks append to, if any are there.
        written: What the kernel says of the folders where the command works.
    """

    def __init__(
        self,
        session: Session,
        pid: int,
        opened: Opened,
        since_ns: int,
        lines: Lines | None,
        written: Written | None,
    ) -> None:
        self._session = session
        self._processes = Processes(pid)
        self._opened = opened
        self._descriptors = Descriptors(opened, since_ns)
        self._lines = lines
        self._written = written
        self._poll = select.poll()
        self._stopped = os.eventfd(0, os.EFD_CLOEXEC)
        self._pause_s = PAUSE_S
        self.pids = {pid}
        """Of all processes that were seen."""
        self._thread = threading.Thread(target=self._run, name="sprov-watch", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self._poll.register(self._stopped, select.POLLIN)
        if self._written is not None:
            self._poll.register(self._written.fd, select.POLLIN)
            self._session.guard(self._descend, self._written)
        waits: Iterator[float] = chain(FIRST_LOOKS_S, repeat(PERIOD_S))
        due_s = time.monotonic() + next(waits)
        while True:
            ready = [fd for fd, _ in self._poll.poll(max(due_s - time.monotonic(), 0) * 1000)]
            if self._stopped in ready:
                break
            if time.monotonic() >= due_s:
                self._session.guard(self._look, self._sampled)
                wait_s = next(waits)
                due_s, self._pause_s = time.monotonic() + wait_s, PAUSE_S
            elif ready and self._written is not None:
                self._session.guard(self._look_at, self._written)
                time.sleep(self._pause_s)
        self._session.guard(self._end)

    def _descend(self, written: Written) -> None:
        self._note_changed(written.descend())

    def _note_changed(self, paths: Iterable[str]) -> None:
        for path in paths:
            if path not in self._descriptors.shared:
                self._opened.changed(path)

    def _look_at(self, written: Written) -> None:
        """Look at once if what is written may be the command's."""
        paths = [path for path in written.read() if not self._opened.is_written(path)]
        self._note_changed(paths)  # first: whose they are may not be seen, or the look may fail
        # In shared memory PyTorch's loaders make and delete a file for every tensor.
        near = [path for path in paths if not path.startswith(f"{SHARED_MEMORY}/")]
        if near:
            self._look(self._found)
        useful = any(map(self._opened.is_written, near))
        self._pause_s = PAUSE_S if useful else min(2 * self._pause_s, MAX_PAUSE_S)

    def _look(self, find: Callable[[], frozenset[int]]) -> None:
        pids = find()
        self.pids |= pids
        seen = self._descriptors.look(pids - self._own())
        if self._lines is not None:  # first: a hook tells of a file before it is open
            self._lines.take()
        written = self._descriptors.note(seen)
        if self._lines is not None:
            self._lines.tell_written(written)

    def _own(self) -> set[int]:
        """Return the processes of sprov's own commands below the command."""
        if self._lines is None:
            return set()
        self._lines.take()
        found, waiting = set(), [*self._lines.own_pids]
        while waiting:
            pid = waiting.pop()
            if pid not in found:
                found.add(pid)
                waiting += children(pid)
        return found

    def _found(self) -> frozenset[int]:
        self._processes.read()
        return self._processes.pids

    def _sampled(self) -> frozenset[int]:
        """Return the processes that telemetry has found: finding is most of the work."""
        sampler = self._session.sampler
        if sampler is None or sampler.processes is None:
            return self._found()
        return sampler.processes.pids

    def _end(self) -> None:
        if self._lines is not None:
            self._lines.take()
        if self._written is not None:
            self._note_changed(self._written.read())
            self._written.close()

    def stop(self) -> bool:
        """Take what there is and end; return whether it did."""
        os.eventfd_write(self._stopped, 1)
        self._thread.join(STOP_TIMEOUT_S)
        return not self._thread.is_alive()
