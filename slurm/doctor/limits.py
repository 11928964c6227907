"""Limits of processes: open files, the size of files."""

from __future__ import annotations

import resource
from collections.abc import Iterator

from .report import FAIL, OK, WARN, Finding

RANKS = 1024
"""That a job is taken to have, unless told."""
SPARE_FILES = 256
"""Of a daemon itself: journals, store, workers."""
SPOOL_BYTES = 1 << 30


def check(ranks: int) -> Iterator[Finding]:
    """Judge this process's limits for a tracker of so many ranks."""
    yield open_files(*resource.getrlimit(resource.RLIMIT_NOFILE), ranks)
    soft, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if soft != resource.RLIM_INFINITY and soft < SPOOL_BYTES:
        yield Finding(
            "file size", FAIL, f"files may have {soft >> 20} MiB (ulimit -f)",
            "A rank that reaches it gets SIGXFSZ: `ulimit -f unlimited`, or set "
            "spool_limit_bytes in [capture] below it",
        )  # fmt: skip


def open_files(soft: int, hard: int, ranks: int) -> Finding:
    """Judge limits on open files; a tracker has a connection from each rank."""
    most = resource.RLIM_INFINITY
    needed = ranks + SPARE_FILES
    text = "no limit" if soft == most else f"{soft} (hard limit {'none' if hard == most else hard})"
    if soft == most or soft >= needed:
        return Finding("open files", OK, f"{text}, enough for {ranks} ranks")
    if hard == most or hard >= needed:
        return Finding(
            "open files", WARN, f"{text}, too few for {ranks} ranks",
            f"In the job script, before `sprov slurm start`: ulimit -n {needed}",
        )  # fmt: skip
    return Finding(
        "open files", FAIL, f"{text}, too few for {ranks} ranks",
        "Ask for a higher hard limit (limits.conf, or LimitNOFILE= of slurmd), or use a tracker "
        "for each part of the job",
    )  # fmt: skip
