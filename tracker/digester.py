"""The thread that reads files beside the tracker and journals what they hold."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterable

from pllib import linked
from pllib.log import frame_key
from pllib.records import Digested

from .digests import DigestLog, examine
from .journal import Journal

MAX_WAITING = 100_000
"""Files that wait; more are left to `sprov ingest`, which finds what has no digest."""
MAX_KNOWN = 100_000
FRAME_RECORDS = 256
RETRY_S = 1.0
NICE = 10
"""Of the thread: files are read when nobody else wants the processor."""


class Digester:
    """Takes files in as the linker meets them; one thread reads them."""

    def __init__(self, journal: Journal, largest: int) -> None:
        """Args:
        largest: Bytes of a file over which it is not read; 0 reads none.
        """
        self._journal = journal
        self._largest = largest
        self._log = DigestLog("sprov tracker")
        self._waiting: OrderedDict[str, linked.File] = OrderedDict()
        self._known: OrderedDict[str, None] = OrderedDict()
        self._changed = threading.Condition()
        self._stopping = False
        self.n_unfinished = 0
        """Files that were taken in, and whose digests are neither journalled nor given up."""
        self.n_digested = self.n_overwritten = self.n_left = 0
        self.trouble = ""

    @property
    def n_waiting(self) -> int:
        return len(self._waiting)

    def offer(self, files: Iterable[linked.File]) -> None:
        """Have files read later, each version once."""
        with self._changed:
            for file in files:
                if file.id in self._known or not self._largest:
                    continue
                if len(self._waiting) >= MAX_WAITING:
                    self.n_left += 1
                    continue
                self._known[file.id] = None
                self._waiting[file.id] = file
                self.n_unfinished += 1
                if len(self._known) > MAX_KNOWN:
                    self._known.popitem(last=False)
            self._changed.notify()

    def run(self) -> None:
        """Read until `stop`."""
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        found: list[Digested] = []
        while (file := self._next(wait=not found)) is not None or found:
            record = None if file is None else examine(file, self._largest)
            if record is not None:
                found.append(record)
            elif file is not None:
                self._finish(1)
            if found and (file is None or len(found) >= FRAME_RECORDS):
                self._write(found)
                self._finish(len(found))
                found = []

    def _finish(self, n_files: int) -> None:
        with self._changed:
            self.n_unfinished -= n_files

    def stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._waiting.clear()
            self._changed.notify()

    def _next(self, *, wait: bool) -> linked.File | None:
        """Return the file that came first; None when there is none, or at the end if `wait`."""
        with self._changed:
            while wait and not self._waiting and not self._stopping:
                self._changed.wait()
            return self._waiting.popitem(last=False)[1] if self._waiting else None

    def _stops_within(self, seconds: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._stopping, seconds)

    def _write(self, found: list[Digested]) -> None:
        """Journal digests, as soon as the disk takes them.

        Those that are left at the end `sprov ingest` finds: the files have none.
        """
        packed = self._log.frame(found).pack()
        while not self._append(packed):
            if self._stops_within(RETRY_S):
                return
        self.n_overwritten += sum(record.digest is None for record in found)
        self.n_digested += sum(record.digest is not None for record in found)

    def _append(self, packed: bytes) -> bool:
        try:
            self._journal.append([(frame_key(packed), packed)])
        except OSError as exc:
            self.trouble = f"digests are not journalled: {exc}"
            return False
        self.trouble = ""
        return True
