"""Node-local folders for the indexes of jobs: only ours, and none left for good."""

from __future__ import annotations

import fcntl
import shutil
import time
from pathlib import Path

from pllib.errors import UnavailableError
from pllib.sharing import make_private

LEFT_S = 86_400.0
"""Indexes that nobody wrote for so long were left by a job that was killed."""


def claim(folder: Path) -> None:
    """Make the folder for indexes of this user's jobs, in a place where others may have made it.

    Raises:
        UnavailableError: It is somebody else's, or others may enter it.
        OSError: It can't be made.
    """
    try:
        make_private(folder)
    except UnavailableError as exc:
        raise UnavailableError(
            Exception.__str__(exc), "Set `indexes` in [serve] to another place"
        ) from None


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
