"""Which run, rank and host this process is, from its environment alone.

All ranks of one launch must come to the same answer without talking to each other, and two
launches must never come to the same one.  The launcher's variables are read in the order in which
launchers nest: torchrun inside mpirun inside srun.

Source: torch 2.x docs "torchrun", environment variables; MPICH 5.0.2 hydra (PMI_RANK, PMI_SIZE,
MPI_LOCALNRANKS; it sets no id of its own); Open MPI 5 (OMPI_COMM_WORLD_*, PMIX_NAMESPACE); srun(1).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

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
}


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
    """Tell whether that very process still runs; a zombie does not."""
    try:
        fields = _stat(pid)
    except ProcessLookupError:
        return False
    return fields[0] not in "ZX" and _ticks(fields) == started


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


def find(environ: Mapping[str, str] | None = None) -> Launch:
    """Read rank, size and launch from the environment; from mpi4py only if it is imported.

    Raises:
        SettingsError: A launch over several nodes gives its ranks nothing in common.
    """
    environ = os.environ if environ is None else environ
    rank, size = _rank(environ)
    return Launch(
        scope=_scope(environ),
        launch=_launch(environ, size),
        restart=_restart(environ),
        rank=rank,
        size=size,
        facts={name: environ[key] for name, key in JOB_FACTS.items() if environ.get(key)},
    )


def _restart(environ: Mapping[str, str]) -> int:
    """Count the restarts of the job and, within each, those that torchrun makes by itself."""
    names = "SLURM_RESTART_COUNT", "TORCHELASTIC_RESTART_COUNT", "TORCHELASTIC_MAX_RESTARTS"
    found = (environ.get(name, "") for name in names)
    of_job, of_workers, most = (int(text) if text.isdigit() else 0 for text in found)
    return of_job * (most + 1) + of_workers


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
    mpi = sys.modules.get("mpi4py.MPI")
    if mpi is None or not mpi.Is_initialized() or mpi.Is_finalized():
        return 0, 1
    return mpi.COMM_WORLD.Get_rank(), mpi.COMM_WORLD.Get_size()


def _scope(environ: Mapping[str, str]) -> str:
    job = environ.get("SLURM_JOB_ID")
    if not job:
        return environ.get("SPROV_SITE", "")
    cluster = environ.get("SLURM_CLUSTER_NAME", "")
    array, task = environ.get("SLURM_ARRAY_JOB_ID"), environ.get("SLURM_ARRAY_TASK_ID")
    return f"{cluster}/{array}_{task}" if array and task else f"{cluster}/{job}"


def _launch(environ: Mapping[str, str], size: int) -> str:
    if chosen := environ.get("SPROV_RUN"):
        return f"named:{chosen}"
    step, tasks = environ.get("SLURM_STEP_ID"), environ.get("SLURM_STEP_NUM_TASKS", "1")
    if step and int(tasks) > 1:
        return f"step:{step}"
    within = f"step:{step}/" if step else ""
    for name in ("TORCHELASTIC_RUN_ID", "PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid", "PMI_JOBID"):
        identity = environ.get(name, "")
        if identity and identity.lower() != "none" and (name != "PMI_JOBID" or size > 1):
            return f"{within}{name}:{identity}"
    if size == 1:
        return f"{within}process:{process()}"
    return within + _local_launcher(environ, size)


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
        if any(name in command for name in (b"hydra_pmi_proxy", b"torchrun", b"torch.distributed")):
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
