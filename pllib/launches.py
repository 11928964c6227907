"""Claims: which launch of one command a process is, so that its requeue is the same run.

A job that is requeued starts its script again, and only the order of what it starts tells which of
several equal commands is which.  The first to come makes a file in the project, named by command,
restart and number; the next of that command takes the next number.  Ranks that have a launcher in
common share its claim.  Nothing is locked or waited for.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from .foreign import is_theirs
from .sharing import make_folder, open_file

if TYPE_CHECKING:
    from pathlib import Path

MAX_LAUNCHES = 10_000


def claim(folder: Path, command: str, restart: int, owner: str) -> int | None:
    """Return how many launches of a command had begun before, in this attempt of the job.

    Args:
        folder: The job's; made if it is missing.
        command: Identity of the command.
        owner: Text that no other launch has, and all ranks of this one.

    Returns:
        None if claims can't be made there.
    """
    prefix = f"{command}-{restart}-"
    temporary = folder / f".{os.getpid()}-{os.urandom(4).hex()}"
    try:
        make_folder(folder)
        known = [name for name in os.listdir(folder) if name.startswith(prefix)]  # noqa: PTH208
        for name in known:
            if _owner(folder / name) == owner:
                return int(name[len(prefix) :])
        with open(open_file(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "w") as file:
            file.write(owner)
        return _take(folder, prefix, len(known), temporary, owner)
    except (OSError, ValueError) as exc:
        if is_theirs(exc):
            raise
        return None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _take(folder: Path, prefix: str, first: int, mine: Path, owner: str) -> int | None:
    """Link a claim, whole as it is, to the first number that is free."""
    for n in range(first, MAX_LAUNCHES):
        path = folder / f"{prefix}{n}"
        try:
            path.hardlink_to(mine)
        except FileExistsError:
            if _owner(path) == owner:
                return n
        else:
            return n
    return None


def _owner(path: Path) -> str:
    return path.read_text(errors="replace")
