"""Which run, rank and host this process is, from its environment alone.

All ranks of one launch must come to the same answer without talking to each other, and two
launches must never come to the same one.  The launcher's variables are read in the order in which
launchers nest: torchrun inside mpirun inside srun.

Source: torch 2.x docs "torchrun", environment variables; MPICH 5.0.2 hydra (PMI_RANK, PMI_SIZE,
MPI_LOCALNRANKS; it sets no id of its own); Open MPI 5 (OMPI_COMM_WORLD_*, PMIX_NAMESPACE); srun(1).
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping

import msgspec

from .errors import SettingsError

JOB_FACTS = {
    "job_id": "SLURM_JOB_ID",
    "array_job_id": "SLURM_ARRAY_JOB_ID",
    "array_task_id": "SLURM_ARRAY_TASK_ID",
    "step_id": "SLURM_STEP_ID",
    "cluster": "SLURM_CLUSTER_NAME",
    "job_name": "SLURM_JOB_NAME",
    "partition": "SLURM_JOB_PARTITION",
    "account": "SLURM_JOB_ACCOUNT",
    "nodelist": "SLURM_JOB_NODELIST",
    "node": "SLURMD_NODENAME",
    "qos": "SLURM_JOB_QOS",
    "nodes": "SLURM_JOB_NUM_NODES",
    "tasks": "SLURM_NTASKS",
    "array_size": "SLURM_ARRAY_TASK_COUNT",
    "het_size": "SLURM_HET_SIZE",
    "mem_per_node": "SLURM_MEM_PER_NODE",
    "mem_per_cpu": "SLURM_MEM_PER_CPU",
    "gpus_on_node": "SLURM_GPUS_ON_NODE",
    "submit_folder": "SLURM_SUBMIT_DIR",
    "submit_host": "SLURM_SUBMIT_HOST",
    "dependency": "SLURM_JOB_DEPENDENCY",
}
"""Names of job facts, by Slurm's variables.  Source: sbatch(1), srun(1), output environment."""

SUBMITTED_FACTS = {
    "job_script": "SPROV_JOB_SCRIPT",
    "submission": "SPROV_SUBMISSION",
    "again_of": "SPROV_AGAIN_OF",
}
"""Names of what `sprov slurm submit` knows of a job (`slurm.submission`)."""


def job_name(facts: Mapping[str, str]) -> str:
    """Return the job of job facts as `squeue` prints it: 4242, or 4242_7 in an array."""
    array, task = facts.get("array_job_id"), facts.get("array_task_id")
    return f"{array}_{task}" if array and task else facts["job_id"]


def step_name(facts: Mapping[str, str]) -> str:
    """Return the job step, as in 4242.0; the job where there is no step."""
    job = job_name(facts)
    return f"{job}.{facts['step_id']}" if "step_id" in facts else job


class Process(msgspec.Struct, frozen=True):
    """A process that no other is: boot, pid and start time.

    Source: proc(5); the pid alone comes back within hours on a busy node.
    """

    boot_id: str
    pid: int
    started: float
    """Seconds since boot."""

    def __str__(self) -> str:
        return f"{self.boot_id}:{self.pid}:{self.started}"


class Launch(msgspec.Struct, frozen=True):
    scope: str
    """Cluster and job or array task; else the site."""
    launch: str
    """What the ranks of one launch have in common, and no other launch has."""
    restart: int
    rank: int
    size: int
    facts: dict[str, str] = {}


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def boot_id() -> str:
    try:
        return _read("/proc/sys/kernel/random/boot_id").decode().strip()
    except OSError:
        return "unknown"


def process(pid: int | None = None) -> Process:
    """Describe a process by its pid, this one by default.

    Raises:
        ProcessLookupError: There is no such process.
    """
    pid = os.getpid() if pid is None else pid
    return Process(boot_id(), pid, _start_time(pid))


def is_alive(pid: int, started: float) -> bool:
    """Tell whether that very process still runs; a zombie does not.

    Where /proc is mounted with hidepid=2, another user's process is not to be seen, and counts as
    the one that is meant.
    """
    try:
        fields = _stat(pid)
    except ProcessLookupError:
        return _is_hidden(pid)
    return fields[0] not in "ZX" and _ticks(fields) == started


