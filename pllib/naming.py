"""What the ranks of one launch have in common, and no other launch has: its name.

Within a job it has to be the same when the job is requeued, so what a launcher makes up is of no
use there: the step, or the launcher's command and how often it ran before, names the launch.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from . import ancestry
from .launch import Process, boot_id, parent_of, process
from .launchers import (
    LAUNCHERS,
    LIGHTNING,
    MPI4PY,
    OPEN,
    TORCH,
    Launcher,
    Ranks,
    find_ranks,
    number,
    process_group,
)

Claim = Callable[[str, int, str], int | None]
"""How `pllib.launches.claim` is called: with command, restart and owner."""

PROXY = b"hydra_pmi_proxy"
NAMES = ("TORCHELASTIC_RUN_ID", "PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid", "PMI_JOBID")
"""Variables that may name a launch."""
LISTENS = "0A"
"""The state of a TCP socket that listens.  Source: include/net/tcp_states.h of Linux."""
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ALONE = Ranks(0, 1)


class Common(NamedTuple):
    text: str
    launcher: Launcher
    ranks: Ranks
    takes_turns: bool = False
    alone: str = ""


def find_common(environ: Mapping[str, str], claim: Claim | None, given: Ranks | None) -> Common:
    """Find the launcher of this process, and name its launch."""
    launcher, ranks = find_ranks(environ, given)
    if chosen := environ.get("SPROV_RUN"):
        return Common(f"named:{chosen}", launcher, ranks)
    base = launcher
    if launcher.name == TORCH:
        base, told = find_ranks(environ, variables=True)
        if told[:2] == ranks[:2]:
            ranks = told  # the process group is that of the launcher's ranks
        else:
            base = launcher
    above, is_worker = _place(environ, base)
    if is_worker and ranks.size > 1:
        reason = f"a program of rank {ranks.rank} of {ranks.size} started this process"
        text = _within(environ) + f"process:{process()}"
        return Common(text, LAUNCHERS[-1], _ALONE, alone=reason)
    text = _Namer(environ, claim, base, ranks, above).name()
    if text:
        turns = ranks.size > 1 and base.name != LIGHTNING
        return Common(text, launcher, ranks, turns)
    reason = f"the launcher ({launcher.name}) gives its {ranks.size} ranks nothing in common"
    return Common(_within(environ) + f"process:{process()}", launcher, ranks, alone=reason)


def _within(environ: Mapping[str, str]) -> str:
    step = environ.get("SLURM_STEP_ID")
    return f"step:{step}/" if step else ""


def _place(environ: Mapping[str, str], launcher: Launcher) -> ancestry.Place:
    """Return the launcher's process, and whether this one is a worker of a rank."""
    if launcher.name in (OPEN, TORCH):
        return ancestry.Place(process(parent_of(os.getpid())), is_worker=False)
    if launcher.name == LIGHTNING and environ["LOCAL_RANK"] == "0":
        return ancestry.Place(process(), is_worker=False)
    if not launcher.marks:
        return ancestry.Place(None, is_worker=False)
    return ancestry.find_place(environ, launcher.marks)


