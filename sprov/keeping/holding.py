"""Locks and lives: nothing that a living process uses is touched."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from pllib.errors import BusyError
from pllib.sharing import open_file


@contextlib.contextmanager
def held(lock: Path, *, make: bool = True) -> Iterator[bool]:
    """Hold a lock file for the block, unless somebody holds it.

    Args:
        make: Make the file if it is missing; else nobody can hold it, and so it is free.

    Yields:
        Whether nobody else holds it.
    """
    try:
        fd = open_file(lock, os.O_RDWR | (os.O_CREAT if make else 0))
    except FileNotFoundError:
        yield True
        return
    try:
        yield _locked(fd)
    finally:
        os.close(fd)


def _locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def journal_held(folder: Path) -> Iterator[None]:
    """Keep trackers and `sprov ingest` out of a journal for the block.

    Raises:
        BusyError: One writes it.
    """
    with held(folder / "lock") as free:
        if not free:
            raise BusyError(
                f"a tracker or `sprov ingest` writes the journal {folder.name}",
                "`sprov stop` ends the tracker",
            )
        yield


@contextlib.contextmanager
def store_held(store: Path) -> Iterator[None]:
    """Keep other writers of a store out for the block.

    Raises:
        BusyError: There is one.
    """
    with held(store.with_name(f"{store.name}.lock")) as free:
        if not free:
            raise BusyError(
                f"another process is writing the store {store}",
                "`sprov status` shows it; `sprov stop` ends it",
            )
        yield


def in_use(path: Path) -> bool:
    """Tell whether a process of this host, as far as this user sees, has a file in it open."""
    prefix = os.path.realpath(path)
    for fds in Path("/proc").glob("[0-9]*/fd"):
        with contextlib.suppress(OSError):  # it has ended, or is another user's
            for fd in fds.iterdir():
                with contextlib.suppress(OSError):
                    target = str(fd.readlink())
                    if target == prefix or target.startswith(f"{prefix}/"):
                        return True
    return False
