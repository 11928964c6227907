"""Election on a node: of all processes of a job, one does what is to be done once.

A seat is a file in shared memory, which the processes of a node share and nobody else, and who has
locked it holds the seat.  The kernel unlocks it when the holder ends, however it ends.  The file
goes with its holder; who locks one that is gone meanwhile holds nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os

from .places import own_place


class Seats:
    """All seats that this process sits on, or would like to.

    Args:
        scope: What elects: a job, or a run outside of one.
        folder: Where the files are; by default this user's own in shared memory.
    """

    def __init__(self, scope: str, folder: str = "") -> None:
        self._scope = scope
        self._folder = folder
        self._held: dict[str, int] = {}

    def hold(self, name: str) -> bool:
        """Tell whether this process holds a seat; it takes one that is free.

        Raises:
            OSError: There is no place for the seat.
        """
        if name in self._held:
            return True
        self._folder = self._folder or str(own_place())
        path = self._path(name)
        fd = self._lock(path)
        if fd is None:
            return False
        with contextlib.suppress(OSError):
            if os.fstat(fd).st_ino == os.stat(path).st_ino:  # noqa: PTH116
                self._held[name] = fd
                return True
        os.close(fd)
        return False

    def leave(self) -> None:
        """Leave all seats to others."""
        for name, fd in self._held.items():
            with contextlib.suppress(OSError):
                os.unlink(self._path(name))  # noqa: PTH108
            os.close(fd)
        self._held = {}

    def abandon(self) -> None:
        """In a forked child: a lock is held for as long as any process has its descriptor."""
        for fd in self._held.values():
            os.close(fd)
        self._held = {}

    def _path(self, name: str) -> str:
        key = f"{self._scope}\n{name}".encode(errors="surrogateescape")
        return f"{self._folder}/seat-{hashlib.blake2b(key, digest_size=16).hexdigest()}"

    def _lock(self, path: str) -> int | None:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            os.close(fd)
            if isinstance(exc, BlockingIOError):
                return None
            raise
        return fd
