"""What users say of data: a file, a model, a data set, as it is at the moment when they say it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import msgspec

from . import launch, mounts, records
from .foreign import is_theirs
from .records import Described, FileVersion
from .regular import refusal, resolved

Path = str | os.PathLike[str]


class File:
    """A file that an execution uses or generates.

    What is recorded is its version: the store, path, size and modification time that ``fstat``
    shows when `used` or `generated` is called.  So generate a file after closing it.  Only regular
    files and directories have versions.
    """

    __slots__ = ("path",)
    kind = "file"

    def __init__(self, path: Path) -> None:
        self.path = os.fspath(path)

    def characteristics(self) -> dict[str, Any]:
        return {}

    def said(self) -> dict[str, Any]:
        """Return fields of the version that no file system knows."""
        return {}


class Handle:
    """A value that an execution of this process generated; pass it to a later `used`."""

    __slots__ = ("more", "record")

    def __init__(
        self, record: records.Handle | msgspec.Raw, more: tuple[msgspec.Raw, ...] = ()
    ) -> None:
        """Args:
        record: The value's name, or the encoded value itself if that has an identity.
        more: Other pieces of the encoded value.
        """
        self.record = record
        self.more = more


class Model(File):
    """A file or directory that holds a model; characteristics are whatever should be said of it."""

    __slots__ = ("_characteristics",)
    kind = "model"

    def __init__(self, path: Path, **characteristics: Any) -> None:
        super().__init__(path)
        self._characteristics = characteristics

    def characteristics(self) -> dict[str, Any]:
        return self._characteristics


class Checkpoint(Model):
    """A model as a training left it at a step; `Execution.checkpoint` makes it."""

    __slots__ = ("best", "score", "step")
    kind = "checkpoint"

    def __init__(
        self,
        path: Path,
        step: int | None = None,
        best: bool = False,
        score: float | None = None,
        characteristics: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(path)
        self._characteristics = characteristics or {}  # a metric may be named `path`
        self.step, self.best, self.score = step, best, score

    def said(self) -> dict[str, Any]:
        return {"step": self.step, "best": self.best, "score": self.score}


class Directory(File):
    """A directory as one thing, such as a Zarr store or a sharded checkpoint.

    Its version is a digest over path, size and modification time of what is in it, as far as that
    is 10,000 entries; a larger one needs a `version`, with which nothing in it is looked at.
    Record it by one rank, after the others are done.
    """

    __slots__ = ("version",)
    kind = "directory"

    def __init__(self, path: Path, *, version: Any = None) -> None:
        super().__init__(path)
        self.version = version


class Ref:
    """A record in a database, object store or container file: ``Ref("s3://data", "raw/1.h5")``."""

    __slots__ = ("id", "store", "version")

    def __init__(self, store: str, id: Any, *, version: Any = None) -> None:
        self.store = store
        self.id = id
        self.version = version


class Dataset:
    """A data set by name, with the files that it is made of as they are now.

    Args:
        name, version, fingerprint, split: What tells it from others; each as text.
        files: Paths, `File` or `Directory`.
        characteristics: Whatever should be said of it, such as ``n_rows=1797``.
    """

    __slots__ = ("characteristics", "features", "files", "fingerprint", "name", "split", "version")

    def __init__(
        self,
        name: str,
        *,
        version: Any = None,
        fingerprint: Any = None,
        split: str | None = None,
        files: Iterable[Path | File] = (),
        **characteristics: Any,
    ) -> None:
        self.name = name
        self.version = version
        self.fingerprint = fingerprint
        self.split = split
        single = isinstance(files, str | os.PathLike | File)
        self.files: tuple[Any, ...] = (files,) if single else tuple(files)
        self.characteristics = characteristics
        self.features: tuple[Any, ...] | None = None

    def piece(self, files: Iterable[Any], fingerprint: Any, about: dict[str, Any]) -> Dataset:
        """Return the same data set with some of its files, and what is said of it or nothing."""
        made = type(self)(self.name, version=self.version, files=files)
        made.fingerprint, made.split, made.characteristics = fingerprint, self.split, about
        if about and self.features is not None:
            made.features = self.features
        return made


class FeatureSet(Dataset):
    """The data of a feature set: a data set of which the names of the features are known."""

    __slots__ = ()

    def __init__(
        self,
        name: str,
        features: Iterable[str] = (),
        *,
        version: Any = None,
        files: Iterable[Path | File] = (),
        **characteristics: Any,
    ) -> None:
        super().__init__(name, version=version, files=files, **characteristics)
        self.features = (features,) if isinstance(features, str) else tuple(features)


def version_of(file: File) -> FileVersion | Described:
    """Return the version of a file as it is now, or why there is none to be had."""
    path = resolved(os.fsdecode(file.path))
    name = path if path.isascii() else path.encode("utf-8", "backslashreplace").decode()
    try:
        found = _fstat(path)
    except OSError as exc:
        if is_theirs(exc):
            raise
        return Described(type=file.kind, reason=exc.strerror or type(exc).__name__, preview=name)
    contents = found.st_size, found.st_mtime_ns, ""
    if not stat.S_ISDIR(found.st_mode) and (refused := refusal(found.st_mode)):
        return Described(type=file.kind, reason=refused, preview=name)
    if stat.S_ISDIR(found.st_mode):
        if file.kind == "file":
            return Described("directory", "a directory: record it as pllib.Directory", preview=name)
        from .directory import contents_of

        inside = contents_of(path, getattr(file, "version", None))
        if isinstance(inside, Described):
            return inside
        contents = inside
    elif file.kind == "directory":
        return Described(type="directory", reason="Not a directory", preview=name)
    size, mtime_ns, version = contents
    store = store_of(path, found.st_dev)
    more = file.characteristics()
    return FileVersion(name, store, size, mtime_ns, file.kind, more, version, **file.said())


def _fstat(path: str) -> os.stat_result:
    """Return the status of a file, as new as opening it makes it on a shared file system."""
    found = os.stat(path)  # noqa: PTH116  os.fstat is its sibling
    if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
        return found  # opening a FIFO disturbs its writer
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except PermissionError:
        return found
    try:
        return os.fstat(fd)
    finally:
        os.close(fd)


def store_of(path: str, device: int = 0) -> str:
    """Return the store of a file: the source of a shared file system, else the host and its boot.

    Args:
        path: Absolute, without links.
        device: Tells apart what was mounted there one after the other.
    """
    return _store_of_folder(path.rpartition("/")[0] or "/", device)


@lru_cache(maxsize=256)
def _store_of_folder(folder: str, device: int) -> str:
    mount = mounts.mount_of(folder)
    if mount.kind in mounts.SHARED:
        return f"{mount.kind}:{mount.source}"
    return f"host:{launch.host()}:{launch.boot_id()}"
