"""Whether jobs are over, so that what their ranks left on shared storage may be taken."""

from __future__ import annotations

import functools
from collections import defaultdict
from typing import Protocol

from pllib.records import FINAL_STATES

from .accounting import cluster_name
from .commands import SlurmError, call

ASK_S = 10.0
_FORMAT = "%i %A %F %T"
"""How the job is named (``4242``, ``4242_7``, ``4242+1``), its number, its array's, its state."""


class IsOver(Protocol):
    def __call__(self, job: str, cluster: str = "") -> bool: ...


def over_jobs() -> IsOver:
    """Return a function that tells of a job id whether that job is over.

    The controller is asked when the first is asked about, and once for all: a call for each job
    is a load on it (`slurm.asking`).  A job that it has forgotten is over; where it can't be asked
    none is, nor is one of another cluster: its number is another job's here.
    """
    listed, here = functools.cache(_listed), functools.cache(_here)

    def is_over(job: str, cluster: str = "") -> bool:
        if cluster and cluster.partition("~")[0] != here():
            return False
        states = listed()
        return states is not None and all(state in FINAL_STATES for state in states.get(job, ()))

    return is_over


def _here() -> str:
    """Return this cluster's name; empty where it can't be asked."""
    try:
        return cluster_name()
    except SlurmError:
        return ""


def _listed() -> dict[str, list[str]] | None:
    """Return the states of all jobs that the controller knows, by every name of theirs."""
    try:
        text = call("squeue", "-h", "-r", "-t", "all", "-o", _FORMAT, timeout_s=ASK_S)
    except SlurmError:
        return None
    states: dict[str, list[str]] = defaultdict(list)
    for line in text.splitlines():
        *names, state = line.split()
        for name in {*names, *(name.partition("+")[0] for name in names)}:
            states[name].append(state)
    return dict(states)
