"""Claims: which launch of one command a process is, and which of a rank's processes.

A job that is requeued starts its script again, and only the order of what it starts tells which of
several equal commands is which.  The first to come makes a file in the project, named by command,
restart and number; the next of that command takes the next number.  Ranks that have a launcher in
common share its claim.  Nothing is locked or waited for.

A rank may be several processes of one launch, as in ``srun bash -c 'prepare; train || train'``.
Each rank counts its own by such claims, so that all ranks come to the same number (`take_turn`).
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from typing import TYPE_CHECKING, NamedTuple

from .foreign import is_theirs
from .launch import is_alive
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


COMPLETED = "completed"
"""Written to the claim of a process that ended without an exception that nobody caught."""


class Owner(NamedTuple):
    """A process that claims a rank."""

    host: str
    boot_id: str
    pid: int
    started: float

    def __str__(self) -> str:
        return f"{self.host} {self.boot_id} {self.pid} {self.started}"


class Turn(NamedTuple):
    nth: int
    """How many processes of this rank came before."""
    rival: str = ""
    """A process that has the rank too, and has not ended as far as is known."""


def take_turn(folder: Path, key: str, rank: int, size: int, owner: Owner) -> Turn | None:
    """Claim the next turn of a rank; the one that it has if this process has one.

    A rank that crashed before it could claim its first turn has counted one less than the others.
    So where another rank tried this turn, did not complete and has the next one already, this
    process is of the next one too.

    Args:
        folder: The job's; made if it is missing.
        key: Identity of launch, command and restart.

    Returns:
        None if claims can't be made there.
    """
    try:
        make_folder(folder)
        rival = ""
        for n in range(MAX_LAUNCHES):
            mine = _read_claim(folder, key, rank, n)
            if mine == str(owner):
                return Turn(n, rival)
            if mine is not None:
                rival = rival or _living(mine, owner)
            elif not _is_past(folder, key, rank, size, n):
                if _link(folder, _name(key, rank, n), str(owner)):
                    atexit.register(_complete, folder / _name(key, rank, n), os.getpid())
                    return Turn(n, rival)
                rival = _living(_read_claim(folder, key, rank, n) or "", owner)
    except (OSError, ValueError) as exc:
        if is_theirs(exc):
            raise
    return None


def claim_first(folder: Path, name: str, key: str) -> bool:
    """Be the first of that name, or of the key that the first had.

    Raises:
        OSError: No claims can be made there.
    """
    make_folder(folder)
    return _link(folder, name, key) or _owner(folder / name) == key


def _name(key: str, rank: int, n: int) -> str:
    return f"{key}-rank{rank}-{n}"


def _read_claim(folder: Path, key: str, rank: int, n: int) -> str | None:
    """Return who claimed a turn, None if nobody did."""
    try:
        return _owner(folder / _name(key, rank, n)).partition("\n")[0]
    except FileNotFoundError:
        return None


def _is_past(folder: Path, key: str, rank: int, size: int, n: int) -> bool:
    """Tell whether a turn that this rank has not claimed is over: it, or others, went on."""
    if (folder / _name(key, rank, n + 1)).exists():
        return True
    others = {0, 1, size - 1, (rank + 1) % size} - {rank}
    return any(_has_tried_again(folder, key, other, n) for other in others if other < size)


def _has_tried_again(folder: Path, key: str, rank: int, n: int) -> bool:
    if not (folder / _name(key, rank, n + 1)).exists():
        return False
    try:
        return COMPLETED not in _owner(folder / _name(key, rank, n))
    except FileNotFoundError:
        return True


def _living(claimed: str, owner: Owner) -> str:
    """Return a claim's owner as people name a process, empty if it has ended."""
    try:
        host, boot_id, pid, started = claimed.split()
        has_ended = boot_id == owner.boot_id and not is_alive(int(pid), float(started))
    except ValueError:
        return ""
    return "" if has_ended else f"process {pid} on {host}"


def _link(folder: Path, name: str, text: str) -> bool:
    """Make a file, whole as it is; return whether there was none of that name."""
    temporary = folder / f".{os.getpid()}-{os.urandom(4).hex()}"
    try:
        with open(open_file(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "w") as file:
            file.write(text)
        (folder / name).hardlink_to(temporary)
    except FileExistsError:
        return False
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    return True


def _complete(claimed: Path, pid: int) -> None:
    """At exit: say that the process ended well, as far as it can know."""
    raised = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    if raised is None and os.getpid() == pid:
        with contextlib.suppress(OSError), open(claimed, "a") as file:
            file.write(f"\n{COMPLETED}")
