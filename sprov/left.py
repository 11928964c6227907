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
    """Say which spools wait for nothing but word that their processes are gone, and why."""
    _, logs = waiting.judged(project, os.environ, is_over or over_jobs())
    return [
        f"{log.path}: {log.doubt}; `sprov ingest --gone` takes it if it has ended" for log in logs
    ]


def in_words(n_logs: int) -> str:
    """Say how many wait; nothing if none does."""
    return f"{n_logs} log(s) wait for `sprov ingest`" if n_logs else ""
