"""Regular files, and nothing else, are opened by the paths that records and users name.

To open a FIFO takes its writer's data and breaks the writer when it is closed; a device may have
no end.  So the kind is asked first, and again of what was opened: another may have come between.
"""

from __future__ import annotations

import errno
import os
import stat

from .foreign import is_theirs

KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}
PIECE_BYTES = 1 << 20
Path = str | os.PathLike[str]


def refusal(mode: int) -> str:
    """Return why what has this mode isn't read; empty for a regular file."""
    if stat.S_ISREG(mode):
        return ""
    return f"{KINDS.get(stat.S_IFMT(mode), 'something else')}, not a regular file"


def open_regular(path: Path, flags: int = 0) -> int:
    """Open a regular file for reading, and wait for nobody; return its descriptor.

    Args:
        flags: More of `os.open`, such as ``O_NOFOLLOW``.

    Raises:
        OSError: It can't be opened, or is none.
    """
    _check(path, os.stat(path))  # noqa: PTH116
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY | flags)
    try:
        _check(path, os.fstat(fd))
    except OSError:
        os.close(fd)
        raise
    return fd


def read_regular(path: Path, most: int, flags: int = 0) -> bytes:
    """Return a regular file's first bytes, `most` or fewer.

    Raises:
        OSError: It can't be read, or is none.
    """
    with open(open_regular(path, flags), "rb", buffering=0) as file:
        pieces: list[bytes] = []
        while most > 0 and (piece := file.read(min(most, PIECE_BYTES))):
            pieces.append(piece)
            most -= len(piece)
        return b"".join(pieces)


def resolved(path: str) -> str:
    """Return a path without links, what is missing at its end included.

    `os.path.realpath` swallows a TimeoutError that the program raises meanwhile, if not strict.
    """
    try:
        return os.path.realpath(path, strict=True)
    except OSError as exc:
        if is_theirs(exc):
            raise
    folder, name = os.path.split(os.path.abspath(path))  # noqa: PTH100
    return os.path.join(resolved(folder), name) if name else folder  # noqa: PTH118


def status(path: Path) -> os.stat_result | None:
    """Return the status of a file; None if there is none."""
    try:
        return os.stat(path)  # noqa: PTH116
    except (OSError, ValueError) as exc:
        if is_theirs(exc):
            raise
        return None


def is_directory(path: Path) -> bool:
    found = status(path)
    return found is not None and stat.S_ISDIR(found.st_mode)


def _check(path: Path, found: os.stat_result) -> None:
    if reason := refusal(found.st_mode):
        raise OSError(errno.EINVAL, reason, os.fspath(path))
