"""A job's journal into the project's store and series, once its tracker has ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pllib import waiting
from pllib.errors import Error
from pllib.project import Project
from tracker.journal import Journal, Unreadable, read_journal

from .indexing import index, open_writer
from .ingest import append
from .tallies import tally


@dataclass
class Published:
    counts: dict[str, int]
    """Of sessions and their records, as `sprov.tallies` counts them."""
    trouble: list[str] = field(default_factory=list)
    is_stored: bool = False
    is_lossy: bool = False

    @property
    def summary(self) -> str:
        found = self.counts
        where = "in the project's store" if self.is_stored else "journalled"
        return (
            f"{found['sessions']} session(s), {found['journalled']} record(s) {where}, "
            f"{found['lost']} lost"
        )


def publish(project: Project, folder: Path, wait_s: float | None) -> Published:
    """Take in what waits, store what the job's journal holds, and count it.

    Args:
        folder: Of the job's journal, which no tracker writes any more.
        wait_s: How long another writer of the store is waited for; None to leave it alone.
    """
    trouble = _take_packed(project, folder)
    skipped: list[Unreadable] = []
    tallies = tally(frame for _, frame in read_journal(folder, on_unreadable=skipped.append))
    found = Published(tallies.counts, trouble + list(map(str, skipped)))
    found.trouble += tallies.problems
    found.is_lossy = bool(tallies.problems or tallies.counts["lost"] or skipped)
    if wait_s is not None:
        try:
            with open_writer(project.store, project.series, project.snapshots, wait_s) as writer:
                index(project, writer, only=folder, on_unreadable=lambda segment: None)
            found.is_stored = True
        except (Error, OSError) as exc:
            found.trouble.append(f"{exc}; the journal has all: `sprov ingest` stores it")
    return found


def _take_packed(project: Project, folder: Path) -> list[str]:
    """Journal what ranks left in the project since the tracker has ended; return troubles."""
    logs = waiting.packed(project)
    if not logs:
        return []
    try:
        journal = Journal(folder)
    except Error as exc:
        return [f"{exc}; {waiting.n_logs(logs)} log(s) wait for `sprov ingest`"]
    try:
        for log in logs:
            if not log.trouble:
                append(journal, log.frames())
        waiting.dispose(project, logs)
    except (Error, OSError) as exc:
        return [f"{exc}; {waiting.n_logs(logs)} log(s) wait for `sprov ingest`"]
    finally:
        journal.close()
    return [log.trouble for log in logs if log.trouble]
