"""Whether a working tree differs from its commit, read from git's own files without running it.

The index says of each file what it was when it was last compared; what was not touched since is the
same.  Clean is said only where that is proven: else it is unknown, and why.

Source: gitformat-index(5), gitformat-pack(5), gitrepository-layout(5) of git 2.x.
"""

from __future__ import annotations

import os
import stat
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from .facts import git_commit, git_folder
from .foreign import is_theirs
from .packs import find_packed
from .regular import read_regular

MAX_INDEX_BYTES = 8 << 20
ENTRIES_A_PIECE = 200
MAX_HASHED_BYTES = 4 << 20
"""Of files that were touched since git looked at them."""
TREE_BYTES = 256
"""Of a commit: its first line names its tree."""
_ENTRY = struct.Struct(">10L20sH")
_ASSUMED, _EXTENDED, _STAGE = 0x8000, 0x4000, 0x3000
_SKIPPED = 0x4000
"""In the second flags."""
_SUBMODULE = 0o160000


class UnknownError(Exception):
    """It can't be told; the text says why."""


class Entry(NamedTuple):
    """A file as git knows it."""

    mtime: tuple[int, int]
    mode: int
    size: int
    digest: bytes
    path: str


def git_facts(folder: str, script: str = "") -> Iterator[dict[str, str]]:
    """Yield nothing, piece by piece, and then the facts of the tree around a folder."""
    commit = git_commit(folder)
    if not commit:
        return
    try:
        comparison = _Comparison(folder, commit)
        for entries in comparison.pieces():
            yield {}
            if any(map(comparison.differs, entries)):
                yield {"git_dirty": "1"}
                return
        comparison.check(script)
    except (UnknownError, OSError, struct.error, zlib.error, ValueError, IndexError) as exc:
        if is_theirs(exc):
            raise
        reason = exc.strerror if isinstance(exc, OSError) else str(exc)
        yield {"git_dirty": "unknown", "git_unknown": reason or type(exc).__name__}
        return
    yield {"git_dirty": "0"}


class _Comparison:
    """Of a working tree with its index, and of that with the commit."""

    def __init__(self, folder: str, commit: str) -> None:
        self._git = git_folder(folder)
        self._top = _top_of(folder)
        self._commit = commit
        path = f"{self._git}/index"
        self._data = read_regular(path, MAX_INDEX_BYTES + 1)
        if len(self._data) > MAX_INDEX_BYTES or len(commit) != 40:
            raise UnknownError("git's index is over 8 MiB, or has digests other than SHA-1")
        self._written_s = int(os.stat(path).st_mtime)  # noqa: PTH116
        self._n_hashed = 0
        self._at = 12
        self._paths: set[str] = set()

    def pieces(self) -> Iterator[list[Entry]]:
        """Yield what the index has, some entries at a time."""
        magic, version, n_entries = struct.unpack_from(">4s2L", self._data)
        if magic != b"DIRC" or version not in (2, 3):
            raise UnknownError(f"git's index has version {version}")
        for at in range(0, n_entries, ENTRIES_A_PIECE):
            n_piece = min(ENTRIES_A_PIECE, n_entries - at)
            found = [self._entry() for _ in range(n_piece)]
            yield [entry for entry in found if entry is not None]

    def _entry(self) -> Entry | None:
        at = self._at
        _, _, *mtime, _, _, mode, _, _, size, digest, flags = _ENTRY.unpack_from(self._data, at)
        begin = at + _ENTRY.size + (2 if flags & _EXTENDED else 0)
        end = self._data.index(b"\0", begin)
        self._at = at + (end - at + 8 & ~7)
        path = os.fsdecode(self._data[begin:end])
        self._paths.add(path)
        if flags & _STAGE:
            raise UnknownError(f"{path} has a conflict of a merge")
        if mode == _SUBMODULE:
            raise UnknownError(f"the submodule {path} was not compared")
        more = struct.unpack_from(">H", self._data, begin - 2)[0] if flags & _EXTENDED else 0
        if flags & _ASSUMED or more & _SKIPPED:
            return None
        return Entry((mtime[0], mtime[1]), mode, size, digest, path)

    def differs(self, entry: Entry) -> bool:
        """Tell whether a file is other than git knows it."""
        path = f"{self._top}/{entry.path}"
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            return True
        mtime = divmod(found.st_mtime_ns, 10**9)
        same_size = found.st_size & 0xFFFFFFFF == entry.size
        same_time = mtime[0] == entry.mtime[0] and entry.mtime[1] in (0, mtime[1])
        if same_size and same_time and mtime[0] < self._written_s:
            return stat.S_IFMT(found.st_mode) != stat.S_IFMT(entry.mode)
        return self._content_differs(path, entry, found)

    def _content_differs(self, path: str, entry: Entry, found: os.stat_result) -> bool:
        if stat.S_ISLNK(entry.mode) != stat.S_ISLNK(found.st_mode):
            return True
        self._n_hashed += found.st_size
        if self._n_hashed > MAX_HASHED_BYTES:
            raise UnknownError("too many files were touched since git compared them")
        if stat.S_ISLNK(found.st_mode):
            data = os.fsencode(os.readlink(path))  # noqa: PTH115
        else:
            data = read_regular(path, found.st_size)
        from hashlib import sha1  # its OpenSSL takes 2.3 ms to import, which few trees need

        same = sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).digest() == entry.digest
        if not same and (b"\r\n" in data or ".gitattributes" in self._paths):
            raise UnknownError(f"{entry.path} may differ from the commit only by a filter of git")
        return not same

    def check(self, script: str) -> None:
        """See that the index is the commit's tree, and that the script is in it.

        Raises:
            UnknownError: It is not so, or can't be told.
        """
        if _tree_of_index(self._data[self._at :]) != _tree_of(self._git, self._commit):
            raise UnknownError("what is staged was not compared with the commit")
        name = os.path.relpath(script, self._top) if script else ""
        if name and name not in self._paths:
            where = f": it lies outside of {self._top}" if name.startswith("../") else ""
            raise UnknownError(f"{script} is in no commit{where}")


def _tree_of_index(extensions: bytes) -> str:
    """Return the tree that all of the index is, hex; empty if that was changed since."""
    at = 0
    while at + 8 <= len(extensions) - 20:
        name, length = struct.unpack_from(">4sL", extensions, at)
        if name == b"TREE":
            body = extensions[at + 8 : at + 8 + length]
            begin = body.index(b"\n") + 1
            is_valid = not body[1:begin].startswith(b"-")
            return body[begin : begin + 20].hex() if is_valid else ""
        at += 8 + length
    return ""


def _tree_of(git: str, commit: str) -> str:
    """Return the tree of a commit, hex.

    Raises:
        UnknownError: The commit can't be read.
    """
    try:
        common = os.path.join(git, read_regular(f"{git}/commondir", 4096).decode().strip())  # noqa: PTH118
    except FileNotFoundError:
        common = git
    loose = f"{common}/objects/{commit[:2]}/{commit[2:]}"
    try:
        data = zlib.decompressobj().decompress(read_regular(loose, 1 << 20), TREE_BYTES)
    except FileNotFoundError:
        data = find_packed(f"{common}/objects/pack", commit, TREE_BYTES) or b""
    _, _, line = data.partition(b"\0tree ")
    if len(line) < 40:
        raise UnknownError(f"the commit {commit[:12]} is packed in another way")
    return line[:40].decode()


def _top_of(folder: str) -> str:
    while not os.path.lexists(f"{folder}/.git"):
        folder = os.path.dirname(folder)  # noqa: PTH120
    return folder
