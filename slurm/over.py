"""Whether jobs are over, so that what their ranks left on shared storage may be taken."""

from __future__ import annotations

import functools
from typing import Protocol

from pllib.records import FINAL_STATES

from .accounting import cluster_name
from .commands import NotInstalledError, SlurmError, UnreachableError, call

ASK_S = 10.0


class IsOver(Protocol):
    def __call__(self, job: str, cluster: str = "") -> bool: ...


def over_jobs() -> IsOver:
    """Return a function that tells of a job id whether that job is over, asking once for each.

    A job of another cluster, by the name that is given, is not: its number is another job's here.
    """
    here = functools.cache(cluster_name)

    @functools.cache
    def is_over(job: str, cluster: str = "") -> bool:
        try:
            if cluster and cluster.partition("~")[0] != here():
                return False
            return _is_over(job)
        except SlurmError:
            return False

    return is_over


def _is_over(job: str) -> bool:
    """A job that the controller has forgotten is over; one that it can't be asked about is not."""
    try:
        said = call("squeue", "-h", "-t", "all", "-j", job, "-o", "%T", timeout_s=ASK_S)
    except (NotInstalledError, UnreachableError):
        return False
    except SlurmError as exc:
        return "invalid job id" in str(exc).lower()
    return all(state in FINAL_STATES for state in said.split())
