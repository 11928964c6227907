"""Compaction: many small files of a run become one, so that readers open few.

A commit writes a file for each run, so hours of points are thousands of files.  A thread of low
priority merges them.  The new file is written and synced first; then one commit names it and says
which files it supersedes.  These stay until no snapshot is left that counts them.

Guarantees: whenever it is killed, every point is in one file that counts: until the commit the new
file is unnamed, from then on the old ones are superseded.  Nothing waits for a compaction but a
commit, for the few triples of this one; what fails costs nothing but itself.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

from .mapping import map_series_file
from .ntriples import node, string
from .store.pointfiles import DamagedError, File, run_of
from .store.writable import KEEP_SNAPSHOTS
from .vocabulary import term

ENOUGH_POINTS = 1 << 19
"""A file of so many is left alone; a compaction takes at most twice as many."""
FAN_IN, IDLE_FAN_IN = 16, 4
"""Files of like size that are worth a compaction; files of any size, when there is time."""
NICENESS = 10


class Compactor:
    """Knows the files that count; `added`, `tidy` and the snapshot calls are for other threads."""

    def __init__(
        self, folder: Path, named: set[str], superseded: set[str], commit: Callable[[str], None]
    ) -> None:
        """Args:
        commit: Loads triples, all or none, durable when it returns.
        """
        self.n_done = 0
        self.trouble = ""
        self._folder = folder
        self._commit = commit
        self._changed = threading.Condition()
        self._files: dict[str, dict[str, int | None]] = defaultdict(dict)
        """Run to files that count and are not left alone, with their points if known."""
        for name in sorted(named - superseded, key=self._modified):
            if run := run_of(name):
                self._files[run][name] = None
        self._due: dict[str, int] = {}
        """Run to the number of files of it that is worth a compaction."""
        here = [name for name in superseded if run_of(name) and (folder / name).exists()]
        self._retired = dict.fromkeys(here, 0)
        """Superseded file to the number of snapshots that were made since."""
        self._stopping = False

    def added(self, run: str, file: File) -> None:
        """A commit has named a file."""
        with self._changed:
            if file.n_points < ENOUGH_POINTS:
                self._files[run][file.name] = file.n_points
                self._due.setdefault(run, FAN_IN)
                self._changed.notify()

    def tidy(self) -> None:
        """There is time: files need not be as many, nor of like size."""
        with self._changed:
            self._due = dict.fromkeys(self._files, IDLE_FAN_IN)
            self._changed.notify()

    def stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def run(self) -> None:
        """Compact until `stop`."""
        with contextlib.suppress(OSError):  # Linux: the priority is a thread's own
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._due or self._stopping)
                if self._stopping:
                    return
                run, fan_in = self._due.popitem()
            while (chosen := self._choose(run, fan_in)) and not self._stopping:
                if not self._compact(run, chosen):
                    break

    def _choose(self, run: str, fan_in: int) -> list[str]:
        """Return small files of a run that are worth a compaction, none if they are too few."""
        with self._changed:
            files = dict(self._files[run])
        if len(files) < fan_in:
            return []
        levels: dict[int, list[tuple[int, str]]] = defaultdict(list)
        for name, known in files.items():  # in the order that they came, to keep steps in order
            n_points = self._n_points(run, name, known)
            if n_points < ENOUGH_POINTS:
                level = n_points.bit_length() // 3 if fan_in == FAN_IN else 0
                levels[level].append((n_points, name))
        return next((_enough(level) for level in levels.values() if len(level) >= fan_in), [])

    def _modified(self, name: str) -> int:
        try:
            return (self._folder / name).stat().st_mtime_ns
        except OSError:
            return 0

    def _n_points(self, run: str, name: str, known: int | None) -> int:
        if known is None:
            from .series import count_points

            try:
                known = count_points(self._folder / name)
            except (OSError, DamagedError):
                known = ENOUGH_POINTS  # it is left alone, and whoever reads it is told
            with self._changed:
                self._files[run][name] = known
        return known

    def _compact(self, run: str, names: list[str]) -> bool:
        """Merge files; False if they had better be left until more come, or there is time.

        What can never be merged is left as it is, and alone.
        """
        try:
            file = self._merge(run, names)
        except OSError as exc:
            self.trouble = f"files of run {run} are apart still: {exc}"
            return False
        except (SyntaxError, DamagedError) as exc:
            self.trouble = f"files of run {run} stay apart: {exc}"
            with self._changed:
                for name in names:
                    del self._files[run][name]
            return True
        self.trouble = ""
        with self._changed:
            for name in names:
                del self._files[run][name]
                self._retired[name] = 0
            self.n_done += 1
        self.added(run, file)
        return True

    def _merge(self, run: str, names: list[str]) -> File:
        from .series import merge

        file = merge(self._folder, run, names)
        self._commit(map_series_file(run, file.name) + map_superseded(run, names))
        return file

    def superseded(self) -> frozenset[str]:
        """Return the files that a snapshot made from now on knows to be superseded."""
        with self._changed:
            return frozenset(self._retired)

    def snapshot_made(self, superseded: Iterable[str]) -> None:
        """A snapshot knows these to be superseded; delete those that all snapshots know of."""
        with self._changed:
            for name in superseded:
                self._retired[name] += 1
            done = [name for name, n in self._retired.items() if n >= KEEP_SNAPSHOTS]
            for name in done:
                del self._retired[name]
        for name in done:
            with contextlib.suppress(OSError):  # on the next start it is tried again
                (self._folder / name).unlink()


def _enough(sized: list[tuple[int, str]]) -> list[str]:
    """Return the first files whose points are enough."""
    taken, total = [], 0
    for n_points, name in sized:
        taken.append(name)
        total += n_points
        if total >= ENOUGH_POINTS:
            break
    return taken


def map_superseded(run: str, names: list[str]) -> str:
    """Return the triples that take files of a run out of those that count."""
    subject, predicate = node("run", run), term("sprov:supersededFile")
    return "".join(f"{subject} {predicate} {string(name)} .\n" for name in names)
