"""`sprov watch`: a run while it runs."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator
from statistics import fmean
from typing import TYPE_CHECKING, Any

import click

from manager.store.states import OPEN
from pllib.delivery import ask_status
from pllib.errors import Error, UnavailableError
from pllib.moments import moment
from pllib.project import find

from .answers import ask
from .engine import Engine
from .engines import engine_for, everywhere, job_option
from .named import find_named
from .runs import choose, ranks_in_words
from .tables import make_table, short
from .tree import one_line

if TYPE_CHECKING:
    from rich.console import RenderableType

Row = dict[str, Any]
MAX_ROWS = 15


@click.command()
@click.argument("run", required=False)
@click.option("--every", default=2.0, show_default=True, help="Seconds between looks.")
@click.option("--once", is_flag=True, help="Print how it is now, and end.")
@click.option("--silent", default=60.0, show_default=True, help="Seconds of silence to tell of.")
@job_option
def watch(run: str | None, every: float, once: bool, silent: float, job: str | None) -> None:
    """Watch a run until it ends; without RUN the latest that is running.

    RUN is @last, an IRI, a name, a Slurm job, or four characters or more of its digest.

    \b
        sprov watch
        sprov watch 4242 --every 5
        sprov watch --once
    """
    from rich.live import Live

    from .console import InertConsole

    if run is None:
        run = _latest(job)
    engine = engine_for(run, job=job)
    iri = str(choose(engine.runs(), run)["run"])
    console = InertConsole()
    if once:
        console.print(_frame(engine, _row(engine, iri), silent))
        return
    with Live(console=console, auto_refresh=False, vertical_overflow="visible") as view:
        for row in _looks(engine, iri, every):
            view.update(_frame(engine, row, silent), refresh=True)


def _latest(job: str | None) -> str:
    """Return the latest run that is running, else the latest, by IRI.

    Raises:
        QueryError: There is none.
    """
    if job is not None:
        rows = engine_for(job=job).runs()
    else:
        rows = [row for row, _ in everywhere(find()).rows]
    running = [row for row in rows if row["state"] == "running"]
    return str(choose(running or rows, "@last")["run"])


def _row(engine: Engine, run: str) -> Row:
    return choose(engine.runs(), run)


def _looks(engine: Engine, run: str, every_s: float) -> Iterator[Row]:
    """Yield the run's row again and again, the last time when it has ended."""
    while True:
        try:
            row = _row(engine, run)
        except UnavailableError:
            click.echo("the daemons have ended: `sprov show` tells of the run once it is published")
            return
        yield row
        if row["state"] not in OPEN or not engine.live:
            return
        time.sleep(every_s)


def _frame(engine: Engine, row: Row, silent_s: float) -> RenderableType:
    from rich.console import Group

    run = row["run"]
    parts: list[RenderableType] = [_head(row), _counts(engine, run)]
    if row["state"] in OPEN:
        now = [each for each in _ask(engine, "running") if each["run"] == run]
        columns = ["stage", "index", "planned", "open_ranks", "nodes"]
        parts += _table("running", now, columns)
    points = _last_points(_ask(engine, "last-metrics", run=run))
    parts += _table("last points", points, ["name", "step", "mean", "ranks"])
    if row["state"] in OPEN:
        quiet = _ask(engine, "silent-ranks", run=run, seconds=str(silent_s))
        columns = ["rank", "host", "silent_seconds", "slurm"]
        parts += _table("silent ranks", quiet, columns)
    return Group(*parts)


def _ask(engine: Engine, name: str, **given: str) -> list[Row]:
    return ask(engine, find_named(name), given)[1]


def _head(row: Row) -> str:
    words = [short(row["run"]), row["name"], row["study"], row["job"] and f"job {row['job']}"]
    told = " · ".join(one_line(str(word)) for word in words if word)
    ended = row["ended"] and moment(row["ended"])
    now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
    took = (ended or now) - moment(row["started"])
    ranks = "1 rank" if row["ranks"] == 1 else f"{ranks_in_words(row)} ranks"
    return f"{told}\n{row['state'].replace('_', ' ')}, {ranks}, {str(took).partition('.')[0]}"


def _counts(engine: Engine, run: str) -> str:
    """Return what failed and was lost, and how far the daemons are."""
    (of,) = _ask(engine, "outcome", run=run)
    names = ("ended_ranks", "failed_ranks", "failures", "lost_records")
    of = {**of, "lost_records": of["lost"]}
    told = ", ".join(_counted(int(of[name]), name) for name in names)
    if engine.endpoint is None or not engine.endpoint.tracker:
        return told
    try:
        status = ask_status(engine.endpoint)
    except Error as exc:
        return f"{told}\n{exc}"
    behind = f"{status['frames']} frames journalled, {status['queued_records']} records to go"
    if status.get("silent"):
        behind += f", {status['silent']} ranks silent: no connection, and no end is known"
    trouble = f"\ntrouble: {status['trouble']}" if status["trouble"] else ""
    return f"{told}\n{behind}{trouble}"


def _counted(number: int, name: str) -> str:
    words = name.replace("_", " ")
    return f"{number} {words.removesuffix('s') if number == 1 else words}"


def _table(title: str, rows: list[Row], columns: list[str]) -> list[RenderableType]:
    if not rows:
        return []
    kept = [name for name in columns if any(row[name] is not None for row in rows)]
    more = f" ({len(rows) - MAX_ROWS} more)" if len(rows) > MAX_ROWS else ""
    return [make_table(rows[:MAX_ROWS], kept, f"{title}{more}")]


def _last_points(rows: list[Row]) -> list[Row]:
    """Return the mean over ranks of each series at its last step."""
    names = dict.fromkeys(row["name"] for row in rows)
    found = []
    for name in names:
        mine = [row for row in rows if row["name"] == name]
        steps = [row["step"] for row in mine if row["step"] is not None]
        step = max(steps, default=None)
        values = [row["value"] for row in mine if row["step"] == step]
        found.append({"name": name, "step": step, "mean": fmean(values), "ranks": len(values)})
    return found
