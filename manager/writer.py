"""The one writer of the store: maps batches to triples while the last load runs, then loads them.

Two threads.  The mapper takes batches in the order they came and gathers them to a commit of about
45,000 triples or half a million points, less when the loader waits for it; the loader writes the
commit's Parquet files and loads its triples, watermarks with them.  `bulk_load` releases the GIL,
so the two run side by side.  A third thread makes snapshots, a fourth compacts series.

Guarantees: batches are committed in the order of `submit`; a watermark is in the same commit as the
records that it speaks of.  While the disk is full or fails nothing is dropped: the commit is tried
again until it is in, `trouble` tells why it is not, and `submit` refuses once the queue is full.
Anything else that fails stops the writer, which `failure` tells and `submit` refuses on.
"""

from __future__ import annotations

import contextlib
import math
import queue
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from pllib import linked
from pllib.errors import UnavailableError

from .compaction import Compactor
from .mapping import map_batch, map_series_file, map_watermark
from .retrying import Retrying
from .store.pointfiles import File, delete_unnamed
from .store.writable import Store

COMMIT_TRIPLES = 45_000
"""Where bulk_load is worth its cost: 197,000 triples/s, at 10,000 126,000 (pyoxigraph 0.5.13)."""
COMMIT_POINTS = 1 << 19
QUEUE_BATCHES = 64
SNAPSHOT_EVERY_S = 0.5
IDLE_S = 30.0
END_S = 2.0
"""How long the end tries again what the disk refuses; the journals have it."""
FLUSH_PATIENCE_S = 5.0
"""How long `flush` waits for a disk that is full or fails."""


@dataclass
class Commit:
    """What is loaded at once."""

    lines: list[str] = field(default_factory=list)
    n_triples: int = 0
    n_points: int = 0
    n_records: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    watermarks: dict[tuple[str, str], linked.Batch] = field(default_factory=dict)
    points: dict[str, list[linked.Points]] = field(default_factory=lambda: defaultdict(list))
    last: int = 0
    """Number of the last batch in it, by `submit`."""

    def add(self, number: int, batch: linked.Batch) -> None:
        lines = map_batch(batch)
        text = "".join(lines)
        self.lines.append(text)
        self.n_triples += text.count("\n")
        self.n_records += batch.n_records
        self.skipped.update(batch.skipped)
        self.watermarks[batch.journal, batch.queue] = batch
        if batch.points is not None:
            self.points[batch.queue].append(batch.points)
            self.n_points += batch.points.n_points
        self.last = number

    @property
    def is_full(self) -> bool:
        return self.n_triples >= COMMIT_TRIPLES or self.n_points >= COMMIT_POINTS


@dataclass
class Counts:
    """For `status` and `/metrics`."""

    batches: int = 0
    records: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    """Records that are counted in the graph instead of being in it, by reason."""
    triples: int = 0
    commits: int = 0
    snapshots: int = 0
    snapshot_at: float = 0.0


