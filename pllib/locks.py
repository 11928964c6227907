"""Locks that the kernel holds for a process: proof that it lives where its number can't be seen.

Open file description locks (fcntl(2), Linux 3.15), each on a description of its own, which nothing
maps: what is mapped or inherited keeps a lock beyond its process.  Unlike those of flock(2), a
server of NFS and its clients see each other's.
"""

from __future__ import annotations

import fcntl
import os
import struct

_FLOCK = struct.Struct("hhqqi4x")  # type, whence, start, length, pid: fcntl(2), on 64 bits

_held: set[int] = set()
_watches_forks = False


def hold(fd: int) -> int | None:
    """Lock the file of a descriptor for as long as this process lives, or until `release`.

    A forked child does not hold it: it closes its copy.

    Returns:
        What holds the lock; None if the file system has no locks.
    """
    global _watches_forks
    if not _watches_forks:
        _watches_forks = True
        os.register_at_fork(after_in_child=_forget)
    try:
        own = os.open(f"/proc/self/fd/{fd}", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.fcntl(own, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    except OSError:
        os.close(own)
        return None
    _held.add(own)
    return own


def release(own: int | None) -> None:
    """End a lock, if it is this process's."""
    if own in _held:
        _held.discard(own)
        os.close(own)


def is_held(fd: int) -> bool | None:
    """Tell whether any process holds the lock of a file; None if the file system has no locks."""
    asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    try:
        found = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, asked)
    except OSError:
        return None
    return bool(_FLOCK.unpack(found)[0] != fcntl.F_UNLCK)


def _forget() -> None:
    for own in _held:
        os.close(own)
    _held.clear()
