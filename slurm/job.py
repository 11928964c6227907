"""What Slurm says of the job that this process is in, from its environment.

Source: sbatch(1), srun(1); measured on Slurm 22.05.8: SLURM_JOB_ID of an array task is a raw id,
and that of the last task is the array's.
"""

from __future__ import annotations

from collections.abc import Mapping

from pllib.launch import JOB_FACTS


def job_facts(environ: Mapping[str, str]) -> dict[str, str]:
    """Return job facts by the names that provenance uses; empty outside a job."""
    return {name: environ[key] for name, key in JOB_FACTS.items() if environ.get(key)}