class Writer:
    def __init__(
        self,
        store: Store,
        series_folder: Path,
        snapshots: Path,
        patience_s: float = math.inf,
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        """Args:
        patience_s: How long the disk may be full or fail before that is a failure.
        on_failure: Called when a thread has stopped on an error; `failure` says which.
        """
        self._on_failure = on_failure
        self.store = store
        self.counts = Counts()
        self.failure = ""
        self._series_folder = series_folder
        self._snapshots = snapshots
        self._incoming: queue.Queue[tuple[int, linked.Batch] | None] = queue.Queue(QUEUE_BATCHES)
        self._ready: queue.Queue[Commit | None] = queue.Queue(1)
        self._changed = threading.Condition()
        self._retrying = Retrying(self._notify, patience_s)
        self._loading = threading.RLock()
        self._submitted = self._committed = self._visible = 0
        self._n_loads = 0
        self._durable: dict[tuple[str, str], int] = {}
        self._read_journals: set[str] = set()
        self._stopping = False
        self._drop_at = math.inf
        named = store.series_files()
        delete_unnamed(series_folder, named)
        self.compactor = Compactor(
            series_folder, named, store.superseded_files(), self._load_compaction
        )
        self._threads = [
            threading.Thread(target=self._guarded, args=(run,), name=name, daemon=True)
            for name, run in (
                ("mapper", self._map),
                ("loader", self._load),
                ("snapshots", self._snapshot),
                ("compactor", self.compactor.run),
            )
        ]

    @property
    def trouble(self) -> str:
        """What is wrong with the disk, or what stopped the writer; empty when all is well."""
        return self.failure or self._retrying.trouble

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def submit(self, batch: linked.Batch) -> int | None:
        """Take a batch in; return how far its journal queue is durable, None if not known.

        Raises:
            UnavailableError: The queue is full, or the writer has stopped on an error.
        """
        if self.failure:
            raise UnavailableError(f"the store takes no more: {self.failure}")
        with self._changed:
            try:
                self._incoming.put_nowait((self._submitted + 1, batch))
            except queue.Full:
                raise UnavailableError("the store is behind", "Try again in a moment") from None
            self._submitted += 1
            return self._durable.get((batch.journal, batch.queue))

    def watermarks(self, journal: str) -> dict[str, int]:
        """Return run → highest frame ordinal of that journal queue that is durable.

        Raises:
            UnavailableError: The store can't be read.
        """
        stored: dict[str, int] = {}
        if journal not in self._read_journals:  # not under the lock: it may take long
            try:
                stored = self.store.watermarks(journal)
            except OSError as exc:
                hint = "It is tried again; `sprov status` says more"
                raise UnavailableError(f"the store can't be read: {exc}", hint) from exc
        with self._changed:
            if journal not in self._read_journals:
                for run, last in stored.items():
                    self._durable[journal, run] = max(last, self._durable.get((journal, run), -1))
                self._read_journals.add(journal)
            return {run: last for (name, run), last in self._durable.items() if name == journal}

    def submit_waiting(self, batch: linked.Batch) -> None:
        """Take a batch in, waiting for room.

        Raises:
            UnavailableError: The writer has stopped on an error.
        """
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._incoming.qsize() < QUEUE_BATCHES or bool(self.failure), 0.2
                )
            if self.failure or self._incoming.qsize() < QUEUE_BATCHES:
                self.submit(batch)
                return

    @property
    def as_of(self) -> float:
        """Of when queries see the store, Unix time: now, if all that was submitted can be seen."""
        with self._changed:
            is_current = self._visible >= self._submitted
            return time.time() if is_current else self.counts.snapshot_at

    @property
    def n_waiting(self) -> int:
        return self._submitted - self._committed

    def flush(self, timeout_s: float) -> bool:
        """Wait until all that was submitted can be seen in a snapshot; return whether it can."""
        with self._changed:
            target = self._submitted
            self._changed.wait_for(
                lambda: (
                    self._visible >= target
                    or bool(self.failure)
                    or self._retrying.lasts_s > FLUSH_PATIENCE_S
                ),
                timeout_s,
            )
            return self._visible >= target and not self.failure

    def close(self, within_s: float = math.inf) -> None:
        """Commit what was submitted, make a last snapshot and stop; a bad disk ends it soon.

        Args:
            within_s: What was not begun by then is dropped: whoever submitted it asks for the
                watermarks again.
        """
        self._drop_at = time.monotonic() + within_s
        self._retrying.end_within(END_S)
        self.compactor.stop()
        self._threads[3].join()
        while self._threads[0].is_alive() and not self.failure:
            with contextlib.suppress(queue.Full):
                self._incoming.put(None, timeout=0.05)
                break
        self._threads[0].join()
        self._threads[1].join()
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._threads[2].join()
        self.store.close()

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _guarded(self, run: object) -> None:
        try:
            run()  # type: ignore[operator]
        except Exception as exc:  # noqa: BLE001  a thread's end must be seen, whatever it was
            with self._changed:
                self.failure = self.failure or f"{type(exc).__name__}: {exc}"
                self._changed.notify_all()
            self._on_failure()

    def _map(self) -> None:
        while not self.failure:
            commit, more = self._gather()
            if commit.last:
                self._hand_over(commit)
            if not more:
                break
        self._hand_over(None)

    def _gather(self) -> tuple[Commit, bool]:
        """Return the next commit, and whether there may be another.

        It is cut when it is full, or when the loader would take it and there is no more for it.
        """
        commit = Commit()
        while not (self.failure or commit.is_full):
            try:
                item = self._next_batch(commit)
            except queue.Empty:
                if commit.last and not self._ready.full():
                    break
                continue
            if item is None:
                return commit, False
            commit.add(*item)
        return commit, True

    def _next_batch(self, commit: Commit) -> tuple[int, linked.Batch] | None:
        """Raises:
        queue.Empty: None came as long as it was worth waiting.
        """
        if time.monotonic() >= self._drop_at:
            return None
        if commit.last and not self._ready.full():
            return self._incoming.get_nowait()
        return self._incoming.get(timeout=0.02 if commit.last else 0.2)

    def _hand_over(self, commit: Commit | None) -> None:
        while not self.failure and time.monotonic() < self._drop_at:
            try:
                self._ready.put(commit, timeout=0.2)
                return
            except queue.Full:
                continue

    def _load(self) -> None:
        while (commit := self._next_commit()) is not None:
            files = [
                (run, self._write_points(run, points)) for run, points in commit.points.items()
            ]
            commit.lines.extend(map_series_file(run, file.name) for run, file in files)
            for batch in commit.watermarks.values():
                commit.lines.extend(map_watermark(batch))
            self._load_triples("".join(commit.lines))
            self._note(commit)
            for run, file in files:
                self.compactor.added(run, file)

    def _write_points(self, run: str, points: list[linked.Points]) -> File:
        from .series import write_points  # pyarrow takes 0.2 s, and many runs have no points

        attempt = partial(write_points, self._series_folder, run, points)
        return self._retrying.until_done("series", attempt)

    def _load_triples(self, lines: str) -> None:
        """Load what may be loaded twice: an attempt that failed may have been one that did not."""
        with self._loading:
            self._retrying.until_done("store", partial(self.store.load, lines.encode()), self._mend)

    def _mend(self) -> None:
        with self._loading:
            self.store.reopen()

    def _load_compaction(self, lines: str) -> None:
        self._load_triples(lines)
        with self._changed:
            self._n_loads += 1
            self._changed.notify_all()

    def _next_commit(self) -> Commit | None:
        while not self.failure and time.monotonic() < self._drop_at:
            with contextlib.suppress(queue.Empty):
                return self._ready.get(timeout=0.2)
        return None

    def _note(self, commit: Commit) -> None:
        with self._changed:
            self._n_loads += 1
            self._committed = commit.last
            for key, batch in commit.watermarks.items():
                self._durable[key] = batch.last
            self.counts.commits += 1
            self.counts.records += commit.n_records
            self.counts.skipped.update(commit.skipped)
            self.counts.triples += commit.n_triples
            self._changed.notify_all()

    def _snapshot(self) -> None:
        """Make a snapshot when there is something new, not too often; tidy up when idle."""
        self._make_snapshot(0)
        n_seen, unoptimized = 0, False
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._n_loads > n_seen or self._stopping, IDLE_S)  # noqa: B023
                committed, n_loads, stopping = self._committed, self._n_loads, self._stopping
            if n_loads > n_seen:
                started = time.monotonic()
                self._make_snapshot(committed)
                n_seen, unoptimized = n_loads, True
                rest_s = SNAPSHOT_EVERY_S - (time.monotonic() - started)
                with self._changed:
                    self._changed.wait_for(lambda: self._stopping, max(0.0, rest_s))
            elif stopping or self.failure:
                return
            else:
                unoptimized = not self._tidy(optimize=unoptimized)

    def _tidy(self, *, optimize: bool) -> bool:
        """Return False if it is to be tried again."""
        if self.compactor.superseded():
            self._make_snapshot(self._visible)  # the oldest, which may count them, goes
        if optimize:
            try:
                self.store.optimize()
            except OSError:  # it needs space that loads do not; these say it if there is none
                return False
            self.compactor.tidy()
        return True

    def _make_snapshot(self, committed: int) -> None:
        superseded = self.compactor.superseded()
        attempt = partial(self.store.snapshot, self._snapshots)
        self._retrying.until_done("snapshot", attempt, self._mend)
        self.compactor.snapshot_made(superseded)
        with self._changed:
            self._visible = committed
            self.counts.snapshots += 1
            self.counts.snapshot_at = time.time()
            self._changed.notify_all()