def _is_hidden(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return False  # it ended between two looks, or pid is 0


def _stat(pid: int) -> list[str]:
    """Return the fields of ``/proc/PID/stat`` from the state on; the name may hold anything."""
    try:
        text = _read(f"/proc/{pid}/stat").decode(errors="replace")
    except OSError:
        raise ProcessLookupError(pid) from None
    return text[text.rindex(")") + 2 :].split()


def _ticks(fields: list[str]) -> float:
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")


def _start_time(pid: int) -> float:
    return _ticks(_stat(pid))


Claim = Callable[[str, int, str], int | None]
"""How `pllib.launches.claim` is called: with command, restart and owner."""


def find(environ: Mapping[str, str] | None = None, claim: Claim | None = None) -> Launch:
    """Read rank, size and launch from the environment; from mpi4py only if it is imported.

    Args:
        claim: Tells equal commands of one job apart; without, a requeue of one is another run.

    Raises:
        SettingsError: A launch over several nodes gives its ranks nothing in common.
    """
    environ = os.environ if environ is None else environ
    rank, size = _rank(environ)
    return Launch(
        scope=_scope(environ),
        launch=_launch(environ, size, claim if environ.get("SLURM_JOB_ID") else None),
        restart=_restart(environ),
        rank=rank,
        size=size,
        facts=_facts(environ),
    )


def _facts(environ: Mapping[str, str]) -> dict[str, str]:
    found = {name: environ[key] for name, key in JOB_FACTS.items() if environ.get(key)}
    if environ.get("SPROV_SUBMITTED_JOB") == environ.get("SLURM_JOB_ID"):
        # `sbatch` hands a job's environment on to a job that is submitted from it.
        named = SUBMITTED_FACTS.items()
        found.update((name, environ[key]) for name, key in named if environ.get(key))
    if cluster := _cluster(environ):
        found["cluster"] = cluster
    if _is_singleton(environ):
        found["mpi_singleton"] = "1"
    return found


def _cluster(environ: Mapping[str, str]) -> str:
    """Return the cluster; after its controller was reset and numbers came back, a new name."""
    name, nth = environ.get("SLURM_CLUSTER_NAME", ""), environ.get("SPROV_JOB_NTH", "")
    return f"{name}~{nth}" if nth else name


def _is_singleton(environ: Mapping[str, str]) -> bool:
    """Tell whether MPI knows of one rank where Slurm started several: they don't know each other.

    So it is with an MPI that does not speak the step's PMI (MPICH 5.0.2 under ``--mpi=none``).
    """
    if environ.get("TORCHELASTIC_RUN_ID"):
        return False
    tasks = environ.get("SLURM_STEP_NUM_TASKS", "")
    return tasks.isdigit() and int(tasks) > 1 and _mpi_size() == 1


def _restart(environ: Mapping[str, str]) -> int:
    """Count the restarts of the job and, within each, those that torchrun makes by itself."""
    most = _count(environ, "TORCHELASTIC_MAX_RESTARTS")
    of_workers = _count(environ, "TORCHELASTIC_RESTART_COUNT")
    return _count(environ, "SLURM_RESTART_COUNT") * (most + 1) + of_workers


def _count(environ: Mapping[str, str], name: str) -> int:
    text = environ.get(name, "")
    return int(text) if text.isdigit() else 0


_RANKS = (
    ("RANK", "WORLD_SIZE", "TORCHELASTIC_RUN_ID"),
    ("PMI_RANK", "PMI_SIZE", ""),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", ""),
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_STEP_ID"),
)
"""Rank, size, and a variable without which the two may be somebody else's."""


def _rank(environ: Mapping[str, str]) -> tuple[int, int]:
    for rank, size, needs in _RANKS:
        known = environ.get(rank, "").isdigit() and environ.get(size, "").isdigit()
        if known and (not needs or environ.get(needs)):
            return int(environ[rank]), int(environ[size])
    return _mpi_rank()


def _mpi_rank() -> tuple[int, int]:
    size = _mpi_size()
    return (sys.modules["mpi4py.MPI"].COMM_WORLD.Get_rank(), size) if size else (0, 1)


def _mpi_size() -> int:
    """Return how many ranks the program's mpi4py knows of; 0 if it has not begun."""
    mpi = sys.modules.get("mpi4py.MPI")
    if mpi is None or not mpi.Is_initialized() or mpi.Is_finalized():
        return 0
    return int(mpi.COMM_WORLD.Get_size())


def _scope(environ: Mapping[str, str]) -> str:
    job = environ.get("SLURM_JOB_ID")
    if not job:
        return environ.get("SPROV_SITE", "")
    cluster = _cluster(environ)
    array, task = environ.get("SLURM_ARRAY_JOB_ID"), environ.get("SLURM_ARRAY_TASK_ID")
    return f"{cluster}/{array}_{task}" if array and task else f"{cluster}/{job}"


PROXY = b"hydra_pmi_proxy"
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
WRAPPED = "SPROV_WRAPPED"
"""Set by `sprov run` for the command: its own pid and launch, with a colon between."""


def _wrapped(environ: Mapping[str, str]) -> str:
    """Return the launch of the `sprov run` that started this very process; empty if none did."""
    pid, _, named = environ.get(WRAPPED, "").partition(":")
    return named if pid == str(os.getppid()) else ""


def _launch(environ: Mapping[str, str], size: int, claim: Claim | None) -> str:
    if chosen := environ.get("SPROV_RUN"):
        return f"named:{chosen}"
    if wrapped := _wrapped(environ):
        return wrapped
    step, tasks = environ.get("SLURM_STEP_ID"), environ.get("SLURM_STEP_NUM_TASKS", "1")
    if step and int(tasks) > 1:
        return f"step:{step}"
    within = f"step:{step}/" if step else ""
    rendezvous = environ.get("TORCHELASTIC_RUN_ID", "")
    is_chosen = rendezvous.lower() not in ("", "none") and not _UUID.fullmatch(rendezvous)
    if claim is not None and not is_chosen and (claimed := _claimed(environ, size, claim)):
        return within + claimed
    for name in ("TORCHELASTIC_RUN_ID", "PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid", "PMI_JOBID"):
        identity = environ.get(name, "")
        if identity and identity.lower() != "none" and (name != "PMI_JOBID" or size > 1):
            return f"{within}{name}:{identity}"
    if size == 1:
        return f"{within}process:{process()}"
    return within + _local_launcher(environ, size)


def _claimed(environ: Mapping[str, str], size: int, claim: Claim) -> str:
    """Name a launch on one node by its command and a number; empty if that can't be.

    An id that a launcher makes is of no use here, since no requeue has it again: hydra's, or that
    of ``torchrun --standalone``, a UUID (torch 2.13).
    """
    from .identity import digest

    owner, folder = process(), os.getcwd()  # noqa: PTH109
    if size > 1 or environ.get("TORCHELASTIC_RUN_ID"):
        local = environ.get("MPI_LOCALNRANKS") or environ.get("LOCAL_WORLD_SIZE") or "0"
        launcher = _launcher_process()
        if local != str(size) or launcher is None:
            return ""
        owner, folder = launcher, ""  # ranks may each have a folder of their own
    elif any(environ.get(name) for name in ("PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid")):
        return ""
    command = digest(_command_line(owner.pid), folder)
    nth = claim(command, _count(environ, "SLURM_RESTART_COUNT"), str(owner))
    return "" if nth is None else f"command:{command}#{nth}"


def _command_line(pid: int) -> bytes:
    """Return a process's arguments; of hydra's proxy those of its mpiexec, which name no port."""
    command = _read(f"/proc/{pid}/cmdline")
    if PROXY in command:
        return _read(f"/proc/{_stat(pid)[1]}/cmdline")
    return command


def _local_launcher(environ: Mapping[str, str], size: int) -> str:
    """Name a launch by the process that started its ranks, when all of them are on this host."""
    here = int(environ.get("MPI_LOCALNRANKS") or environ.get("LOCAL_WORLD_SIZE") or 0)
    launcher = _launcher_process()
    if launcher is None and environ.get("TORCHELASTIC_RUN_ID"):
        launcher = process(os.getppid())  # torchrun under another name, such as accelerate
    if here != size or launcher is None:
        raise SettingsError(
            f"{size} ranks, but their launcher gives them nothing in common to name the run by",
            "Set SPROV_RUN to the same text on all ranks, another for each launch",
        )
    return f"launcher:{launcher}"


def _launcher_process() -> Process | None:
    """Return the nearest ancestor that is hydra's proxy or torchrun, else None."""
    pid = os.getpid()
    while pid > 1:
        try:
            pid = int(_stat(pid)[1])
            command = _read(f"/proc/{pid}/cmdline")
        except (OSError, ProcessLookupError):
            return None
        if any(name in command for name in (PROXY, b"torchrun", b"torch.distributed")):
            return process(pid)
    return None


def host() -> str:
    return os.environ.get("SLURMD_NODENAME") or os.uname().nodename


def console_script() -> str:
    """Return the absolute path of the ``sprov`` command of this installation."""
    from pathlib import Path

    mine = Path(sys.argv[0])
    if mine.name == "sprov" and mine.exists():
        return str(mine.absolute())
    return str(Path(sys.executable).with_name("sprov"))
