"""`sprov verify`: records captured = journalled = stored.

Captured is what each session's last record says that it wrote; journalled is what the journals
hold, frame checksums and all; stored is proved by making every triple of every journalled record
again and looking it up.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import click

from manager.mapping import map_batch
from manager.store.snapshots import missing, open_snapshot
from pllib.log import Frame, LogReader
from pllib.project import Project, find
from pllib.records import NO_RANK, Closed, Context, Signature
from query.engine import find_engine
from tracker.journal import segments
from tracker.linker import context_of, link

from .indexing import journals
from .ingest import waiting

FRAMES_A_BATCH = 8


@dataclass
class Tally:
    """One captured log, as the journals have it."""

    run: str = ""
    rank: int = 0
    frames: dict[int, int] = field(default_factory=dict)
    """Frame number to records."""
    captured: int | None = None
    """None for a session that did not end in order."""
    lost: int = 0

    @property
    def journalled(self) -> int:
        return sum(self.frames.values())


@click.command()
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
@click.option(
    "--shapes",
    "run",
    is_flag=False,
    flag_value="@last",
    metavar="[RUN]",
    help="Check instead that a run's graph (of the last run by default) is valid PROV-ML.",
)
@click.option("--timeout", default=600.0, show_default=True, help="Seconds, of each query.")
def verify(form: str, run: str | None, timeout: float) -> None:
    """Prove that logs and store agree; exit status 1 if they do not.

    With --shapes, that what is stored of a run has all that it needs and contradicts neither itself
    nor PROV: by SHACL, and by constraints of W3C PROV-CONSTRAINTS.

    \b
        sprov verify
        sprov verify --shapes
        sprov verify --shapes 4242_7
    """
    project = find()
    if run is not None:
        from .validate import validate_run

        validate_run(find_engine(project, timeout_s=timeout), run, form)
        return
    find_engine(project).flush()
    found = check(project)
    click.echo(json.dumps(found, indent=1) if form == "json" else _report(found))
    if not found["agree"]:
        raise SystemExit(1)


def check(project: Project) -> dict[str, Any]:
    """Compare; keys are counts, ``problems`` (lines) and ``agree``."""
    tallies: dict[bytes, Tally] = defaultdict(Tally)
    problems: list[str] = []
    absent = 0
    store = open_snapshot(project.snapshots)
    for identity, folder in journals(project):
        for _, path in segments(folder):
            with LogReader(path) as reader:
                frames = []
                for located in reader.frames():
                    _tally(tallies, located.frame)
                    frames.append((located.ordinal, located.frame))
                    if len(frames) >= FRAMES_A_BATCH:
                        absent += _absent(store, frames, identity)
                        frames = []
                absent += _absent(store, frames, identity)
                problems.extend(str(exc) for exc in reader.corrupt)
    for tally in tallies.values():
        if tally.captured is not None and tally.captured != tally.journalled:
            problems.append(
                f"run {tally.run[:8]} rank {tally.rank}: {tally.captured} records captured, "
                f"{tally.journalled} journalled"
            )
    if absent:
        problems.append(f"{absent} triples of journalled records are not in the store")
    left = waiting(project)
    if left:
        problems.append(f"{len(left)} log(s) wait for `sprov ingest`")
    return _summary(tallies, absent, problems)


def _summary(tallies: dict[bytes, Tally], absent: int, problems: list[str]) -> dict[str, Any]:
    sessions = [tally for tally in tallies.values() if tally.rank != NO_RANK]
    ended = [tally for tally in sessions if tally.captured is not None]
    return {
        "sessions": len(sessions),
        "sessions_not_ended": len(sessions) - len(ended),
        "captured": sum(tally.captured or 0 for tally in ended),
        "journalled": sum(tally.journalled for tally in sessions),
        "lost": sum(tally.lost for tally in tallies.values()),
        "triples_missing": absent,
        "problems": problems,
        "agree": not problems,
    }


def _tally(tallies: dict[bytes, Tally], frame: Frame) -> None:
    tally = tallies[frame.log_id]
    n_records = 0
    for record in frame.records():
        if isinstance(record, Context):
            tally.run, tally.rank = record.run, record.rank
        elif not isinstance(record, Signature):
            n_records += 1
            if isinstance(record, Closed):
                tally.captured = record.n_records
                tally.lost = sum(record.lost.values())
    tally.frames[frame.number] = n_records


def _absent(store: Any, frames: list[tuple[int, Frame]], journal: str) -> int:
    by_run: dict[str, list[tuple[int, Frame]]] = defaultdict(list)
    for ordinal, frame in frames:
        context = context_of(frame)
        if context is not None:
            by_run[context.run].append((ordinal, frame))
    return sum(
        len(missing(store, "".join(map_batch(link(mine, journal, run)))))
        for run, mine in by_run.items()
    )


def _report(found: dict[str, Any]) -> str:
    lines = [f"{name.replace('_', ' '):<20}{found[name]}" for name in found if name != "problems"]
    return "\n".join([*lines, *(f"problem: {line}" for line in found["problems"])])
