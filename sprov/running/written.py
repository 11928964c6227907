"""What is made or changed in the folders where a command works, told by the kernel at once.

It says what, and not who.  So it is only why we look at what the command has open: a checkpoint
that an extension writes is open for as long as that takes.

Source: inotify(7).  It tells of what is done on this node, whatever the file system.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from collections.abc import Iterator

IN_MODIFY, IN_MOVED_TO, IN_CREATE, IN_ONLYDIR, IN_ISDIR = 0x2, 0x80, 0x100, 0x1000000, 0x40000000
MAX_FOLDERS = 100
MAX_ENTRIES = 1000
"""Of a folder that are looked at for folders in it."""
READ_BYTES = 64 << 10
SKIPPED = ("__pycache__", "node_modules", "site-packages")
_EVENT = struct.Struct("iIII")  # watch, mask, cookie, length of the name that follows


class Written:
    """Watches a folder and some of those below; `fd` can be polled."""

    def __init__(self, top: str) -> None:
        """Begin.

        Raises:
            OSError: The user has too many such already (``fs.inotify.max_user_instances``).
        """
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.fd = int(self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        self._folders: dict[int, str] = {}
        for folder in _below(top):
            self._add(folder)

    def _add(self, folder: str) -> None:
        if len(self._folders) < MAX_FOLDERS:
            mask = IN_MODIFY | IN_MOVED_TO | IN_CREATE | IN_ONLYDIR
            watch = self._libc.inotify_add_watch(self.fd, os.fsencode(folder), mask)
            if watch >= 0:
                self._folders[watch] = folder

    def read(self) -> set[str]:
        """Return the paths that were written since."""
        found: set[str] = set()
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.fd, READ_BYTES):
                for watch, mask, name in _events(data):
                    if watch in self._folders and name:
                        path = f"{self._folders[watch]}/{os.fsdecode(name)}"
                        if not mask & IN_ISDIR:
                            found.add(path)
                        elif mask & (IN_CREATE | IN_MOVED_TO):
                            self._add(path)
        return found

    def close(self) -> None:
        os.close(self.fd)


def _events(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    at = 0
    while at < len(data):
        watch, mask, _, length = _EVENT.unpack_from(data, at)
        at += _EVENT.size + length
        yield watch, mask, data[at - length : at].rstrip(b"\0")


def _below(top: str) -> Iterator[str]:
    """Yield a folder and those in it, nearest first, but hidden ones and packages."""
    waiting = [top]
    for folder in waiting:
        yield folder
        if len(waiting) > MAX_FOLDERS:
            continue
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            for _, entry in zip(range(MAX_ENTRIES), entries, strict=False):
                hidden = entry.name.startswith(".") or entry.name in SKIPPED
                if not hidden and entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
