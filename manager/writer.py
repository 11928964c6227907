"""The one writer of the store: maps batches to triples while the last load runs, then loads them.

Two threads.  The mapper takes batches in the order they came and gathers them to a commit of about
45,000 triples; the loader writes the commit's Parquet files and loads its triples, watermarks with
them.  `bulk_load` releases the GIL, so the two run side by side.  A third thread makes snapshots.

Guarantees: batches are committed in the order of `submit`; a watermark is in the same commit as the
records that it speaks of; nothing is dropped but by an error that stops the writer, which `failure`
tells and `submit` refuses on.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from pllib import linked
from pllib.errors import UnavailableError

from . import series
from .mapping import map_batch, map_series_file, map_watermark
from .store.writable import Store

COMMIT_TRIPLES = 45_000
"""Where bulk_load is worth its cost: 197,000 triples/s, at 10,000 126,000 (pyoxigraph 0.5.13)."""
QUEUE_BATCHES = 64
SNAPSHOT_EVERY_S = 0.5
IDLE_OPTIMIZE_S = 30.0


@dataclass
class Commit:
    """What is loaded at once."""

    lines: list[str] = field(default_factory=list)
    n_triples: int = 0
    n_records: int = 0
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
        self.watermarks[batch.journal, batch.queue] = batch
        if batch.points is not None:
            self.points[batch.queue].append(batch.points)
        self.last = number


@dataclass
class Counts:
    """For `status` and `/metrics`."""

    batches: int = 0
    records: int = 0
    triples: int = 0
    commits: int = 0
    snapshots: int = 0
    snapshot_at: float = 0.0


class Writer:
    def __init__(self, store: Store, series_folder: Path, snapshots: Path) -> None:
        self.store = store
        self.counts = Counts()
        self.failure = ""
        self._series_folder = series_folder
        self._snapshots = snapshots
        self._incoming: queue.Queue[tuple[int, linked.Batch] | None] = queue.Queue(QUEUE_BATCHES)
        self._ready: queue.Queue[Commit | None] = queue.Queue(1)
        self._changed = threading.Condition()
        self._submitted = self._committed = self._visible = 0
        self._durable: dict[tuple[str, str], int] = {}
        self._read_journals: set[str] = set()
        self._stopping = False
        series.delete_unnamed(series_folder, store.series_files())
        self._threads = [
            threading.Thread(target=self._guarded, args=(run,), name=name, daemon=True)
            for name, run in (
                ("mapper", self._map),
                ("loader", self._load),
                ("snapshots", self._snapshot),
            )
        ]

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
        """Return run → highest frame ordinal of that journal queue that is durable."""
        with self._changed:
            if journal not in self._read_journals:
                self._read_journals.add(journal)
                for run, last in self.store.watermarks(journal).items():
                    self._durable[journal, run] = max(last, self._durable.get((journal, run), -1))
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
    def n_waiting(self) -> int:
        return self._submitted - self._committed

    def flush(self, timeout_s: float) -> bool:
        """Wait until all that was submitted can be seen in a snapshot."""
        with self._changed:
            target = self._submitted
            return (
                self._changed.wait_for(
                    lambda: self._visible >= target or bool(self.failure), timeout_s
                )
                and not self.failure
            )

    def close(self) -> None:
        """Commit what was submitted, make a last snapshot and stop."""
        while not self.failure:
            with contextlib.suppress(queue.Full):
                self._incoming.put(None, timeout=0.2)
                break
        self._threads[0].join()
        self._threads[1].join()
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._threads[2].join()
        self.store.close()

    def _guarded(self, run: object) -> None:
        try:
            run()  # type: ignore[operator]
        except Exception as exc:  # noqa: BLE001  a thread's end must be seen, whatever it was
            with self._changed:
                self.failure = self.failure or f"{type(exc).__name__}: {exc}"
                self._changed.notify_all()

    def _map(self) -> None:
        while not self.failure:
            commit, more = self._gather()
            if commit.last:
                self._hand_over(commit)
            if not more:
                break
        self._hand_over(None)

    def _gather(self) -> tuple[Commit, bool]:
        """Return the next commit, and whether there may be another."""
        commit = Commit()
        item = self._next_batch()
        while item is not None:
            commit.add(*item)
            if commit.n_triples >= COMMIT_TRIPLES:
                return commit, True
            try:
                item = self._incoming.get_nowait()
            except queue.Empty:
                return commit, True
        return commit, False

    def _next_batch(self) -> tuple[int, linked.Batch] | None:
        while not self.failure:
            with contextlib.suppress(queue.Empty):
                return self._incoming.get(timeout=0.2)
        return None

    def _hand_over(self, commit: Commit | None) -> None:
        while not self.failure:
            try:
                self._ready.put(commit, timeout=0.2)
                return
            except queue.Full:
                continue

    def _load(self) -> None:
        while (commit := self._next_commit()) is not None:
            for run, points in commit.points.items():
                name = series.write_points(self._series_folder, run, points)
                commit.lines.append(map_series_file(run, name))
            for batch in commit.watermarks.values():
                commit.lines.extend(map_watermark(batch))
            self.store.load("".join(commit.lines).encode())
            self._note(commit)

    def _next_commit(self) -> Commit | None:
        while not self.failure:
            with contextlib.suppress(queue.Empty):
                return self._ready.get(timeout=0.2)
        return None

    def _note(self, commit: Commit) -> None:
        with self._changed:
            self._committed = commit.last
            for key, batch in commit.watermarks.items():
                self._durable[key] = batch.last
            self.counts.commits += 1
            self.counts.records += commit.n_records
            self.counts.triples += commit.n_triples
            self._changed.notify_all()

    def _snapshot(self) -> None:
        """Make a snapshot when there is something new, not too often; tidy up when idle."""
        self.store.snapshot(self._snapshots)
        self.counts.snapshot_at = time.time()
        unoptimized = False
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._committed > self._visible or self._stopping, IDLE_OPTIMIZE_S
                )
                committed, stopping = self._committed, self._stopping
            if committed > self._visible:
                started = time.monotonic()
                self.store.snapshot(self._snapshots)
                self._note_snapshot(committed)
                unoptimized = True
                if not stopping:
                    time.sleep(max(0.0, SNAPSHOT_EVERY_S - (time.monotonic() - started)))
            elif stopping or self.failure:
                return
            elif unoptimized:
                self.store.optimize()
                unoptimized = False

    def _note_snapshot(self, committed: int) -> None:
        with self._changed:
            self._visible = committed
            self.counts.snapshots += 1
            self.counts.snapshot_at = time.time()
            self._changed.notify_all()
