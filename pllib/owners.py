"""Whether the process that a log belongs to is gone, so that what it left may be taken.

Only proof counts, and when in doubt it may live:

* its number is not there any more, in the PID namespace that it had: a process in a container has
  one of its own, and a number there says nothing here;
* the kernel holds no lock for it, on a file that this kernel alone has;
* its job is over, as its cluster says.

Logs of versions that noted neither namespace nor lock are judged by the number alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from . import launch, mounts
from .locks import is_held
from .log import LogReader, Owner

NOBODY = Owner("", "", 0, 0.0)
"""Owner of a log that is complete."""
UNKNOWN_NAMESPACE = -1
"""Of a process whose /proc is another namespace's: numbers there are not its own."""
IsOver = Callable[[str, str], bool]
"""Tells whether a Slurm job is over, by its id and its cluster."""


def pid_namespace() -> int:
    """Return the number of this process's PID namespace, as the kernel counts them."""
    try:
        if os.readlink("/proc/self") != str(os.getpid()):  # noqa: PTH115
            return UNKNOWN_NAMESPACE
        return os.stat("/proc/self/ns/pid").st_ino  # noqa: PTH116
    except OSError:
        return UNKNOWN_NAMESPACE


def this_process(run: str = "", job: str = "", project: str = "", cluster: str = "") -> Owner:
    """Return this process as an owner."""
    mine = launch.process()
    return Owner(
        launch.host(), mine.boot_id, mine.pid, mine.started, run, job, project,
        pid_namespace(), False, cluster,
    )  # fmt: skip


def is_gone(log: LogReader, is_over: IsOver) -> tuple[bool, str]:
    """Tell whether the owner of a log is gone; if nobody can know, also why."""
    owner = log.header.owner
    if owner == NOBODY:
        return True, ""
    is_same_boot = owner.boot_id == launch.boot_id()
    if not owner.pid_namespace:
        return _is_gone_by_number(owner, is_same_boot, is_over), ""
    if is_same_boot and owner.pid_namespace == pid_namespace() != UNKNOWN_NAMESPACE:
        return not launch.is_alive(owner.pid, owner.started), ""
    held = is_held(log.fileno()) if owner.is_locked and not _is_copy(log) else None
    if held:
        return False, ""
    if held is False and (is_same_boot or _was_rebooted(owner, log)):
        return True, ""
    if owner.job and is_over(owner.job, owner.cluster):
        return True, ""
    where = "another PID namespace" if is_same_boot else f"another boot of {owner.host}"
    return False, f"its process ran in {where}, so nobody can tell from here whether it lives"


def _is_copy(log: LogReader) -> bool:
    """Tell whether a log is not the very file that its owner locked."""
    inode = log.header.owner.inode
    return bool(inode) and os.fstat(log.fileno()).st_ino != inode


def _is_gone_by_number(owner: Owner, is_same_boot: bool, is_over: IsOver) -> bool:
    if owner.host != launch.host():
        return bool(owner.job) and is_over(owner.job, owner.cluster)
    return not is_same_boot or not launch.is_alive(owner.pid, owner.started)


def _was_rebooted(owner: Owner, log: LogReader) -> bool:
    """Tell whether a log of another boot is of this node's: no other kernel has its file system."""
    is_local = mounts.mount_of(log.path).kind in mounts.MAPPABLE
    return is_local and owner.host == launch.host()
