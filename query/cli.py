"""The commands that ask: query, runs, show, diff, metrics, lineage."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any, Literal, TextIO

import click

from pllib import jsontext, notices
from pllib.errors import QueryError
from pllib.project import find

from .endings import LINEAGES, PICTURE, POINTS, chosen
from .engine import Engine
from .engines import engine_for, everywhere, job_option
from .freshness import as_of, in_iso
from .replies import MEDIA, decode_table

FORMATS = click.Choice(["table", "json", "csv"])
DIRECTIONS: tuple[Literal["up"], Literal["down"]] = ("up", "down")


@click.command()
@click.argument("sparql", required=False)
@click.option(
    "-f",
    "--file",
    "source",
    type=click.File("r", encoding="utf-8"),
    help="Read the query; - is stdin.",
)
@click.option("--run", "runs", multiple=True, help="Bind ?run to this run (repeatable).")
@click.option(
    "--format", "form", type=click.Choice(["table", *MEDIA]), default="table", show_default=True
)
@click.option(
    "--inferred",
    is_flag=True,
    help="Add classes and labels of values, times of runs and attempts, superclasses.",
)
@click.option("--live", is_flag=True, help="Wait for all that the tracker has by now.")
@job_option
@click.option("--timeout", default=30.0, show_default=True, help="Seconds.")
def query(
    sparql: str | None,
    source: Any,
    runs: tuple[str, ...],
    form: str,
    inferred: bool,
    live: bool,
    timeout: float,
    job: str | None,
) -> None:
    """Answer a SPARQL query.

    Prefixes prov, provml, sprov, mls, rdf, rdfs, xsd, dcterms and id need no declaration.

    \b
        sprov query 'SELECT ?r { ?r a provml:LearningExperimentExecution }'
        sprov query -f slow.rq --run @last --format csv
    """
    try:
        text = source.read() if source is not None else sparql
    except UnicodeDecodeError as exc:
        raise QueryError(f"the query is not UTF-8: {exc.reason} at byte {exc.start}") from None
    if text is None:
        raise click.UsageError("Give a query, or -f FILE.")
    one = runs[0] if runs else None
    asked = engine_for(one, timeout_s=timeout, live=live, job=job)
    _print_answer(asked, _bind_runs(asked, text, runs), form, inferred=inferred)


def _bind_runs(asked: Engine, text: str, runs: tuple[str, ...]) -> str:
    if not runs:
        return text
    from .binding import bind_variable
    from .runs import find_run

    return bind_variable(text, "run", [find_run(asked, run)["run"] for run in runs])


def _print_answer(asked: Engine, text: str, form: str, *, inferred: bool) -> None:
    formats = ["json", "turtle"] if form == "table" else [form]
    with asked.stream(text, formats, inferred=inferred) as (media, pieces):
        if form != "table" or media != MEDIA["json"]:
            for piece in pieces:
                sys.stdout.buffer.write(piece)
            return
        found = decode_table(b"".join(pieces), asked.place)
    if found.boolean is not None:
        click.echo("yes" if found.boolean else "no")
        return
    from .tables import print_table

    rows = [{name: cell["value"] for name, cell in row.items()} for row in found.rows]
    print_table(rows, found.head.vars)


@click.command()
@click.option("--format", "form", type=FORMATS, default="table", show_default=True)
@click.option("--live", is_flag=True, help="Wait for all that the tracker has by now.")
@job_option
def runs(form: str, live: bool, job: str | None) -> None:
    """List runs, oldest first: the project's, and those of jobs that run now.

    A rank is silent that its tracker can't reach any more: how it ended is not known.

    \b
        sprov runs
        sprov runs --format json
    """
    from .silence import KEYS, add_silence
    from .tables import print_rows

    columns = [
        "run", "name", "study", "experiment", "job", "ranks", "ranks_seen", "started", "ended",
        "state", *KEYS,
    ]  # fmt: skip
    if job is not None:
        engine = engine_for(live=live, job=job)
        found = add_silence((row, engine) for row in engine.runs())
    else:
        known = everywhere(find(), live=live)
        found = add_silence(known.rows)
        known.warn()
    if form == "table":
        columns = [name for name in columns if any(row[name] is not None for row in found)]
        columns = [name for name in columns if name not in ("ranks_seen", *KEYS)]
        found = [_readable(row) for row in found]
    print_rows(found, columns or ["run"], form)


def _readable(run: dict[str, Any]) -> dict[str, Any]:
    """Return a row of `sprov runs` for a table of 80 columns: times to the second.

    The end is without its day or year if that is the one of the start.
    """
    from .runs import ranks_in_words
    from .silence import state_in_words

    started, ended = ((run[name] or "")[:19].replace("T", " ") for name in ("started", "ended"))
    if ended[:10] == started[:10]:
        ended = ended[11:]
    elif ended[:5] == started[:5]:
        ended = ended[5:]
    return {**run, "started": started, "ended": ended or None, "ranks": ranks_in_words(run),
            "state": state_in_words(run)}  # fmt: skip


@click.command()
@click.argument("run", default="@last")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table")
@click.option("--live", is_flag=True, help="Wait for all that the tracker has by now.")
@job_option
def show(run: str, form: str, live: bool, job: str | None) -> None:
    """Show one run: who, where, when, settings, data, results, failures.

    RUN is @last, an IRI, a name, a Slurm job, or four characters or more of its digest.

    \b
        sprov show @last
        sprov show 4242_7 --format json
    """
    from .runs import describe_run, find_run
    from .shown import print_run

    asked = engine_for(run, live=live, job=job)
    found = describe_run(asked, find_run(asked, run))
    if form == "json":
        at = in_iso(as_of(asked.project, asked.endpoint))
        click.echo(jsontext.dumps({**found, "as_of": at}))
    else:
        print_run(found)


@click.command()
@click.argument("run")
@click.argument("other")
@click.option("--all", "every", is_flag=True, help="What is the same, too.")
@click.option("--format", "form", type=FORMATS, default="table", show_default=True)
@click.option("--live", is_flag=True, help="Wait for all that the tracker has by now.")
@job_option
def diff(run: str, other: str, every: bool, form: str, live: bool, job: str | None) -> None:
    """Print how two runs differ: settings, data, code, environment, results, structure.

    Exit status is 0 whether they differ or not.

    \b
        sprov diff 4242 4243
        sprov diff 4242 @last --all --format json
    """
    from .diff import COLUMNS, compare, print_differences
    from .runs import describe_run, find_run
    from .tables import print_rows

    asked = [(engine_for(one, live=live, job=job), one) for one in (run, other)]
    first, second = (describe_run(engine, find_run(engine, one)) for engine, one in asked)
    rows = compare(first, second, every=every)
    if form != "table":
        print_rows(rows, COLUMNS, form)
    elif rows:
        print_differences(rows)
    else:
        click.echo("no difference")


@click.command()
@click.argument("run", default="@last")
@click.argument("names", nargs=-1)
@click.option("--csv", "as_csv", is_flag=True, help="All points of all attempts, as CSV.")
@click.option("--attempts", is_flag=True, help="A row for each attempt that logged a step.")
@click.option("--plot", is_flag=True, help="Draw curves in the terminal.")
@click.option(
    "-o",
    "output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file: curves in .png, .svg, .pdf, all points in .csv, .json.",
)
@click.option("--format", "form", type=FORMATS, help="table by default.")
@click.option("--live", is_flag=True, help="Wait for all that the tracker has by now.")
@job_option
def metrics(
    run: str,
    names: tuple[str, ...],
    as_csv: bool,
    attempts: bool,
    plot: bool,
    output: Path | None,
    form: str | None,
    live: bool,
    job: str | None,
) -> None:
    """Print a run's series: in table and curves the mean over ranks at each step.

    Where several attempts logged a step the latest counts, and where a rank logged it twice the
    last value.

    Series without steps, such as telemetry, are shown when they are named.

    \b
        sprov metrics @last loss accuracy --plot
        sprov metrics @last loss -o loss.svg
        sprov metrics 4242 -o points.csv
    """
    from .runs import find_run
    from .series import check_names, read_points, read_series, read_steps, stepped, tabulated
    from .tables import print_rows

    given = "csv" if as_csv else form
    form = chosen(str(output or "-"), given, POINTS, "table")
    asked = engine_for(run, live=live, job=job)
    found = find_run(asked, run)
    check_names(asked, found["run"], names)
    if plot or form == PICTURE:
        from .plot import draw

        points = read_series(asked, found["run"], list(names), counted=True)
        picture = output if form == PICTURE else None
        draw(points if names else stepped(points), found, picture, terminal=plot)
        if picture is not None or output is None:
            return
    if form != "table":
        columns = ["name", "rank", "step", "at_ns", "value", "attempt"]
        points = read_points(asked, found["run"], list(names))
        with click.open_file(str(output or "-"), "w", encoding="utf-8") as file:
            print_rows(points, columns, form, output=file)
        return
    steps = read_steps(asked, found["run"], list(names), attempts=attempts)
    rows, columns = tabulated(steps, whole=bool(names))
    print_rows(rows, columns, "table")


_LIMITS = {"tree": 500, "dot": 150, "svg": 150, "html": 150, "json": None}
"""Entities that are told of, nearest first, if nothing else is said."""


@click.command()
@click.argument("target")
@click.option("--up", "which", flag_value="up", default="up", help="What it came from (default).")
@click.option("--down", "which", flag_value="down", help="What it led to.")
@click.option("--both", "which", flag_value="both", help="Both.")
@click.option("--depth", type=click.IntRange(1), help="Activities at most; all by default.")
@click.option("--limit", type=click.IntRange(1), help="Files and values at most, nearest first.")
@click.option("--settings", is_flag=True, help="The settings of each activity, too.")
@click.option(
    "--format", "form", type=click.Choice(list(_LIMITS)), help="By the ending of -o, else tree."
)
@click.option("-o", "output", type=click.File("w", encoding="utf-8"), default="-", help="A file.")
@click.option("--live", is_flag=True, help="Wait for all that the tracker has by now.")
@job_option
def lineage(
    target: str,
    which: str,
    depth: int | None,
    limit: int | None,
    settings: bool,
    form: str | None,
    output: TextIO,
    live: bool,
    job: str | None,
) -> None:
    """Print what something came from, or what it led to, across all runs.

    TARGET is a file or directory, which may be a copy of what was recorded; the path of one that
    is not there any more, or the end of it; a data set's name; an IRI; RUN:NAME for what a run
    generated; or @last for all files that it generated.

    \b
        sprov lineage model.pt
        sprov lineage @last:accuracy --settings
        sprov lineage raw.csv --down -o led-to.svg

    Exit status: 1 if the file that is there was changed since it was recorded, or is unknown.
    """
    from .lineage import trace
    from .present import write
    from .targets import find_target

    form = chosen("-" if output.name == "<stdout>" else output.name, form, LINEAGES, "tree")
    asked = _engine_of_target(target, live=live, job=job)
    found = find_target(asked, target)
    for note in found.notes:
        notices.write(note)
    most = limit or _LIMITS[form]
    traced = [
        trace(asked, found.iri, direction, depth, most, settings=settings)
        for direction in DIRECTIONS
        if which in (direction, "both")
    ]
    write(traced, form, output, settings=settings)


def _engine_of_target(target: str, *, live: bool, job: str | None) -> Engine:
    """Return the engine of the run that a target names, if it names one."""
    run, colon, _ = target.partition(":")
    if target == "@last" or (run and colon):
        with contextlib.suppress(QueryError):  # a path or name that has a colon
            return engine_for(run, live=live, job=job)
    return engine_for(live=live, job=job)
