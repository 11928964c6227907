"""Ask Slurm how jobs are, with as few calls as will do, however many jobs.

One of `squeue`, for what the controller still knows: all jobs that are not over, and those that
ended within MinJobAge (300 s by default).  One of `sacct`, where there is accounting, for those
that are over.  A record says in its `source` who said it.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import Literal

import msgspec

from pllib.records import FINAL_STATES, Accounted

from . import sacct, scontrol, squeue
from .commands import (
    AccountingOffError,
    NotInstalledError,
    SlurmError,
    UnreachableError,
    UnsupportedError,
    call,
)

JOBS_A_CALL = 2000
"""Job ids of one command line, which must stay far under 128 KiB an argument."""


Database = Literal["on", "off", "away"]


class Answer(msgspec.Struct, frozen=True):
    """What Slurm said of jobs."""

    records: list[Accounted]
    missing: list[str]
    """What could not be known, and why, for people: a line each."""
    database: Database
    """Whether there is accounting, or there is and its database does not answer."""


def ask(jobs: Sequence[str], cluster: str = "") -> Answer:
    """Return what Slurm knows of jobs, named as `squeue` prints them: 4242, 4242_7.

    Args:
        cluster: Its name, for versions that do not print it.

    Raises:
        SlurmError: Nobody could be asked.
    """
    if not jobs:
        return Answer([], [], "on")
    queued = in_queue(jobs, cluster)
    over = jobs_to_look_up(jobs, queued)
    try:
        recorded = in_database(over) if over else []
    except (AccountingOffError, UnreachableError, NotInstalledError) as exc:
        return Answer(queued, [str(exc)], "away" if isinstance(exc, UnreachableError) else "off")
    return Answer(queued + _renumbered(recorded, queued), [], "on")


def in_queue(jobs: Sequence[str], cluster: str = "") -> list[Accounted]:
    """Return what the controller knows of jobs.

    Raises:
        SlurmError: It was not asked, or does not answer.
    """
    at_ns = time.time_ns()
    leaders = sorted({job.partition("+")[0] for job in jobs})
    only = [f"--jobs={','.join(leaders)}"] if len(leaders) <= JOBS_A_CALL else []
    try:
        output = call("squeue", "--json", "--all", "--states=all", *only)
        found = squeue.parse(output, at_ns, cluster)
    except UnsupportedError:
        shown = call("scontrol", "show", "job", "-o", "--all")
        found = scontrol.parse(shown, at_ns, cluster or cluster_name())
    except SlurmError as exc:
        if not _is_unknown(exc):
            raise
        return []
    return [record for record in found if is_of(record.job, jobs)]


def in_database(jobs: Sequence[str]) -> list[Accounted]:
    """Return what the accounting database holds of jobs and their steps.

    Raises:
        SlurmError: There is none, or it does not answer.
    """
    names = sacct.fields(call("sacct", "--helpformat").split())
    found: list[Accounted] = []
    for start in range(0, len(jobs), JOBS_A_CALL):
        at_ns = time.time_ns()
        asked = [job.partition("+")[0] for job in jobs[start : start + JOBS_A_CALL]]
        output = call("sacct", *sacct.arguments(dict.fromkeys(asked), names))
        found += sacct.parse(output, names, at_ns)
    return [record for record in found if is_of(record.job, jobs)]


def cluster_name() -> str:
    """Return the name of this cluster, as SLURM_CLUSTER_NAME has it in jobs.

    Raises:
        SlurmError: The controller does not answer.
    """
    for line in call("scontrol", "show", "config").splitlines():
        name, _, value = line.partition("=")
        if name.strip() == "ClusterName":
            return value.strip()
    return ""


def names(job: str) -> set[str]:
    """Return a job's name, and that of the array or het job that it is of."""
    return {job, job.partition("_")[0], job.partition("+")[0]}


def is_of(job: str, jobs: Collection[str]) -> bool:
    """Tell whether a job is one of those, or of an array or het job that is."""
    return not names(job).isdisjoint(jobs)


def jobs_to_look_up(jobs: Sequence[str], queued: list[Accounted]) -> list[str]:
    """Return the jobs that are over, or that ran before, or that the controller has forgotten."""
    going_on = {r.job for r in queued if r.state not in FINAL_STATES and not r.restart}
    ended = [record.job for record in queued if record.job not in going_on]
    known = {name for record in queued for name in names(record.job)}
    return sorted({*ended, *(job for job in jobs if job not in known)})


def _renumbered(recorded: list[Accounted], queued: list[Accounted]) -> list[Accounted]:
    """Count restarts back from what the controller says: the database may have lost the first."""
    current = {record.job: record.restart for record in queued}
    latest: dict[str, int] = {}
    for record in recorded:
        latest[record.job] = max(latest.get(record.job, 0), record.restart)
    return [
        msgspec.structs.replace(
            record,
            restart=max(record.restart + current.get(record.job, latest[record.job])
                        - latest[record.job], 0),
        )
        for record in recorded
    ]  # fmt: skip


def _is_unknown(exc: SlurmError) -> bool:
    """Tell whether squeue was asked for one job alone, and has forgotten it."""
    return "Invalid job id" in str(exc)
