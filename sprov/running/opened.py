"""Files that the command used and generated, from what is seen of them in the order of time.

A file that it read before it wrote it is both; one that it wrote first is what it generated,
however often it reads it.  What is gone in the end was nobody's result.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from functools import lru_cache

from pllib.data import File, store_of, version_of
from pllib.hook.sprov_opened import is_listed
from pllib.records import FileVersion

MAX_FILES = 10_000
"""Of a command that are recorded; more are counted."""
FORGET_EVERY = 1000
"""Paths that were written: then those are forgotten that are of nothing any more."""
LIBRARY = re.compile(r"\.so(\.[\d.]+)?$")
"""Of code, which the dynamic loader reads before the command begins."""
Version = tuple[int, int]
"""Bytes and modification time (ns)."""


class Touched:
    """What is known of a file."""

    __slots__ = ("before", "read", "written")

    def __init__(self) -> None:
        self.before: Version | None = None
        """As it was when it was first seen, if that was before it was written."""
        self.read = False
        self.written = False


class Opened:
    """Files by absolute path, as they were named.

    Args:
        excluded: Folders whose files are nobody's concern.
    """

    def __init__(self, excluded: tuple[str, ...] = ()) -> None:
        folders = (os.path.realpath(folder).rstrip("/") + "/" for folder in excluded)
        self._excluded = (*folders,)
        self._files: dict[str, Touched] = {}
        self._changed: dict[str, None] = {}
        """Paths that somebody wrote; most are of files that soon go."""
        self._forget_at = FORGET_EVERY
        self.n_unlisted = 0
        """Of those that there was no room for."""

    def look(self, path: str) -> None:
        """Note a file before the command begins, of which nobody knows what it does with it.

        If there is none and is one in the end, the command made it.
        """
        found = self._find(path)
        if found is not None:
            found.before = _version(path)
            found.written = found.before is None

    def read(self, path: str, version: Version | None = None) -> None:
        """The command reads a file, which is of this version, or as it is now."""
        if LIBRARY.search(path):
            return
        found = self._find(path)
        if found is not None and not found.written and not found.read:
            found.before = version or _version(path)
            found.read = found.before is not None

    def wrote(self, path: str) -> None:
        found = self._find(path)
        if found is not None:
            found.written = True

    def changed(self, path: str) -> None:
        """A file was written while the command ran; nobody saw by whom."""
        if path in self._changed or not is_listed(path, self._excluded):
            return
        if len(self._changed) >= self._forget_at:
            self._changed = {path: None for path in self._changed if os.path.lexists(path)}
            self._forget_at = len(self._changed) + FORGET_EVERY
        if len(self._changed) < MAX_FILES:
            self._changed[path] = None
        else:
            self.n_unlisted += 1

    def is_written(self, path: str) -> bool:
        """Tell whether the command is known to write a file, or not to matter that it does."""
        found = self._files.get(path)
        return not self._is_wanted(path) if found is None else found.written

    def moved(self, source: str, target: str) -> None:
        """A file, or a folder with all in it, has another name."""
        if source in self._files:
            self._move(source, target)
        elif self._files and os.path.isdir(target):  # noqa: PTH112
            inside = source.rstrip("/") + "/"
            for path in [path for path in self._files if path.startswith(inside)]:
                self._move(path, f"{target}/{path[len(inside) :]}")

    def _move(self, source: str, target: str) -> None:
        if self._files[source].written:
            self.wrote(target)
            if not self._files[source].read:
                del self._files[source]

    def _find(self, path: str) -> Touched | None:
        found = self._files.get(path)
        if found is None and self._is_wanted(path):
            if len(self._files) >= MAX_FILES:
                self.n_unlisted += 1
                return None
            found = self._files[path] = Touched()
        return found

    def _is_wanted(self, path: str) -> bool:
        return is_listed(path, self._excluded)

    def used(self) -> Iterator[FileVersion]:
        """Yield the files that were read, and those that were only looked at and left alone."""
        for path, found in self._files.items():
            if found.before is None:
                continue
            if found.read or (not found.written and found.before == _version(path)):
                name = _resolved(path)
                size, mtime_ns = found.before
                yield FileVersion(_text(name), store_of(name), size, mtime_ns)

    def generated(self) -> Iterator[FileVersion]:
        """Yield the files that were written, and those that changed, as they are now."""
        for path, found in self._files.items():
            if _is_generated(path, found):
                version = version_of(File(path))
                if isinstance(version, FileVersion):
                    yield version

    def unexplained(self) -> Iterator[FileVersion]:
        """Yield the other files that were written, as they are now: nobody saw by whom."""
        for path in self._changed:
            found = self._files.get(path)
            if not _is_own_file(path) or (found is not None and _is_generated(path, found)):
                continue
            version = version_of(File(path))
            if isinstance(version, FileVersion):
                yield version


def _is_generated(path: str, found: Touched) -> bool:
    now = _version(path)
    changed = found.before is not None and found.before != now
    return now is not None and (changed or (found.written and found.before is None))


def _is_own_file(path: str) -> bool:
    """Tell whether this is a file, no link to one, of the user who runs the command."""
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()


def _version(path: str) -> Version | None:
    """Return the version of a regular file, else None."""
    try:
        found = os.stat(path)  # noqa: PTH116  thousands of them
    except (OSError, ValueError):
        return None
    return (found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None


def _resolved(path: str) -> str:
    """Return the path without links, as `os.path.realpath` does; folders are resolved once."""
    folder, _, name = path.rpartition("/")
    if name in ("", ".", "..") or os.path.islink(path):  # noqa: PTH114
        return os.path.realpath(path)
    return f"{_resolved_folder(folder or '/').rstrip('/')}/{name}"


@lru_cache(maxsize=4096)
def _resolved_folder(folder: str) -> str:
    return os.path.realpath(folder)


def _text(path: str) -> str:
    return path.encode("utf-8", "backslashreplace").decode()
