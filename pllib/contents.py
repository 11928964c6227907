"""What a file or directory holds, as a digest; never computed in a rank, since it reads it all."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from hashlib import blake2b

from .regular import KINDS, open_regular

READ_BYTES = 4 << 20
Progress = Callable[[int], object]
"""Takes how many bytes were read since."""


class FileChangedError(Exception):
    """It is not the version any more that was to be read."""


def digest_of(path: str, size: int, *, is_directory: bool, progress: Progress | None = None) -> str:
    """Return the digest of a file, or over the names and digests of all files in a directory.

    Where a directory lies does not count.  What is in it and no regular file is named and not read.

    Args:
        size: Bytes in it, as recorded: never more are read.

    Raises:
        FileChangedError: There is more in it.
        OSError: It can't be read.
    """
    reader = _Reader(size, progress)
    if not is_directory:
        return reader.digest(path, os.O_NOFOLLOW)
    hashing = blake2b(digest_size=32)
    for folder, folders, names in os.walk(path, onerror=_fail):
        folders.sort()
        for name in sorted(names):
            inside = f"{folder}/{name}"
            hashing.update(os.fsencode(inside[len(path) :]) + b"\0")
            kind = _other_kind(inside)
            hashing.update((kind or reader.digest(inside)).encode())
    return hashing.hexdigest()


class _Reader:
    """Reads files, all together no more than so many bytes."""

    def __init__(self, n_left: int, progress: Progress | None) -> None:
        self._n_left = n_left
        self._progress = progress

    def digest(self, path: str, flags: int = 0) -> str:
        hashing = blake2b(digest_size=32)
        with open(open_regular(path, flags), "rb", buffering=0) as file:
            while data := file.read(min(READ_BYTES, self._n_left + 1)):
                self._n_left -= len(data)
                if self._n_left < 0:
                    raise FileChangedError
                hashing.update(data)
                if self._progress is not None:
                    self._progress(len(data))
        return hashing.hexdigest()


def _other_kind(path: str) -> str:
    """Return what kind of thing this is; empty for a regular file or a link to one.

    Raises:
        OSError: It went.
    """
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116
    except OSError:
        mode = os.lstat(path).st_mode
    if stat.S_ISREG(mode):
        return ""
    return KINDS.get(stat.S_IFMT(mode), "a link")


def _fail(exc: OSError) -> None:
    raise exc