class _Namer(NamedTuple):
    """What is known when a launch is to be named."""

    environ: Mapping[str, str]
    claim: Claim | None
    launcher: Launcher
    ranks: Ranks
    above: Process | None
    """The launcher, if it can be seen."""

    def name(self) -> str:
        """Return the launch; empty if there is nothing that all of its ranks can see."""
        if number(self.environ, "SLURM_STEP_NUM_TASKS") > 1 and self.environ.get("SLURM_STEP_ID"):
            return self._in_step()
        within = _within(self.environ)
        if self.launcher.name == TORCH:
            return self._of_group(within)
        if chosen := self._rendezvous():
            return f"{within}TORCHELASTIC_RUN_ID:{chosen}"
        if claimed := self._claimed():
            return within + claimed
        for name in NAMES:
            identity = self.environ.get(name, "")
            is_one = identity and identity.lower() != "none"
            if is_one and (name != "PMI_JOBID" or self.ranks.size > 1):
                return f"{within}{name}:{identity}"
        if self.launcher.name == LIGHTNING:
            return f"{within}process:{self.above}" if self.above else ""
        if self.ranks.size == 1:
            return f"{within}process:{process()}"
        return f"{within}launcher:{self.above}" if self.above and self._all_here() else ""

    def _in_step(self) -> str:
        """Name a launch in a step of several tasks: the step, or a launcher in one of them."""
        step = _within(self.environ)
        if self.launcher.name == TORCH:
            return self._of_group(step)
        if self.launcher.name not in (OPEN, MPI4PY) and self.ranks.local == self.ranks.size:
            return f"{step}task:{self.environ.get('SLURM_PROCID', '')}"
        if chosen := self._rendezvous():
            return f"{step}TORCHELASTIC_RUN_ID:{chosen}"
        return step.rstrip("/")

    def _rendezvous(self) -> str:
        """Return the id that the user gave torchrun; what it makes up itself is a UUID."""
        found = self.environ.get("TORCHELASTIC_RUN_ID", "")
        return "" if found.lower() in ("", "none") or _UUID.fullmatch(found) else found

    def _all_here(self) -> bool:
        """Tell whether all ranks are of the launcher's process that this one sees."""
        if self.launcher.name in (OPEN, LIGHTNING):
            return True
        return self.ranks.local == self.ranks.size

    def _claimed(self) -> str:
        """Name a launch on one node of a job by its command and a number; empty if that can't be.

        An id that a launcher makes is of no use here, since no requeue has it again: hydra's, or
        that of ``torchrun --standalone``, a UUID (torch 2.13).
        """
        if self.claim is None:
            return ""
        is_alone = self.ranks.size == 1 and not self.environ.get("TORCHELASTIC_RUN_ID")
        if is_alone and any(map(self.environ.get, NAMES[1:3])):
            return ""
        owner = process() if is_alone else self.above
        if owner is None or not (is_alone or self._all_here()):
            return ""
        of_script = is_alone or self.launcher.name == LIGHTNING  # ranks may have folders of theirs
        folder = _folder(owner.pid) if of_script else ""
        return self._numbered(_command_line(owner.pid), folder, str(owner))

    def _numbered(self, command: bytes | str, folder: str, owner: str) -> str:
        from .identity import digest

        assert self.claim is not None
        of_command = digest(command, folder)
        nth = self.claim(of_command, number(self.environ, "SLURM_RESTART_COUNT"), owner)
        return "" if nth is None else f"command:{of_command}#{nth}"

    def _of_group(self, within: str) -> str:
        """Name a process group by where its store is, which all of its ranks know."""
        store = _store()
        if store is None:
            return ""
        host, port = getattr(store, "host", ""), getattr(store, "port", 0)
        text = f"{host}:{port}" if port else str(getattr(store, "path", ""))
        if not text:
            return ""
        if self.claim is not None:
            return within + (self._numbered("process group", "", text) or f"group:{text}")
        if port and (socket := _listener(int(port))):
            return f"{within}group:{boot_id()}:{socket}"
        return f"{within}launcher:{self.above}" if _is_child() and self.above else ""


def _folder(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/cwd")  # noqa: PTH115
    except OSError:
        return ""


def _command_line(pid: int) -> bytes:
    """Return a process's arguments; of hydra's proxy those of its mpiexec, which name no port."""
    command = ancestry.command_line(pid)
    if PROXY in command:
        return ancestry.command_line(parent_of(pid))
    return command


def _store() -> Any:
    """Return the store of torch's process group, for its address: nothing is asked of it."""
    module = process_group()
    try:
        store = module.distributed_c10d._get_default_store()
        while hasattr(store, "underlying_store"):
            store = store.underlying_store
    except (AttributeError, RuntimeError, ValueError):  # no such thing in another version
        return None
    return store


def _listener(port: int) -> str:
    """Return the inode of the socket that listens at a port: the next one there has another."""
    ending = f":{port:04X}"
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(path) as file:
                rows = [line.split() for line in file]
        except OSError:
            continue
        for row in rows:
            if len(row) > 9 and row[1].endswith(ending) and row[3] == LISTENS:
                return row[9]
    return ""


def _is_child() -> bool:
    """Tell whether multiprocessing started this process."""
    module = sys.modules.get("multiprocessing.process")
    return module is not None and module.parent_process() is not None
