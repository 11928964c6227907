"""Whether the store has all of a journal, so that it may go to an archive."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pyoxigraph as ox

from manager.mapping import map_batch
from manager.store.pointfiles import Ranges, files_that_count, read_ranges
from manager.store.snapshots import missing, open_snapshot, watermarks
from pllib.errors import UnavailableError
from pllib.log import Frame
from pllib.project import Project
from query.engine import find_engine
from tracker.journal import read_unstored, segments
from tracker.linker import context_of, link

from .stubs import identity_of


def check_stored(project: Project, name: str) -> None:
    """Check that a journal is in the newest snapshot.

    An archived journal is only read again by `sprov rebuild`.  Behind damage ordinals tell nothing:
    what is there is looked up.

    Raises:
        UnavailableError: A part of it is not, or there is no store.
    """
    folder = project.journal / name
    known = segments(folder)
    if not known:
        return
    find_engine(project).flush()
    store, identity = open_snapshot(project.snapshots), identity_of(known[0][1])
    files: dict[str, list[Ranges]] = {}
    for ordinal, frame, marks in read_unstored(folder, watermarks(store, identity)):
        context = context_of(frame)
        if context is None or ordinal <= marks.get(context.run, -1):
            continue
        files = files or _files_of(store, project.series)
        batch = link([(ordinal, frame)], identity, context.run)
        is_there = batch.points is None or _is_in(files.get(context.run, []), frame)
        if not is_there or missing(store, "".join(map_batch(batch))):
            raise UnavailableError(
                f"journal {name}: frame {ordinal} and maybe more are not in the store yet",
                "`sprov ingest` stores them",
            )


def _files_of(store: ox.Store, series: Path) -> dict[str, list[Ranges]]:
    """Return run → which frames each of its series files says that it has all points of."""
    found: dict[str, list[Ranges]] = {}
    for run, names in files_that_count(store).items():
        with contextlib.suppress(OSError):  # superseded meanwhile, so that nobody can tell
            found[run] = [read_ranges(series / name) or {} for name in names]
    return found


def _is_in(files: list[Ranges], frame: Frame) -> bool:
    spans = [span for ranges in files for span in ranges.get(frame.log_id.hex(), ())]
    return any(first <= frame.number <= last for first, last in spans)
