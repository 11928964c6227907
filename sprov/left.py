"""What waits to be taken in: one rule for whoever takes it and whoever tells of it."""

from __future__ import annotations

import os

from pllib import waiting
from pllib.project import Project
from pllib.waiting import Log
from slurm.over import IsOver, over_jobs


def waiting_logs(project: Project, is_over: IsOver | None = None) -> list[Log]:
    """Return the logs that `sprov ingest` without arguments would take here and now.

    Args:
        is_over: Tells whether a job is over; by default Slurm is asked, where a log needs it.
    """
    return waiting.logs(project, os.environ, is_over or over_jobs())


def doubtful_logs(project: Project, is_over: IsOver | None = None) -> list[str]:
    """Say which spools wait for word that their processes are gone, or whose they are, and why."""
    is_over = is_over or over_jobs()
    _, logs = waiting.judged(project, os.environ, is_over)
    lines = [
        f"{log.path}: {log.doubt}; `sprov ingest --gone` takes it if it has ended" for log in logs
    ]
    return lines + originals_logs(project, is_over)


def originals_logs(project: Project, is_over: IsOver | None = None) -> list[str]:
    """Say which spools are left to the project that this one was copied from."""
    return [
        f"{log.path}: of the project that this one was copied from, or moved from another disk; "
        f"`sprov ingest {log.path}` takes it all the same"
        for log in waiting.of_original(project, os.environ, is_over or over_jobs())
    ]


def in_words(n_logs: int) -> str:
    """Say how many wait; nothing if none does."""
    return f"{n_logs} log(s) wait for `sprov ingest`" if n_logs else ""
