"""Where a file that is open lies now: somebody may have removed it, or moved what it lies in."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .foreign import suppressing
from .projectkey import NAME

if TYPE_CHECKING:
    from pathlib import Path


def find_file(fd: int, path: Path) -> Path | None:
    """Return the path of an open file: the one that it had, or in its project, if that was moved.

    None if it has no name any more, or lies where nobody looks for it.
    """
    mine = os.fstat(fd)
    with suppressing(OSError):
        if os.path.samestat(mine, os.stat(path)):  # noqa: PTH116
            return path
    if not mine.st_nlink:
        return None
    with suppressing(OSError):
        from pathlib import Path

        here = Path(os.readlink(f"/proc/self/fd/{fd}"))  # noqa: PTH115
        is_in_project = here.parent.name == path.parent.name and (here.parents[1] / NAME).exists()
        if is_in_project and os.path.samestat(mine, here.stat()):
            return here
    return None


def remove_stump(path: Path, size: int) -> None:
    """Remove a log that somebody cut off within its header: nothing can be read of it."""
    with suppressing(OSError):
        if path.stat().st_size < size:
            path.unlink()


def is_truncated(fd: int, size: int) -> bool:
    """Tell whether an open file is shorter than it was made."""
    return os.fstat(fd).st_size < size
