"""What tells a project from others: a random key in a file of its own, so that it may be moved.

Spools in memory and on node-local disks say by this key which project they are of.  A project that
was renamed, or is reached by another path, keeps its key.  A copy takes another one, or it would
take the spools of the project that it was copied from.

A copy is told by inodes: of `.sprov/` and of the file in it, which know their own numbers.  Device
numbers say nothing: each node has its own for one shared file system, and a node has others after
it is started again.  What was moved to another file system is a copy, too, as `mv` copies it.

Every process that sees a copy's file comes to the same new key, without a word between them: it is
made of the old one and of what only this file has.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import msgspec

from . import identity
from .foreign import is_theirs
from .sharing import open_file, sync_folder

if TYPE_CHECKING:
    from pathlib import Path

NAME = "project.json"
MOST_LOOKS = 100
MOST_BYTES = 4096


class Key(msgspec.Struct, frozen=True):
    """The key of a project, and where it was given."""

    key: str
    folder: int = 0
    """Inode of `.sprov/`."""
    file: int = 0
    """Inode of the file that says this."""
    of_path: str = ""
    """What versions without such a file call the project, by the path that it had then."""
    copied_from: str = ""
    """Key of the project that this one is a copy of."""


def path_key(root: Path) -> str:
    """Return the key of a project that has none of its own: of an earlier version, or read-only."""
    return identity.digest("project", os.path.realpath(root))


def read_key(root: Path) -> Key:
    """Return a project's key, as its file and where that lies say; the path's if it has none."""
    return _read(root) or Key(path_key(root))


def ensure_key(root: Path) -> Key:
    """Return a project's key, given first if it has none, or is a copy that still has another's.

    Where the file can't be written the key is as of `read_key`.
    """
    found = _read(root)
    try:
        if found is None:
            _write(root, Key(os.urandom(16).hex(), of_path=path_key(root)), is_new=True)
            found = _read(root)
        elif not found.file:
            _write(root, found, is_new=False)
    except OSError as exc:
        if is_theirs(exc):
            raise
    return found or read_key(root)


def _read(root: Path) -> Key | None:
    """Return what the file says, None if there is none; of a copy the key that it is to take.

    That has no inodes yet.
    """
    try:
        # A file system may number a file anew at each look, and a rank waits for none.
        for _ in range(MOST_LOOKS):
            data, file = _look(root / NAME)
            folder, said = root.stat(), _parse(data)
            if (said.file, said.folder) == (file.st_ino, folder.st_ino):
                return said
            now = (root / NAME).stat()
            if (now.st_ino, now.st_ctime_ns) == (file.st_ino, file.st_ctime_ns):
                break  # else somebody has replaced it meanwhile
    except OSError as exc:
        if is_theirs(exc):
            raise
        return None
    own = identity.digest("copy", said.key, folder.st_ino, file.st_ino, file.st_ctime_ns)
    return Key(own, of_path=path_key(root), copied_from=said.key)


def _look(path: Path) -> tuple[bytes, os.stat_result]:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        return os.read(fd, MOST_BYTES), os.fstat(fd)
    finally:
        os.close(fd)


def _parse(data: bytes) -> Key:
    """Return what a file says; a damaged one is anew that of a copy, of nobody knows what."""
    try:
        found = msgspec.json.decode(data, type=Key)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Key("")
    return found if identity.is_one(found.key) else Key("")


def _write(root: Path, key: Key, *, is_new: bool) -> None:
    """Write the file whole, durable before it has its name.

    Args:
        is_new: The file of whoever was first stays.

    Raises:
        OSError: It can't be written there, or the file system has no hard links.
    """
    temporary = root / f".{NAME}.{os.getpid()}-{os.urandom(4).hex()}"
    fd = open_file(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        with open(fd, "wb") as file:
            inodes = {"folder": root.stat().st_ino, "file": os.fstat(fd).st_ino}
            whole = msgspec.structs.replace(key, **inodes)
            file.write(msgspec.json.format(msgspec.json.encode(whole)))
            file.flush()
            os.fsync(fd)
        if is_new:
            with contextlib.suppress(FileExistsError):
                (root / NAME).hardlink_to(temporary)
        else:
            temporary.replace(root / NAME)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(root)
