"""What Pythons below the command tell of the files that they open: `pllib/hook/sprov_opened.py`."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterable
from typing import NamedTuple

from pllib.hook.sprov_opened import as_field
from pllib.places import SHARED_MEMORY, own_place

from .opened import Opened

HOOK = "hook"
PREFIX = "opened-"
MAX_BYTES = 64 << 20
"""Of the file of lines; then no further Python is listened to."""
READ_BYTES = 1 << 20
ESCAPES = {"\\\\": "\\", "\\t": "\t", "\\n": "\n"}


class Python(NamedTuple):
    """A Python that began below the command."""

    version: str
    prefix: str
    packages: tuple[str, ...]
    """Folders."""


class Lines:
    """The file that hooks append to; `close` deletes it.

    It is locked as long as we live, so that the next one tells whose writer was killed.
    """

    def __init__(self, opened: Opened) -> None:
        """Make it, in shared memory if there is any.

        Raises:
            OSError: It can't be made.
        """
        self._opened = opened
        self._rest = b""
        self._n_bytes = 0
        self.pythons: dict[Python, None] = {}
        self.own_pids: set[int] = set()
        """Of commands of sprov's, whose files are not the command's."""
        shared = SHARED_MEMORY if os.access(SHARED_MEMORY, os.W_OK) else tempfile.gettempdir()
        folder = str(own_place(shared))
        _sweep(folder)
        self._fd, self.path = _locked(folder)

    def take(self) -> None:
        """Take what was appended since."""
        while data := os.read(self._fd, READ_BYTES):
            self._n_bytes += len(data)
            *whole, self._rest = (self._rest + data).split(b"\n")
            for line in whole:
                self._take(line.decode("utf-8", "surrogateescape").split("\t"))
        if self._n_bytes > MAX_BYTES:
            self._unlink()

    def _take(self, fields: list[str]) -> None:
        kind, *rest = fields
        paths = [_unescaped(field) for field in rest]
        if kind == "R" and len(rest) == 3 and rest[0].isdigit() and rest[1].lstrip("-").isdigit():
            self._opened.read(os.path.normpath(paths[2]), (int(rest[0]), int(rest[1])))
        elif kind == "W" and len(rest) == 1:
            self._opened.wrote(os.path.normpath(paths[0]))
        elif kind == "M" and len(rest) == 2:
            self._opened.moved(*map(os.path.normpath, paths))
        elif kind == "P" and len(rest) == 3:
            folders = tuple(paths[2].split(os.pathsep)) if paths[2] else ()
            self.pythons[Python(paths[0], paths[1], folders)] = None
        elif kind == "N" and len(rest) == 1 and rest[0].isdigit():
            self.own_pids.add(int(rest[0]))
        elif kind == "+":
            self._opened.n_unlisted += 1

    def tell_written(self, paths: Iterable[str]) -> None:
        """Append what was seen in another way: others look here for whose a file is.

        Without room in shared memory others may take such a file for one of theirs, and no more.
        """
        if text := "".join(f"W\t{as_field(path)}\n" for path in paths):
            fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                with contextlib.suppress(OSError):
                    os.write(fd, text.encode("utf-8", "surrogateescape"))
            finally:
                os.close(fd)

    def close(self) -> None:
        os.close(self._fd)
        self._unlink()

    def _unlink(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)  # noqa: PTH108

    def environment(self, excluded: Iterable[str], python_path: str) -> dict[str, str]:
        """Return what makes a Python load the hook and tell of what is not in these folders."""
        import pllib

        folder = os.path.join(os.path.dirname(os.path.abspath(pllib.__file__)), HOOK)  # noqa: PTH100, PTH118, PTH120
        return {
            "PYTHONPATH": f"{folder}{os.pathsep}{python_path}" if python_path else folder,
            "SPROV_OPENED": self.path,
            "SPROV_OPENED_EXCLUDE": os.pathsep.join(excluded),
        }


def _locked(folder: str) -> tuple[int, str]:
    """Make a file and lock it before anybody takes it for a dead one's."""
    while True:
        fd, path = tempfile.mkstemp(prefix=PREFIX, dir=folder)
        os.fchmod(fd, 0o600)  # whatever the umask: Pythons of the command open it by its path
        fcntl.flock(fd, fcntl.LOCK_EX)
        if os.fstat(fd).st_nlink:
            return fd, path
        os.close(fd)


def _sweep(folder: str) -> None:
    """Delete the files of those that were killed."""
    for name in os.listdir(folder):  # noqa: PTH208
        if name.startswith(PREFIX):
            with contextlib.suppress(OSError):
                fd = os.open(f"{folder}/{name}", os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(f"{folder}/{name}")  # noqa: PTH108
                finally:
                    os.close(fd)


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    found, at = [], 0
    while at < len(text):
        pair = text[at : at + 2]
        found.append(ESCAPES.get(pair, text[at]))
        at += 2 if pair in ESCAPES else 1
    return "".join(found)
