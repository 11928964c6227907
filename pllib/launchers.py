"""Who started this process as a rank, and which: the launchers in the order of asking.

`LAUNCHERS` is the one table of that; docs/explanation/identity.md has it as it is here, which a
test checks.  A launcher is asked by its variables, a library only where the program has imported
it.  The first that answers counts.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Ranks(NamedTuple):
    """What a launcher tells a process of itself."""

    rank: int
    size: int
    local: int = 0
    """How many of the ranks are on this host; 0 where that is not told."""


Asked = Callable[[Mapping[str, str]], Ranks | None]


class Launcher(NamedTuple):
    """A row of the table."""

    name: str
    told_by: str
    """What tells rank and size: variables or a call."""
    in_common: str
    """What tells its launches apart."""
    reason: str
    """Why it stands where it does."""
    ask: Asked
    marks: tuple[str, ...] = ()
    """Variables that each of its ranks gets.  What the rank starts inherits them; the launcher
    itself has none."""


def number(environ: Mapping[str, str], name: str) -> int:
    """Return a variable's number; 0 where it is missing or odd."""
    return _number(environ, name) or 0


def _number(environ: Mapping[str, str], name: str) -> int | None:
    text = environ.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _ranks(environ: Mapping[str, str], rank: str, size: str, *local: str) -> Ranks | None:
    """Read rank and size, and how many ranks are here from the first variable that tells."""
    mine, all_ranks = _number(environ, rank), _number(environ, size)
    if mine is None or not all_ranks or mine >= all_ranks:
        return None
    return Ranks(mine, all_ranks, next(filter(None, (_number(environ, n) for n in local)), 0))


def _in_open(environ: Mapping[str, str]) -> Ranks | None:
    return None  # an argument, which `find_ranks` has


def process_group() -> Any:
    """Return `torch.distributed` if the program has initialised it, else None."""
    module = sys.modules.get("torch.distributed")
    try:
        begun = module is not None and module.is_available() and module.is_initialized()
    except (AttributeError, RuntimeError, ValueError):  # it is being imported, or torn down
        return None
    return module if begun else None


def _of_torch(environ: Mapping[str, str]) -> Ranks | None:
    return group_ranks()


def group_ranks() -> Ranks | None:
    """Return this process's place in torch's process group.

    A group of one tells nothing: programs make one to run the same code alone.
    """
    if (group := process_group()) is None:
        return None
    try:
        found = Ranks(int(group.get_rank()), int(group.get_world_size()))
    except (RuntimeError, ValueError):  # destroyed by another thread since
        return None
    return found if found.size > 1 and found.rank >= 0 else None


def _of_torchrun(environ: Mapping[str, str]) -> Ranks | None:
    if not environ.get("TORCHELASTIC_RUN_ID"):
        return None
    return _ranks(environ, "RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")


def _of_deepspeed(environ: Mapping[str, str]) -> Ranks | None:
    if "CROSS_SIZE" not in environ or "LOCAL_SIZE" not in environ:
        return None
    return _ranks(environ, "RANK", "WORLD_SIZE", "LOCAL_SIZE")


def _of_lightning(environ: Mapping[str, str]) -> Ranks | None:
    """On further nodes the rank is not told: nobody says how many ranks each node has."""
    if "RANK" in environ or _number(environ, "NODE_RANK") != 0:
        return None
    return _ranks(environ, "LOCAL_RANK", "WORLD_SIZE")


def _of_hydra(environ: Mapping[str, str]) -> Ranks | None:
    return _ranks(environ, "PMI_RANK", "PMI_SIZE", "MPI_LOCALNRANKS")


def _of_open_mpi(environ: Mapping[str, str]) -> Ranks | None:
    local = "OMPI_COMM_WORLD_LOCAL_SIZE"
    return _ranks(environ, "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", local)


def _of_srun(environ: Mapping[str, str]) -> Ranks | None:
    if not environ.get("SLURM_STEP_ID"):
        return None
    return _ranks(environ, "SLURM_PROCID", "SLURM_STEP_NUM_TASKS")


def _of_mpi4py(environ: Mapping[str, str]) -> Ranks | None:
    size = mpi_size()
    return Ranks(sys.modules["mpi4py.MPI"].COMM_WORLD.Get_rank(), size) if size else None


def mpi_size() -> int:
    """Return how many ranks the program's mpi4py knows of; 0 if it has not begun."""
    mpi = sys.modules.get("mpi4py.MPI")
    if mpi is None or not hasattr(mpi, "Is_finalized"):  # it is being imported
        return 0
    return int(mpi.COMM_WORLD.Get_size()) if mpi.Is_initialized() and not mpi.Is_finalized() else 0


