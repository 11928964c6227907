"""What stays in a journal's folder when it is archived or forgotten, and what an archive says.

``archived.json`` and ``forgotten.json`` are lists: a journal whose daemon starts again begins
another under the same name.
"""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import msgspec

from pllib.errors import LogError
from pllib.log import LogReader, new_file, sync_folder
from pllib.moments import date_time
from tracker.journal import segments

ARCHIVED = "archived.json"
FORGOTTEN = "forgotten.json"
MANIFEST = "manifest.json"
FORMAT_VERSION = 1

Told = TypeVar("Told", bound=msgspec.Struct)


class Counts(msgspec.Struct, frozen=True):
    """What a journal, or a part of it, holds."""

    n_frames: int
    n_records: int
    runs: list[str]


class Segment(msgspec.Struct, frozen=True):
    """A segment as it lies in an archive."""

    name: str
    n_bytes: int
    blake2b: str
    """Of the whole file; 64 hex characters."""


class Manifest(msgspec.Struct, frozen=True):
    """``manifest.json`` of an archive: written last, so that one that has it is whole."""

    format: int
    journal: str
    identity: str
    project: str
    """Its folder's name: for people."""
    segments: list[Segment]
    counts: Counts
    when: str
    who: str


class Archived(msgspec.Struct, frozen=True):
    """A journal that lies in an archive."""

    identity: str
    folder: str
    """Of the archive; relative to the project's, if it lies in there."""
    segments: list[str]
    """Names of the files that were here."""
    frames: dict[str, list[int]]
    """As of `Forgotten`, for when the archive is out of reach."""
    counts: Counts
    when: str
    who: str

    def where(self, folder: Path) -> Path:
        """Return the archive's folder, given the journal's."""
        return folder.parent.parent / self.folder


class Forgotten(msgspec.Struct, frozen=True):
    """A journal that was deleted because somebody said so."""

    identity: str
    segments: list[str]
    frames: dict[str, list[int]]
    """Log id (hex) to the numbers of its frames, as `tracker.seen` keeps them."""
    counts: Counts
    when: str
    who: str


def read_archived(folder: Path) -> list[Archived]:
    """Return the archives of a journal.

    Raises:
        LogError: The stub can't be read.
    """
    return _read(folder / ARCHIVED, Archived)


def read_forgotten(folder: Path) -> list[Forgotten]:
    """Return what was forgotten of a journal.

    Raises:
        LogError: The stub can't be read.
    """
    return _read(folder / FORGOTTEN, Forgotten)


def _read(path: Path, kind: type[Told]) -> list[Told]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[kind])  # type: ignore[valid-type]
    except FileNotFoundError:
        return []
    except (OSError, msgspec.DecodeError) as exc:
        raise LogError(f"{path} can't be read: {exc}") from exc


def write_told(path: Path, told: object) -> None:
    """Write a stub or a manifest, in one rename; durable when this returns.

    Raises:
        OSError: The disk is full or failed; what was there before still is.
    """
    if told == []:
        path.unlink(missing_ok=True)
        sync_folder(path.parent)
        return
    with new_file(path) as fd:
        with open(fd, "wb", closefd=False) as file:  # os.write may stop half way on a full disk
            file.write(msgspec.json.format(msgspec.json.encode(told), indent=1) + b"\n")
        os.fsync(fd)
    os.close(fd)


def is_forgotten(archived: Archived, forgotten: Iterable[Forgotten]) -> bool:
    """Tell whether an archive is to be deleted, or was: a kill may have left its stub."""
    return any(
        told.identity == archived.identity and set(archived.segments) <= set(told.segments)
        for told in forgotten
    )


def left_of(folder: Path, told: Archived | Forgotten, *, unreadable: bool = False) -> list[Path]:
    """Return the segments that are still here of what a stub says is not.

    Args:
        unreadable: Also those of which nobody can tell what journal they are of: a later one of the
            same name has segments of the same names.
    """
    here = [path for _, path in segments(folder) if path.name in told.segments]
    found = [(path, identity_of(path)) for path in here]
    return [path for path, of in found if (of == told.identity if of else unreadable)]


def identity_of(path: Path) -> str:
    """Return the identity of the journal that a segment is of; empty if that can't be read."""
    try:
        with LogReader(path) as reader:
            return reader.header.log_id.hex()
    except (LogError, OSError):
        return ""


def now() -> str:
    return date_time(time.time_ns(), digits=0)


def who() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
