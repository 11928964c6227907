"""`sprov verify`: records captured = journalled = stored.

Captured is what each session's last record says that it wrote; journalled is what the journals
hold, frame checksums and all; stored is proved by making every triple of every journalled record
again and looking it up.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from typing import Any

import click

from manager.mapping import map_batch
from manager.store.snapshots import missing, open_snapshot
from pllib import waiting
from pllib.log import Frame, LogReader
from pllib.project import Project, find
from query.engine import find_engine
from tracker.journal import segments
from tracker.linker import context_of, link

from .indexing import journals
from .tallies import Tallies

FRAMES_A_BATCH = 8


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
    tallies = Tallies()
    problems: list[str] = []
    absent = 0
    store = open_snapshot(project.snapshots)
    for identity, folder in journals(project):
        for _, path in segments(folder):
            with LogReader(path) as reader:
                frames = []
                for located in reader.frames():
                    tallies.add(located.frame)
                    frames.append((located.ordinal, located.frame))
                    if len(frames) >= FRAMES_A_BATCH:
                        absent += _absent(store, frames, identity)
                        frames = []
                absent += _absent(store, frames, identity)
                problems.extend(str(exc) for exc in reader.corrupt)
    problems += tallies.problems
    if absent:
        problems.append(f"{absent} triples of journalled records are not in the store")
    left = waiting.logs(project, os.environ)
    if left:
        problems.append(f"{len(left)} log(s) wait for `sprov ingest`")
    return {
        **tallies.counts,
        "triples_missing": absent,
        "problems": problems,
        "agree": not problems,
    }


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
