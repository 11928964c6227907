"""`sprov rebuild`: store and series again, from the journals.

They are made beside the old ones, under the lock of the store.  Then files of series come in, which
no reader knows yet; the store takes the old one's place; its snapshot becomes the current one; and
what is old goes.  Killed before the store's turn, the old indexes are as they were; behind it, the
new ones are: a writer that starts makes a snapshot of the new store.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shlex
import shutil
from pathlib import Path

import click

from pllib.errors import UnavailableError
from pllib.log import LogReader, sync_folder
from pllib.project import Project, find
from pllib.sharing import make_folder
from query.progress import bar
from tracker.journal import UNREADABLE, Unreadable, segments

from .indexing import index_journal, open_writer, tell_skipped
from .ingest import running_tracker
from .keeping.holding import store_held
from .keeping.indexes import numbered
from .keeping.pieces import Kept, Piece, kept

AT_FDCWD, RENAME_EXCHANGE = -100, 2
"""Source: renameat2(2)."""


@click.command()
@click.option("--without-forgotten", is_flag=True, help="Do without what was forgotten.")
def rebuild(without_forgotten: bool) -> None:
    """Make store and series again from the journals, beside the old ones, then swap them.

    Archived journals are read where they lie. What `sprov gc --forget` deleted is only in the old
    store: without it the new one is made with --without-forgotten alone.

    \b
        sprov stop; sprov rebuild
    """
    project = find().create()
    if running_tracker(project) is not None:
        raise UnavailableError("a tracker is running", "`sprov stop` first")
    journals = kept(project)
    _check(journals, without_forgotten)
    with store_held(project.store):
        made = Project(project.root / "rebuild")
        shutil.rmtree(made.root, ignore_errors=True)
        make_folder(made.root)
        try:
            n_records, skipped = _index(journals, made)
        except FileNotFoundError:
            check_unmoved(project, journals)
            raise
        check_unmoved(project, journals)
        swap(project, made)
    click.echo(f"{n_records} record(s) of {len(journals.pieces)} journal(s) stored")
    tell_skipped(skipped)


def _check(journals: Kept, without_forgotten: bool) -> None:
    for name, archive, why in journals.unreachable:
        raise UnavailableError(
            f"journal {name}: {why.args[0]}",
            f"Mount the disk of {archive}, or bring it back, then again; if it is gone for good, "
            f"`sprov gc --forget {shlex.quote(name)}` does without",
        )
    if journals.forgotten and not without_forgotten:
        n_records = sum(told.counts.n_records for _, told in journals.forgotten)
        names = ", ".join(sorted({name for name, _ in journals.forgotten}))
        raise UnavailableError(
            f"{n_records} record(s) of forgotten journals ({names}) are only in the store",
            "`sprov rebuild --without-forgotten` loses them",
        )


def check_unmoved(project: Project, journals: Kept) -> None:
    """Check that nothing was taken from under a rebuild's hands.

    Raises:
        UnavailableError: A journal was archived or forgotten, so that some of it may not be in.
    """
    if moved := kept(project).moved_since(journals):
        raise UnavailableError(
            f"{', '.join(moved)}: archived or forgotten while it was read; the store is as it was",
            "`sprov rebuild` again",
        )


def _index(journals: Kept, made: Project) -> tuple[int, list[Unreadable]]:
    """Store all that can be read; return how many records that was, and which segments can't be."""
    n_frames = sum(map(_count, journals.pieces))
    skipped: list[Unreadable] = []
    n_records = 0
    with (
        open_writer(made.store, made.series, made.snapshots) as writer,
        bar(n_frames, "rebuilding") as rebuilding,
    ):
        for piece in journals.pieces:
            n_records += index_journal(
                piece.identity, piece.folder, writer,
                on_frames=rebuilding.update, on_unreadable=skipped.append,
            )  # fmt: skip
    return n_records, skipped


def _count(piece: Piece) -> int:
    """Return how many frames a journal has, without decoding any."""
    n_frames = 0
    for _, path in segments(piece.folder):
        with contextlib.suppress(*UNREADABLE), LogReader(path) as reader:
            n_frames += sum(1 for _ in reader.frame_keys())
    return n_frames


def swap(project: Project, made: Project) -> None:
    """Put new indexes in the place of old ones, which stay whole for readers until the end.

    Raises:
        OSError: The disk is full or failed; a second call of the command begins again.
    """
    make_folder(project.series)
    old = set(project.series.glob("run=*/*.parquet"))
    for path in made.series.glob("run=*/*.parquet"):
        make_folder(project.series / path.parent.name)
        path.rename(project.series / path.parent.name / path.name)
        sync_folder(project.series / path.parent.name)
    sync_folder(project.series)
    _exchange(made.store, project.store)
    sync_folder(project.root)
    _show(project, numbered(made)[-1])
    for path in old:
        path.unlink(missing_ok=True)
    shutil.rmtree(made.root, ignore_errors=True)
    shutil.rmtree(_aside(project.store), ignore_errors=True)


def _exchange(new: Path, old: Path) -> None:
    """Swap two folders at once; where the file system can't, one after the other."""
    if not old.exists():
        new.rename(old)
        return
    libc = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(new), os.fsencode(old)
    try:
        code = libc.renameat2(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE)
    except AttributeError:  # glibc before 2.28
        code = -1
    if code != 0:
        aside = _aside(old)
        shutil.rmtree(aside, ignore_errors=True)
        old.rename(aside)
        new.rename(old)


def _aside(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.old")


def _show(project: Project, snapshot: Path) -> None:
    """Make a snapshot of the new store the current one; those of the old one go."""
    make_folder(project.snapshots)
    before = numbered(project)
    name = f"{int(before[-1].name) + 1 if before else 1:08d}"
    snapshot.rename(project.snapshots / name)
    link = project.snapshots / "current.new"
    link.unlink(missing_ok=True)
    link.symlink_to(name)
    link.replace(project.snapshots / "current")
    for path in before:
        shutil.rmtree(path, ignore_errors=True)
