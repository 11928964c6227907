"""The command that asks named queries."""

from __future__ import annotations

from typing import Any

import click

from pllib import notices
from pllib.errors import QueryError

from .cli import FORMATS
from .engine import Engine
from .engines import engine_for, job_option
from .named import Named, Parameter, catalog, find_named
from .tables import print_rows

MAX_MEASURES = 20
"""Of each kind that a message names."""


@click.command()
@click.argument("name", required=False)
@click.option("-p", "--parameter", "given", multiple=True, metavar="NAME=VALUE", help="Repeatable.")
@click.option("--run", help="As -p run=RUN.")
@click.option("--explain", is_flag=True, help="Print what the query takes and the query itself.")
@click.option("--format", "form", type=FORMATS, default="table", show_default=True)
@click.option("--live", is_flag=True, help="Wait for all that the tracker has by now.")
@click.option("--timeout", default=30.0, show_default=True, help="Seconds.")
@job_option
def ask(
    name: str | None,
    given: tuple[str, ...],
    run: str | None,
    explain: bool,
    form: str,
    live: bool,
    timeout: float,
    job: str | None,
) -> None:
    """Ask a named query; without a name, list them.

    \b
        sprov ask
        sprov ask best-checkpoint --run @last
        sprov ask best-runs -p measure=accuracy -p k=5 --format json
        sprov ask epochs --explain
    """
    if name is None:
        _list(form)
        return
    named = find_named(name)
    if explain:
        _explain(named)
        return
    from .answers import ask as answer

    parameters = _given(given, run)
    asked = engine_for(_run_of(named, parameters), timeout_s=timeout, live=live, job=job)
    columns, rows = answer(asked, named, parameters)
    _print(named, columns, rows, form)
    if not rows and any(each.name == "measure" for each in named.parameters):
        notices.write(_measures(asked))


def _given(pairs: tuple[str, ...], run: str | None) -> dict[str, str]:
    found = {} if run is None else {"run": run}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise QueryError(f"-p takes NAME=VALUE, not {pair!r}", "As in: -p run=@last")
        found[name.strip()] = value
    return found


def _run_of(named: Named, given: dict[str, str]) -> str | None:
    """Return the run that is asked about, if it is one."""
    of_run = (each for each in named.parameters if each.name == "run")
    return next((given.get("run", each.default) for each in of_run), None)


def _list(form: str) -> None:
    rows = [describe(named) for named in catalog().values()]
    if form != "json":
        for row in rows:
            row["parameters"] = ", ".join(_short(each) for each in row["parameters"])
    print_rows(rows, ["cell", "name", "title", "parameters"], form)


def describe(named: Named) -> dict[str, Any]:
    """Return name, title, cell and parameters of a query, as a listing gives them."""
    return {
        "name": named.name,
        "title": named.title,
        "cell": named.cell,
        "parameters": [
            {"name": each.name, "kind": each.kind, "default": each.default, "meaning": each.meaning}
            for each in named.parameters
        ],
    }


def _short(parameter: dict[str, Any]) -> str:
    default = parameter["default"]
    return parameter["name"] if default is None else f"[{parameter['name']}={default}]"


def _explain(named: Named) -> None:
    from .answers import expand

    click.echo(f"# {named.title} ({named.cell})")
    for each in named.parameters:
        default = "must be given" if each.default is None else f"{each.default!r} by default"
        click.echo(f"# ${each.name}: {each.meaning} ({each.kind}, {default})")
    click.echo(f"\n{expand(named.sparql)}", nl=False)
    if named.sql is not None:
        click.echo(f"\n-- SQL over {' and '.join(named.tables)}\n{named.sql}", nl=False)


def _print(named: Named, columns: list[str], rows: list[dict[str, Any]], form: str) -> None:
    if form == "table" and not rows:
        click.echo(f"nothing found: {named.title.lower()}")
        return
    print_rows([_plain(row) for row in rows], columns, form)


def _measures(engine: Engine) -> str:
    """Return a line of what runs can be ranked by."""
    from .answers import ask as answer

    _, rows = answer(engine, find_named("measures"), {})
    kinds: dict[str, list[str]] = {}
    for row in rows:
        kinds.setdefault(str(row["kind"]), []).append(str(row["measure"]))
    told = [f"{_some(names)} ({kind})" for kind, names in kinds.items()]
    if not told:
        return "no run has recorded a measure yet"
    return (
        f"measures that runs have recorded: {'; '.join(told)}. Choose one with -p measure=NAME; "
        "`sprov ask measures` lists all"
    )


def _some(names: list[str]) -> str:
    more = len(names) - MAX_MEASURES
    return ", ".join(names[:MAX_MEASURES]) + (f" and {more:,} more" if more > 0 else "")


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with its times as text, as in the graph."""
    return {
        name: f"{value.isoformat()}Z" if hasattr(value, "isoformat") else value
        for name, value in row.items()
    }


def reference() -> str:
    """Return docs/reference/questions.md."""
    lines = [
        "# Questions",
        "",
        "`sprov ask NAME -p PARAMETER=VALUE` answers; `sprov ask` lists these, `--explain` prints",
        "a query. A parameter with `=` has that default. A run may be an IRI, a prefix of its",
        "digest, a name, a Slurm job or `@last`; a file a path, the end of one, or an IRI.",
    ]
    cell = ""
    for named in catalog().values():
        if named.cell != cell:
            cell = named.cell
            lines += ["", f"## {cell}", "", "| name | question | parameters |", "|---|---|---|"]
        parameters = "<br>".join(_described(each) for each in named.parameters)
        lines.append(f"| `{named.name}` | {named.title} | {parameters} |")
    return "\n".join(lines) + "\n"


def _described(parameter: Parameter) -> str:
    default = "" if parameter.default is None else f"={parameter.default}"
    kind = parameter.kind.replace("|", " or ")
    return f"`{parameter.name}{default}` ({kind}): {parameter.meaning}"
