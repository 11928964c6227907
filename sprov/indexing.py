"""Journals into the store, in this process: what tracker and manager do together, alone."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from manager.store.writable import Store
from manager.writer import Writer
from pllib.errors import UnavailableError
from pllib.log import LogReader
from pllib.project import Project
from tracker.journal import read_unstored, segments
from tracker.workqueue import WorkQueues

VISIBLE_TIMEOUT_S = 3600.0
DISK_PATIENCE_S = 3.0
"""How long a disk is tried again that is full or fails: one error may be all."""


@contextlib.contextmanager
def open_writer(
    store_folder: Path, series: Path, snapshots: Path, wait_s: float = 0.0
) -> Iterator[Writer]:
    """Open a store for writing; on the way out all is committed and in a snapshot.

    Args:
        wait_s: How long to wait for another writer to end.

    Raises:
        UnavailableError: Another process writes it, or a commit failed.
    """
    store = _open_store(store_folder, wait_s)
    writer = Writer(store, series, snapshots, patience_s=DISK_PATIENCE_S)
    writer.start()
    try:
        yield writer
        if not writer.flush(VISIBLE_TIMEOUT_S):
            raise UnavailableError(
                f"the store stopped: {writer.failure or 'no snapshot'}",
                "The journals have everything: make room if there is none, then `sprov ingest`",
            )
    finally:
        writer.close()


def _open_store(folder: Path, wait_s: float) -> Store:
    deadline = time.monotonic() + wait_s
    while True:
        try:
            return Store(folder)
        except UnavailableError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.05)


def journals(project: Project) -> list[tuple[str, Path]]:
    """Return (identity, folder) of the project's journals that hold anything."""
    found = []
    for folder in sorted(path for path in project.journal.glob("*") if path.is_dir()):
        known = segments(folder)
        if known:
            with LogReader(known[0][1]) as reader:
                found.append((reader.header.log_id.hex(), folder))
    return found


def index(
    project: Project,
    writer: Writer,
    on_records: Callable[[int], None] = lambda n: None,
    only: Path | None = None,
) -> int:
    """Store what the journals have and the store has not; return how many records that was.

    Args:
        on_records: Called with the number of records of each batch, for progress.
        only: Folder of the one journal to look at.
    """
    return sum(
        index_journal(identity, folder, writer, on_records)
        for identity, folder in journals(project)
        if only is None or folder == only
    )


def index_journal(
    identity: str,
    folder: Path,
    writer: Writer,
    on_records: Callable[[int], None] = lambda n: None,
    on_frames: Callable[[int], None] = lambda n: None,
) -> int:
    """Store what one journal has and the store has not, wherever it lies, as `index` does.

    Args:
        on_frames: Called with 1 for each frame that was read, for progress.
    """
    n_records = 0
    marks = writer.watermarks(identity)
    queues = WorkQueues()
    for ordinal, frame, stored in read_unstored(folder, marks):
        queues.put(ordinal, frame, stored)
        on_frames(1)
        n_records += _submit_due(queues, identity, writer, on_records, all_ages=False)
    return n_records + _submit_due(queues, identity, writer, on_records, all_ages=True)


def _submit_due(
    queues: WorkQueues,
    identity: str,
    writer: Writer,
    on_records: Callable[[int], None],
    *,
    all_ages: bool,
) -> int:
    n_records = 0
    while (batch := queues.take(identity, all_ages=all_ages)) is not None:
        writer.submit_waiting(batch)
        n_records += batch.n_records
        on_records(batch.n_records)
    return n_records
