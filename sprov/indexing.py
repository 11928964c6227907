"""Journals into the store, in this process: what tracker and manager do together, alone."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from manager.store.writable import Store
from manager.writer import Writer
from pllib import notices
from pllib.errors import BusyError, LogError, UnavailableError
from pllib.project import Project
from tracker.journal import OnUnreadable, Unreadable, read_unstored, refuse_unreadable, segments
from tracker.workqueue import WorkQueues

from .keeping.stubs import identity_of
from .skipped import in_words

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
        BusyError: Another process writes it.
        UnavailableError: It can't be opened, or a commit failed.
    """
    store = _open_store(store_folder, wait_s)
    writer = Writer(store, series, snapshots, patience_s=DISK_PATIENCE_S)
    writer.start()
    try:
        yield writer
        flushed = writer.flush(VISIBLE_TIMEOUT_S)
        for reason, count in sorted(writer.counts.skipped.items()):
            notices.write(f"{in_words(reason, count)}")
        if not flushed:
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
        except BusyError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.05)


def journals(project: Project) -> list[tuple[str, Path]]:
    """Return (identity, folder) of the project's journals that hold anything.

    The identity is empty where no segment can be read.
    """
    folders = sorted(path for path in project.journal.glob("*") if path.is_dir())
    return [
        (next(filter(None, map(identity_of, paths)), ""), folder)
        for folder in folders
        if (paths := [path for _, path in segments(folder)])
    ]


def index(
    project: Project,
    writer: Writer,
    on_records: Callable[[int], None] = lambda n: None,
    only: Path | None = None,
    on_unreadable: OnUnreadable = refuse_unreadable,
) -> int:
    """Store what the journals have and the store has not; return how many records that was.

    Args:
        on_records: Called with the number of records of each batch, for progress.
        only: Folder of the one journal to look at.
        on_unreadable: Called with a segment that can't be read; when it returns, that is skipped.
    """
    return sum(
        index_journal(identity, folder, writer, on_records, on_unreadable=on_unreadable)
        for identity, folder in journals(project)
        if only is None or folder == only
    )


def tell_skipped(skipped: Sequence[Unreadable]) -> None:
    """Name the segments that could not be read.

    Raises:
        SystemExit: There are some.
    """
    for segment in skipped:
        notices.write(f"{segment}; `sprov rebuild` stores it once it can be read")
    if skipped:
        raise SystemExit(LogError.exit_code)


def index_journal(
    identity: str,
    folder: Path,
    writer: Writer,
    on_records: Callable[[int], None] = lambda n: None,
    on_frames: Callable[[int], None] = lambda n: None,
    on_unreadable: OnUnreadable = refuse_unreadable,
) -> int:
    """Store what one journal has and the store has not, wherever it lies, as `index` does.

    Args:
        on_frames: Called with 1 for each frame that was read, for progress.
    """
    n_records = 0
    marks = writer.watermarks(identity) if identity else {}
    queues = WorkQueues()
    for ordinal, frame, stored in read_unstored(folder, marks, on_unreadable):
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
