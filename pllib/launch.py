"""Which launch, rank and host this process is, from its environment alone.

All ranks of one launch must come to the same answer without talking to each other, and two
launches must never come to the same one.  `pllib.launchers` tells the rank; what its launch has in
common is told here; docs/explanation/identity.md has the whole rule.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from .launchers import Ranks, mpi_size, number

if TYPE_CHECKING:
    from .naming import Claim, Common

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


FIRST_NAMESPACE = 0xEFFFFFFC
"""Of PIDs, that of the kernel itself.  Source: PROC_PID_INIT_INO in include/linux/proc_ns.h."""


class Process(msgspec.Struct, frozen=True):
    """A process that no other is: boot, pid, the namespace that it is a pid in, and start time.

    Source: proc(5); the pid alone comes back within hours on a busy node, and containers that start
    together have the same pids.
    """

    boot_id: str
    pid: int
    started: float
    """Seconds since boot."""
    namespace: int = 0
    """0 for the first of all, and where it can't be read."""

    def __str__(self) -> str:
        inside = f":{self.namespace}" if self.namespace else ""
        return f"{self.boot_id}:{self.pid}:{self.started}{inside}"


class Launch(msgspec.Struct, frozen=True):
    scope: str
    """Cluster and job or array task; else the site."""
    launch: str
    """What the ranks of one launch have in common, and no other launch has."""
    restart: int
    rank: int
    size: int
    facts: dict[str, str] = {}
    launcher: str = ""
    """Its name in `pllib.launchers.LAUNCHERS`."""
    takes_turns: bool = False
    """Ranks may be several processes, one after the other: prepare, then train; or try again."""
    alone: str = ""
    """Why this rank's run has none of the other ranks; empty if it has them."""


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
    place = "self" if pid is None else pid  # /proc may be that of another namespace
    started = _ticks(_stat(place))
    return Process(boot_id(), os.getpid() if pid is None else pid, started, _namespace(place))


def _namespace(place: int | str) -> int:
    try:
        found = os.stat(f"/proc/{place}/ns/pid").st_ino  # noqa: PTH116
    except OSError:
        return 0
    return 0 if found == FIRST_NAMESPACE else found


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


def _stat(pid: int | str) -> list[str]:
    """Return the fields of ``/proc/PID/stat`` from the state on; the name may hold anything."""
    try:
        text = _read(f"/proc/{pid}/stat").decode(errors="replace")
    except OSError:
        raise ProcessLookupError(pid) from None
    return text[text.rindex(")") + 2 :].split()


def _ticks(fields: list[str]) -> float:
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")


def parent_of(pid: int) -> int:
    """Return a process's parent.

    Raises:
        ProcessLookupError: There is no such process.
    """
    return int(_stat(pid)[1])


def find(
    environ: Mapping[str, str] | None = None,
    claim: Claim | None = None,
    given: Ranks | None = None,
) -> Launch:
    """Read rank, size and launch from the environment, and from what the program has initialised.

    Args:
        claim: Tells equal commands of one job apart; without, a requeue of one is another run.
        given: Rank and size, as the program says.
    """
    from .naming import find_common  # which looks at processes as this module has them

    environ = _readable(os.environ if environ is None else environ)
    claim = claim if environ.get("SLURM_JOB_ID") else None
    common = find_common(environ, claim, given)
    return Launch(
        scope=_scope(environ),
        launch=common.text,
        restart=_restart(environ),
        rank=common.ranks.rank,
        size=common.ranks.size,
        facts={**_facts(environ), **_of_launch(common)},
        launcher=common.launcher.name,
        takes_turns=common.takes_turns,
        alone=common.alone,
    )


def _readable(environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment as text: values may be any bytes."""
    return {
        name: text.encode("utf-8", "backslashreplace").decode() for name, text in environ.items()
    }


def _of_launch(common: Common) -> dict[str, str]:
    launcher = {"launcher": common.launcher.name} if common.ranks.size > 1 else {}
    return {**launcher, **({"alone": common.alone} if common.alone else {})}


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
    return number(environ, "SLURM_STEP_NUM_TASKS") > 1 and mpi_size() == 1


def _restart(environ: Mapping[str, str]) -> int:
    """Count the restarts of the job and, within each, those that torchrun makes by itself."""
    most = number(environ, "TORCHELASTIC_MAX_RESTARTS")
    of_workers = number(environ, "TORCHELASTIC_RESTART_COUNT")
    return number(environ, "SLURM_RESTART_COUNT") * (most + 1) + of_workers


def _scope(environ: Mapping[str, str]) -> str:
    job = environ.get("SLURM_JOB_ID")
    if not job:
        return environ.get("SPROV_SITE", "")
    cluster = _cluster(environ)
    array, task = environ.get("SLURM_ARRAY_JOB_ID"), environ.get("SLURM_ARRAY_TASK_ID")
    return f"{cluster}/{array}_{task}" if array and task else f"{cluster}/{job}"


def host() -> str:
    return os.environ.get("SLURMD_NODENAME") or os.uname().nodename


def console_script() -> str:
    """Return the absolute path of the ``sprov`` command of this installation."""
    from pathlib import Path

    mine = Path(sys.argv[0])
    if mine.name == "sprov" and mine.exists():
        return str(mine.absolute())
    return str(Path(sys.executable).with_name("sprov"))
