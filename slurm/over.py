"""Whether jobs are over, so that what their ranks left on shared storage may be taken."""

from __future__ import annotations

import functools
from collections.abc import Callable

from pllib.records import FINAL_STATES

from .commands import NotInstalledError, SlurmError, UnreachableError, call

ASK_S = 10.0


def over_jobs() -> Callable[[str], bool]:
    """Return a function that tells of a job id whether that job is over, asking once for each."""
    return functools.cache(_is_over)


def _is_over(job: str) -> bool:
    """A job that the controller has forgotten is over; one that it can't be asked about is not."""
    try:
        said = call("squeue", "-h", "-t", "all", "-j", job, "-o", "%T", timeout_s=ASK_S)
    except (NotInstalledError, UnreachableError):
        return False
    except SlurmError as exc:
        return "invalid job id" in str(exc).lower()
    return all(state in FINAL_STATES for state in said.split())
