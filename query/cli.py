"""The commands that ask: query, runs, show, metrics, lineage."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from pllib.project import find

from .engine import MEDIA, Engine, find_engine

FORMATS = click.Choice(["table", "json", "csv"])


def engine(timeout_s: float = 30.0, *, live: bool = False) -> Engine:
    found = find_engine(find(), timeout_s=timeout_s)
    if live:
        found.flush()
    return found


@click.command()
@click.argument("sparql", required=False)
@click.option("-f", "--file", "source", type=click.File("r"), help="Read the query; - is stdin.")
@click.option("--run", "runs", multiple=True, help="Bind ?run to this run (repeatable).")
@click.option(
    "--format", "form", type=click.Choice(["table", *MEDIA]), default="table", show_default=True
)
@click.option("--live", is_flag=True, help="See all that the running manager has taken in.")
@click.option("--timeout", default=30.0, show_default=True, help="Seconds.")
def query(
    sparql: str | None, source: Any, runs: tuple[str, ...], form: str, live: bool, timeout: float
) -> None:
    """Answer a SPARQL query.

    Prefixes prov, provml, sprov, mls, rdf, rdfs, xsd, dcterms and id need no declaration.

    \b
        sprov query 'SELECT ?r { ?r a provml:LearningExperimentExecution }'
        sprov query -f slow.rq --run @last --format csv
    """
    text = source.read() if source is not None else sparql
    if text is None:
        raise click.UsageError("Give a query, or -f FILE.")
    asked = engine(timeout, live=live)
    _print_answer(asked, _bind_runs(asked, text, runs), form)


def _bind_runs(asked: Engine, text: str, runs: tuple[str, ...]) -> str:
    if not runs:
        return text
    from .runs import find_run

    iris = " ".join(f"<{find_run(asked, run)['run']}>" for run in runs)
    return f"{text}\nVALUES ?run {{ {iris} }}"


def _print_answer(asked: Engine, text: str, form: str) -> None:
    if form != "table":
        _, body = asked.answer(text, [form])
        sys.stdout.buffer.write(body)
        return
    media, body = asked.answer(text, ["json", "turtle"])
    if media != MEDIA["json"]:
        sys.stdout.buffer.write(body)
        return
    found = json.loads(body)
    if "boolean" in found:
        click.echo("yes" if found["boolean"] else "no")
        return
    from .tables import print_table

    rows = [
        {name: cell["value"] for name, cell in row.items()} for row in found["results"]["bindings"]
    ]
    print_table(rows, found["head"]["vars"])


@click.command()
@click.option("--format", "form", type=FORMATS, default="table", show_default=True)
@click.option("--live", is_flag=True, help="See all that the running manager has taken in.")
def runs(form: str, live: bool) -> None:
    """List runs, oldest first.

    \b
        sprov runs
        sprov runs --format json
    """
    from .runs import list_runs
    from .tables import print_rows

    columns = ["run", "name", "study", "experiment", "job", "ranks", "started", "ended", "state"]
    found = list_runs(engine(live=live))
    if form == "table":
        columns = [name for name in columns if any(row[name] is not None for row in found)]
    print_rows(found, columns or ["run"], form)


@click.command()
@click.argument("run", default="@last")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table")
@click.option("--live", is_flag=True, help="See all that the running manager has taken in.")
def show(run: str, form: str, live: bool) -> None:
    """Show one run: who, where, when, settings, data, results, failures.

    RUN is an IRI, a unique prefix of its digest, a Slurm job id or @last.

    \b
        sprov show @last
        sprov show 4242_7
    """
    from .runs import describe_run, find_run

    asked = engine(live=live)
    found = describe_run(asked, find_run(asked, run))
    if form == "json":
        click.echo(json.dumps(found, indent=1))
        return
    _print_run(found)


_SECTIONS = {
    "where": ["host", "ranks", "user"],
    "settings": ["plan", "name", "value"],
    "files": ["how", "role", "path", "size"],
    "results": ["in", "name", "values", "first", "last"],
    "failures": ["rank_no", "plan", "error"],
    "lost": ["reason"],
}


def _print_run(found: dict[str, Any]) -> None:
    from .tables import print_table, short

    for name in ("run", "name", "study", "experiment", "job", "program", "state"):
        if found[name] is not None:
            click.echo(f"{name:<11}{short(str(found[name]))}")
    click.echo(f"{'ranks':<11}{found['ranks']}")
    click.echo(f"{'time':<11}{found['started']} to {found['ended'] or 'now'}")
    if found["series"]:
        click.echo(f"{'series':<11}{', '.join(row['name'] for row in found['series'])}")
    for section, columns in _SECTIONS.items():
        if found[section]:
            print_table(found[section], columns, title=section)


@click.command()
@click.argument("run", default="@last")
@click.argument("names", nargs=-1)
@click.option("--csv", "as_csv", is_flag=True, help="All points, as CSV.")
@click.option("--format", "form", type=FORMATS, default="table", show_default=True)
@click.option("--live", is_flag=True, help="See all that the running manager has taken in.")
def metrics(run: str, names: tuple[str, ...], as_csv: bool, form: str, live: bool) -> None:
    """Print a run's series: in the table the mean over ranks at each step.

    \b
        sprov metrics @last loss accuracy
        sprov metrics 4242 --csv > points.csv
    """
    from .runs import find_run
    from .series import by_step, read_points
    from .tables import print_rows

    asked = engine(live=live)
    points = read_points(asked, find_run(asked, run)["run"], list(names))
    if as_csv or form != "table":
        columns = ["name", "rank", "step", "at_ns", "value"]
        print_rows(points, columns, "csv" if as_csv else form)
        return
    known = sorted({point["name"] for point in points})
    print_rows(by_step(points), ["step", *known], "table")


@click.command()
@click.argument("target")
@click.option("--up/--down", default=True, help="What it came from (default), or led to.")
@click.option("--depth", default=20, show_default=True, help="Steps at most.")
@click.option("--format", "form", type=click.Choice(["tree", "json"]), default="tree")
@click.option("--live", is_flag=True, help="See all that the running manager has taken in.")
def lineage(target: str, up: bool, depth: int, form: str, live: bool) -> None:
    """Print what a file came from, or what it led to.

    TARGET is a path, the end of one, or an IRI.

    \b
        sprov lineage model.npz
        sprov lineage raw.csv --down
    """
    from .lineage import find_target, print_tree, trace

    asked = engine(live=live)
    tree = trace(asked, find_target(asked, target), "up" if up else "down", depth)
    if form == "json":
        click.echo(json.dumps(tree, indent=1))
        return
    print_tree(tree, Path.cwd(), up=up)
