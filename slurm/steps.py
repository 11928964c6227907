"""Job steps of our own: beside whatever runs on a node, and taking nothing from it.

Source: srun(1) of Slurm 22.05.8.  A step without ``--overlap`` waits for the CPUs of the ranks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from . import nodes
from .commands import find

_KEPT = re.compile(
    r"SLURM_(CONF|JOB_ID|JOBID|JOB_NODELIST|CLUSTERS?|CLUSTER_NAME|RESTART_COUNT|HET_SIZE"
    r"|ARRAY_(JOB|TASK)_ID|.*_HET_GROUP_\d+)"
)


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment for srun without the options that a batch script's sets.

    What the job asked for (SLURM_NTASKS, SLURM_MEM_PER_CPU, SLURM_GPUS ...) is not for our steps.
    """
    return {
        name: text
        for name, text in environ.items()
        if not name.startswith(("SLURM_", "SRUN_")) or _KEPT.fullmatch(name)
    }


def command(where: Sequence[str], het_group: int | None, program: Sequence[str]) -> list[str]:
    """Return the srun line that runs a program once on each of some nodes.

    Raises:
        NotInstalledError: There is no srun.
    """
    n = str(len(where))
    group = [] if het_group is None else [f"--het-group={het_group}"]
    return [
        find("srun"), "--overlap", *group, "-N", n, "-n", n, "--ntasks-per-node=1",
        "-w", nodes.fold(where), "--mpi=none", "--cpu-bind=none", "--mem=0", "--no-kill",
        "--kill-on-bad-exit=0", "--export=ALL", *program,
    ]  # fmt: skip


def reason(stderr: str) -> str:
    """Return the line of what srun printed that says what was wrong; empty if none does."""
    lines = [line.removeprefix("srun: error: ") for line in stderr.splitlines() if "error" in line]
    return lines[0] if lines else ""
