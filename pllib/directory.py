"""The version of a directory: a digest over a manifest of what is in it."""

from __future__ import annotations

import os
from _blake2 import blake2b
from collections.abc import Iterator
from typing import Any

import msgspec

from .foreign import is_theirs
from .records import Described
from .values import as_text

MAX_ENTRIES = 10_000
"""Files and folders below a directory, each a ``stat`` on the caller's thread."""
LONG_PATH = 4096

Contents = tuple[int, int, str]
"""Bytes in all files, the newest modification time (ns) of any, and the version."""
Entry = tuple[str, int, int]
"""Path below the directory, bytes, modification time (ns)."""


def contents_of(path: str, version: Any = None) -> Contents | Described:
    """Return what tells the version of a directory, or why it has none.

    Args:
        version: What the user calls it; then nothing in it is looked at, and size and time are 0.
    """
    if version is not None:
        return 0, 0, as_text(version)
    try:
        entries = manifest(path)
    except OSError as exc:
        if is_theirs(exc):
            raise
        where = as_text(exc.filename or path, LONG_PATH)
        return Described("directory", exc.strerror or type(exc).__name__, preview=where)
    if entries is None:
        reason = f"over {MAX_ENTRIES:,} entries: give a version="
        return Described("directory", reason, preview=as_text(path, LONG_PATH))
    size, newest = sum(entry[1] for entry in entries), max((e[2] for e in entries), default=0)
    return size, newest, digest(entries)


def manifest(path: str) -> list[Entry] | None:
    """Return the files below a directory, sorted by path; None over `MAX_ENTRIES` entries.

    A folder counts and is not listed: its own size and time are the file system's affair.  A link
    to a file is that file; any other is listed as a link, so that one to a parent ends nowhere.

    Raises:
        OSError: Something can't be read, or went while it was.
    """
    found: list[Entry] = []
    for n_entries, (name, entry) in enumerate(_walk(path), 1):
        if n_entries > MAX_ENTRIES:
            return None
        if not entry.is_dir(follow_symlinks=False):
            status = entry.stat(follow_symlinks=_is_file(entry))
            found.append((name, status.st_size, status.st_mtime_ns))
    return sorted(found)


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError as exc:
        if is_theirs(exc):
            raise
        return False  # a link to itself, or to where we may not look


def digest(entries: list[Entry]) -> str:
    """Return the digest of a manifest, 32 hex characters."""
    plain = [(os.fsencode(name), size, mtime_ns) for name, size, mtime_ns in entries]
    return blake2b(msgspec.msgpack.encode(plain), digest_size=16).hexdigest()


def _walk(top: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    folders = [""]
    while folders:
        folder = folders.pop()
        with os.scandir(os.path.join(top, folder)) as entries:  # noqa: PTH118
            for entry in entries:
                name = f"{folder}{entry.name}"
                yield name, entry
                if entry.is_dir(follow_symlinks=False):
                    folders.append(f"{name}/")
