"""All journals of a project, here and in archives, and what is known to be forgotten."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pllib.errors import Error
from pllib.project import Project
from tracker.journal import segments
from tracker.seen import Seen

from .archive import read_manifest
from .stubs import (
    Archived,
    Forgotten,
    identity_of,
    is_forgotten,
    read_archived,
    read_forgotten,
)


class Piece(NamedTuple):
    """A journal, or a part of one."""

    name: str
    identity: str
    folder: Path
    is_archived: bool

    @property
    def title(self) -> str:
        return f"{self.name} (archived in {self.folder})" if self.is_archived else self.name


class Unreachable(NamedTuple):
    """An archive that can't be read."""

    name: str
    """Of the journal."""
    archive: Path
    why: Error

    def __str__(self) -> str:
        return f"journal {self.name}: {self.why}"


@dataclass
class Kept:
    pieces: list[Piece] = field(default_factory=list)
    unreachable: list[Unreachable] = field(default_factory=list)
    forgotten: list[tuple[str, Forgotten]] = field(default_factory=list)
    """Names of journals, and what was forgotten of each."""

    absent: Seen = field(default_factory=Seen)
    """Frames that are forgotten or can't be reached."""

    def _lack(self, told: Archived | Forgotten) -> None:
        self.absent.unite({bytes.fromhex(log): bounds for log, bounds in told.frames.items()})

    def look(self, folder: Path) -> None:
        """Add what there is of one journal.

        Raises:
            LogError: A stub can't be read.
        """
        forgotten = read_forgotten(folder)
        for one in forgotten:
            self.forgotten.append((folder.name, one))
            self._lack(one)
        for told in read_archived(folder):
            where = told.where(folder)
            if is_forgotten(told, forgotten):
                continue
            try:
                read_manifest(where)
            except Error as exc:
                self.unreachable.append(Unreachable(folder.name, where, exc))
                self._lack(told)
            else:
                self.pieces.append(Piece(folder.name, told.identity, where, is_archived=True))
        if known := segments(folder):
            identity = next(filter(None, (identity_of(path) for _, path in known)), "")
            self.pieces.append(Piece(folder.name, identity, folder, is_archived=False))

    def moved_since(self, before: Kept) -> list[str]:
        """Return names of journals that were archived or forgotten, or whose archives went, since.

        Their segments go without the lock of who reads them, but never before a stub tells of it.
        """
        return sorted({name for name, *_ in self._told ^ before._told})

    @property
    def _told(self) -> set[tuple[str, ...]]:
        archived = {(piece.name, str(piece.folder)) for piece in self.pieces if piece.is_archived}
        return archived | {
            (name, one.identity, one.when, *one.segments) for name, one in self.forgotten
        }


def kept(project: Project) -> Kept:
    """Return the journals of a project; those in archives come before what is here of them.

    Raises:
        LogError: A stub can't be read.
    """
    found = Kept()
    for folder in sorted(path for path in project.journal.glob("*") if path.is_dir()):
        found.look(folder)
    return found
