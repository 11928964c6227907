"""Which signals the command gets from us: each that it did not get by itself.

The command is a process group of its own unless there is a terminal, so that who signals our group
reaches us alone and it gets the signal once.  With a terminal it shares our group, as jobs of a
shell do: the kernel sends what is typed to both.

slurmstepd signals the tasks of a step: us, with proctrack/cgroup; with proctrack/linuxproc all
that they started, too.  Source: Slurm 22.05, proctrack_p_signal of both plugins.
"""

from __future__ import annotations

import os
import signal

SYNCHRONOUS = {
    signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP, signal.SIGSYS,
}  # fmt: skip
"""What a fault of our own raises."""
KEPT = {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGPIPE, *SYNCHRONOUS}
FORWARDED = signal.valid_signals() - KEPT
BY_KERNEL = 0
"""Of ``si_code``: larger ones are the kernel's; kill(2), sigqueue(3) and tgkill(2) have others."""
CONFIGURATION = "/etc/slurm/slurm.conf"


def is_for_both(found: signal.struct_siginfo, *, apart: bool) -> bool:
    """Tell whether the command got a signal that we got, too."""
    if found.si_code > BY_KERNEL:
        return not apart
    return _is_slurm(found.si_pid) and _signals_descendants()


def _is_slurm(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().strip() == "slurmstepd"
    except OSError:  # it has ended, or is of another pid namespace
        return False


def _signals_descendants() -> bool:
    """Tell whether Slurm is known to signal all that a task started."""
    try:
        with open(os.environ.get("SLURM_CONF") or CONFIGURATION) as file:
            lines = [line.split("#")[0].replace(" ", "").lower() for line in file]
    except OSError:
        return False
    return any("proctracktype=proctrack/linuxproc" in line for line in lines)
