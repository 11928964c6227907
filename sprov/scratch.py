"""Node-local folders for the indexes of jobs: only ours, and none left for good."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import time
from pathlib import Path

from pllib.errors import UnavailableError

LEFT_S = 86_400.0
"""Indexes that nobody wrote for so long were left by a job that was killed."""


def claim(folder: Path) -> None:
    """Make the folder for indexes of this user's jobs, in a place where others may have made it.

    Raises:
        UnavailableError: It is somebody else's.
        OSError: It can't be made.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if found.st_uid != os.geteuid() or not stat.S_ISDIR(found.st_mode):
        raise UnavailableError(
            f"{folder} is not this user's own folder", "Set `indexes` in [serve] to another place"
        )


def sweep(folder: Path) -> None:
    """Remove what jobs that were killed have left there."""
    for indexes in folder.iterdir():
        lock = indexes / "store.lock"
        if lock.exists() and time.time() - _written(indexes) > LEFT_S and not _is_held(lock):
            shutil.rmtree(indexes, ignore_errors=True)


def _written(indexes: Path) -> float:
    """Return when a file of the store was made or deleted last, seconds since 1970."""
    store = indexes / "store"
    return (store if store.is_dir() else indexes).stat().st_mtime


def _is_held(lock: Path) -> bool:
    with lock.open("rb+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False
