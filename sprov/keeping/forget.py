"""Deleting a journal because somebody said so; what was in it is told in a stub that stays.

Guarantee: the stub is durable before anything goes, and lists what goes: killed half way, the next
call deletes the rest, and until then the rest is read as any journal is.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from pllib.errors import LogError
from pllib.log import LogReader
from pllib.project import Project

from ..tallies import Tallies
from .archive import Advance, remove, spans_of
from .holding import journal_held
from .stubs import (
    ARCHIVED,
    FORGOTTEN,
    Archived,
    Counts,
    Forgotten,
    identity_of,
    is_forgotten,
    left_of,
    now,
    read_archived,
    read_forgotten,
    who,
    write_told,
)


def forget(project: Project, name: str, advance: Advance) -> list[Forgotten]:
    """Delete a journal, here and in archives; finish what a kill has interrupted.

    Returns:
        What was forgotten now.

    Raises:
        UnavailableError: It is being written.
        OSError: Something can't be deleted or written.
    """
    folder = project.journal / name
    with journal_held(folder):
        _finish(folder)
        told = [
            _told(one.identity, [one.where(folder) / name for name in one.segments], advance, one)
            for one in read_archived(folder)
        ]
        here = [path for _, path, _ in spans_of(folder)]
        if here:
            identity = next(filter(None, map(identity_of, here)), "")
            told.append(_told(identity, here, advance))
        if told:
            write_told(folder / FORGOTTEN, [*read_forgotten(folder), *told])
            remove(folder, left_of(folder, told[-1], unreadable=bool(here)))
            _finish(folder)
        return told


def _finish(folder: Path) -> None:
    """Delete what is still there of what is forgotten: segments, then archives, then their stub."""
    forgotten = read_forgotten(folder)
    for told in forgotten:
        remove(folder, left_of(folder, told))
    archived = read_archived(folder)
    gone = [one for one in archived if is_forgotten(one, forgotten)]
    for one in gone:
        if (where := one.where(folder)).exists():
            shutil.rmtree(where)
    if gone:
        write_told(folder / ARCHIVED, [one for one in archived if one not in gone])


def _told(
    identity: str, paths: list[Path], advance: Advance, archived: Archived | None = None
) -> Forgotten:
    """Tell what a journal has: its stub knows, or else what of it can be read."""
    names = [path.name for path in paths]
    if archived is not None:
        return Forgotten(identity, names, archived.frames, archived.counts, now(), who())
    tallies = Tallies()
    for path in paths:
        with contextlib.suppress(LogError), LogReader(path) as reader:
            for located in reader.frames():
                tallies.add(located.frame)
        advance(path.stat().st_size)
    counts = Counts(tallies.n_frames, tallies.n_records, tallies.runs)
    return Forgotten(identity, names, tallies.frames, counts, now(), who())
