"""A snapshot that stays, whatever a manager makes and deletes meanwhile."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from manager.store.snapshots import current_snapshot
from pllib.errors import UnavailableError
from pllib.project import Project

PREFIX = "pinned-"
ATTEMPTS = 5


@contextlib.contextmanager
def pinned(project: Project) -> Iterator[Project]:
    """Give the project with its newest snapshot as its only one, for the block.

    Its files are linked, or copied where links can't be made.

    Raises:
        UnavailableError: There is no snapshot, or it can't be copied.
    """
    folder = _make_folder(project)
    try:
        made = msgspec.structs.replace(project, indexes=folder)
        made.snapshots.mkdir()
        _take(project.snapshots, made.snapshots / "current")
        yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _make_folder(project: Project) -> Path:
    with contextlib.suppress(OSError):
        return Path(tempfile.mkdtemp(prefix=PREFIX, dir=project.snapshots.parent))
    return Path(tempfile.mkdtemp(prefix=f"sprov-{PREFIX}"))  # who may only read the project


def _take(snapshots: Path, to: Path) -> None:
    failure: OSError | None = None
    for _ in range(ATTEMPTS):
        try:
            shutil.copytree(current_snapshot(snapshots), to, copy_function=_link)
            return
        except (OSError, shutil.Error) as exc:  # deleted between the two, if there is a newer one
            failure = exc
            shutil.rmtree(to, ignore_errors=True)
    raise UnavailableError(f"the snapshot can't be held: {failure}", "Try again")


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:  # another file system, or another's file (proc(5), protected_hardlinks)
        shutil.copy2(source, target)
