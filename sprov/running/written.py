"""What is made or changed in the folders where a command works, told by the kernel at once.

It says what, and not who.  So what the command has open is looked at then: a checkpoint that an
extension writes is open for as long as that takes.  Whose file is closed before that stays unseen.

Source: inotify(7).  It tells of what is done on this node, whatever the file system.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import stat
import struct
from collections.abc import Iterable, Iterator

IN_MODIFY, IN_MOVED_TO, IN_CREATE, IN_ONLYDIR, IN_ISDIR = 0x2, 0x80, 0x100, 0x1000000, 0x40000000
IN_Q_OVERFLOW, IN_IGNORED = 0x4000, 0x8000
MAX_FOLDERS = 100
"""Of those that are there already, or come at once."""
MAX_WATCHES = 1000
"""In all: room for what the command makes."""
MAX_ENTRIES = 1000
"""Of a folder that are looked at for folders in it."""
READ_BYTES = 64 << 10
SKIPPED = ("__pycache__", "node_modules", "site-packages")
_EVENT = struct.Struct("iIII")  # watch, mask, cookie, length of the name that follows


class Written:
    """Watches folders, and once told to `descend` some of those below; `fd` can be polled.

    Args:
        since_ns: When the command began: in a folder that is watched later, what is older is not
            new.
        excluded: Folders that are not watched.
    """

    def __init__(self, *tops: str, since_ns: int = 0, excluded: Iterable[str] = ()) -> None:
        """Begin.

        Raises:
            OSError: The user has too many such already (``fs.inotify.max_user_instances``).
        """
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.fd = int(self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        self._since_ns = since_ns
        self._folders: dict[int, str] = {}
        self.n_unwatched = 0
        """Folders that there was no room to watch."""
        self.n_overflows = 0
        """Times that the kernel dropped what it had to tell."""
        self._tops = tops
        self._excluded = tuple(folder.rstrip("/") + "/" for folder in excluded)
        for folder in tops:
            self._add(folder)

    def descend(self) -> set[str]:
        """Watch what is below; return the paths that were written before that.

        On a parallel file system this takes longer than a command should wait.
        """
        found: set[str] = set()
        for top in self._tops:
            for folder in self._below(top):
                if folder != top:
                    found |= self._follow(folder)
        return found

    def _add(self, folder: str) -> None:
        if len(self._folders) >= MAX_WATCHES:
            self.n_unwatched += 1
            return
        mask = IN_MODIFY | IN_MOVED_TO | IN_CREATE | IN_ONLYDIR
        watch = self._libc.inotify_add_watch(self.fd, os.fsencode(folder), mask)
        if watch >= 0:
            self._folders[watch] = folder
        elif os.path.isdir(folder):  # noqa: PTH112
            self.n_unwatched += 1

    def read(self) -> set[str]:
        """Return the paths that were written since."""
        found: set[str] = set()
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.fd, READ_BYTES):
                for watch, mask, name in _events(data):
                    self.n_overflows += bool(mask & IN_Q_OVERFLOW)
                    if mask & IN_IGNORED:  # it was deleted
                        self._folders.pop(watch, None)
                    if watch in self._folders and name:
                        path = f"{self._folders[watch]}/{os.fsdecode(name)}"
                        if not mask & IN_ISDIR:
                            found.add(path)
                        elif mask & (IN_CREATE | IN_MOVED_TO):
                            for folder in () if self._is_skipped(path) else self._below(path):
                                found |= self._follow(folder)
        return found

    def _below(self, top: str) -> Iterator[str]:
        """Yield a folder and those in it, nearest first, but hidden ones and packages."""
        waiting = [top]
        for nth, folder in enumerate(waiting):
            if nth >= MAX_FOLDERS:
                self.n_unwatched += len(waiting) - nth
                return
            yield folder
            with contextlib.suppress(OSError), os.scandir(folder) as entries:
                for _, entry in zip(range(MAX_ENTRIES), entries, strict=False):
                    if not self._is_skipped(entry.path) and entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)

    def _is_skipped(self, path: str) -> bool:
        name = path.rpartition("/")[2]
        return name.startswith(".") or name in SKIPPED or f"{path}/".startswith(self._excluded)

    def _follow(self, folder: str) -> set[str]:
        """Watch a folder; return the files that were made in it before it was watched."""
        self._add(folder)
        with contextlib.suppress(OSError):
            if os.stat(folder).st_ctime_ns >= self._since_ns:  # noqa: PTH116
                with os.scandir(folder) as entries:
                    return {entry.path for entry in entries if self._is_new(entry)}
        return set()

    def _is_new(self, entry: os.DirEntry[str]) -> bool:
        try:
            found = entry.stat(follow_symlinks=False)
        except OSError:  # it went
            return False
        return stat.S_ISREG(found.st_mode) and found.st_ctime_ns >= self._since_ns

    def close(self) -> None:
        os.close(self.fd)


def _events(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    at = 0
    while at < len(data):
        watch, mask, _, length = _EVENT.unpack_from(data, at)
        at += _EVENT.size + length
        yield watch, mask, data[at - length : at].rstrip(b"\0")