OPEN, TORCH, TORCHRUN = "`open(rank=, size=)`", "torch.distributed, initialised", "torchrun"
DEEPSPEED, LIGHTNING, HYDRA, OPEN_MPI = "DeepSpeed", "Lightning", "mpirun of MPICH", "Open MPI"
SRUN, MPI4PY, SINGLE = "srun", "mpi4py, initialised", "none"

LAUNCHERS = (
    Launcher(
        OPEN, "the two arguments", "the job step, else the process that started this one",
        "The program says it, and nobody knows better.", _in_open,
    ),
    Launcher(
        TORCH, "`get_rank()`, `get_world_size()`; a group of one tells nothing",
        "what its launcher has, if one told the same rank; else the address of the group's store",
        "A process group that exists is a fact, variables are a promise: "
        "`torch.multiprocessing.spawn` sets none.", _of_torch,
    ),
    Launcher(
        TORCHRUN, "`RANK`, `WORLD_SIZE`, with `TORCHELASTIC_RUN_ID`",
        "`--rdzv-id`; without one the torchrun process",
        "It runs inside srun and mpirun, whose variables its ranks inherit.",
        _of_torchrun, ("RANK", "TORCHELASTIC_RUN_ID"),
    ),
    Launcher(
        DEEPSPEED, "`RANK`, `WORLD_SIZE`, with `CROSS_SIZE` and `LOCAL_SIZE`",
        "the launcher's process",
        "As torchrun; `RANK` alone may be anybody's.",
        _of_deepspeed, ("RANK", "LOCAL_RANK", "CROSS_RANK"),
    ),
    Launcher(
        LIGHTNING, "`LOCAL_RANK`, `WORLD_SIZE`, `NODE_RANK` = 0, without `RANK`",
        "the process of rank 0, which runs the script first and starts it again for the others",
        "Rank 0 has none of them before `fit`; torchrun and DeepSpeed set `RANK` too.",
        _of_lightning, ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE"),
    ),
    Launcher(
        HYDRA, "`PMI_RANK`, `PMI_SIZE`; `srun --mpi=pmi2` sets them too",
        "the job step of several tasks, else hydra's proxy on this node",
        "`mpirun` in a job step starts ranks that inherit the step's variables.",
        _of_hydra, ("PMI_RANK", "PMI_SIZE"),
    ),
    Launcher(
        OPEN_MPI, "`OMPI_COMM_WORLD_RANK`, `OMPI_COMM_WORLD_SIZE`",
        "the job step of several tasks, else its process if all ranks are on one node, else "
        "`PMIX_NAMESPACE`",
        "As MPICH.", _of_open_mpi, ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ),
    Launcher(
        SRUN, "`SLURM_PROCID`, `SLURM_STEP_NUM_TASKS`, with `SLURM_STEP_ID`",
        "the job step", "The outermost: a batch script has `SLURM_PROCID`, but no step.",
        _of_srun, ("SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_PROCID"),
    ),
    Launcher(
        MPI4PY, "`COMM_WORLD`", "the job step, else nothing",
        "For an MPI whose launcher sets variables that are not known here.", _of_mpi4py,
    ),
    Launcher(
        SINGLE, "rank 0 of 1", "in a job the command and how often it ran before, else the process",
        "Nothing tells a rank: also a worker of a pool, whatever its program is a rank of.",
        lambda _: Ranks(0, 1),
    ),
)  # fmt: skip
"""In the order of asking.

Source: torch 2.13 `torch.distributed.elastic`; deepspeed/launcher/launch.py at 048b0d5;
Lightning's `_SubprocessScriptLauncher` at 0977447; MPICH 5.0.2 hydra; Open MPI 5; srun(1) 22.05.
"""


def find_ranks(
    environ: Mapping[str, str], given: Ranks | None = None, *, variables: bool = False
) -> tuple[Launcher, Ranks]:
    """Return the first launcher that tells a rank, and what it tells.

    Args:
        given: What `open` was given.
        variables: Ask the variables alone, not what the program has initialised.
    """
    if given is not None:
        return LAUNCHERS[0], given
    for launcher in LAUNCHERS:
        if variables and launcher.name in (TORCH, MPI4PY):
            continue
        if (found := launcher.ask(environ)) is not None:
            return launcher, found
    raise AssertionError("the last row always answers")
