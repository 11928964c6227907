"""What users say of data: a file, a model, as it is at the moment when they say it."""

from __future__ import annotations

import os
import stat
from functools import lru_cache
from typing import Any

from . import launch, mounts, records
from .records import Described, FileVersion


class File:
    """A file that an execution uses or generates.

    What is recorded is its version: the store, path, size and modification time that ``fstat``
    shows when `used` or `generated` is called.  So generate a file after closing it.
    """

    __slots__ = ("path",)
    kind = "file"

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)

    def characteristics(self) -> dict[str, Any]:
        return {}


class Handle:
    """A value that an execution of this process generated; pass it to a later `used`."""

    __slots__ = ("record",)

    def __init__(self, record: records.Handle) -> None:
        self.record = record


class Model(File):
    """A file that holds a model; characteristics are whatever should be said of it."""

    __slots__ = ("_characteristics",)
    kind = "model"

    def __init__(self, path: str | os.PathLike[str], **characteristics: Any) -> None:
        super().__init__(path)
        self._characteristics = characteristics

    def characteristics(self) -> dict[str, Any]:
        return self._characteristics


def version_of(file: File) -> FileVersion | Described:
    """Return the version of a file as it is now, or why there is none to be had."""
    path = os.path.realpath(os.fsdecode(file.path))
    try:
        found = _fstat(path)
    except OSError as exc:
        return Described(type=file.kind, reason=exc.strerror or type(exc).__name__, preview=path)
    if stat.S_ISDIR(found.st_mode):
        return Described(
            type="directory", reason="a directory has no version of its own", preview=path
        )
    return FileVersion(
        path,
        _store_of(path, found.st_dev),
        found.st_size,
        found.st_mtime_ns,
        file.kind,
        file.characteristics(),
    )


def _fstat(path: str) -> os.stat_result:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except PermissionError:
        return os.stat(path)  # noqa: PTH116  os.fstat is its sibling
    try:
        return os.fstat(fd)
    finally:
        os.close(fd)


def _store_of(path: str, device: int) -> str:
    return _store_of_folder(path.rpartition("/")[0] or "/", device)


@lru_cache(maxsize=256)
def _store_of_folder(folder: str, device: int) -> str:
    mount = mounts.mount_of(folder)
    if mount.kind in mounts.SHARED:
        return f"{mount.kind}:{mount.source}"
    return f"host:{launch.host()}:{launch.boot_id()}"
