"""Node-local folders for the indexes of jobs: only ours, and none left for good."""

from __future__ import annotations

import fcntl
import shutil
import time
from pathlib import Path

from pllib.places import own_place

LEFT_S = 86_400.0
"""Indexes that nobody wrote for so long were left by a job that was killed."""


def claim(indexes: Path) -> Path:
    """Return where a job's indexes lie, in a folder that is this user's alone.

    Others may have taken the folder's name where everybody may write; then it has another, and
    the manager's endpoint says which.

    Args:
        indexes: ``PLACE/sprov-UID/JOB``.

    Raises:
        OSError: No folder can be made.
    """
    return own_place(str(indexes.parents[1])) / indexes.name


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
