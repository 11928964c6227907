"""What `sprov show` prints of a run: sections that fit a terminal, and what is left out of them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

import click

from pllib.clock import FACT as CLOCK_STEP

from .tables import print_table, short
from .tree import one_line

MAX_ROWS = 20
WIDTH = 98
Row = dict[str, Any]

_HEAD = ("run", "name", "study", "experiment", "program", "job", "state")

_SECTIONS = {
    "where": ("where", ["host", "ranks", "user"]),
    "attempts": ("attempts", ["restart", "job", "ranks", "started", "ended", "state", "signal"]),
    "stages": ("what ran", ["kind", "name", "executions", "ranks", "started", "time", "state"]),
    "software": ("software", ["name", "value"]),
    "facts_by_node": ("facts by node", ["name", "value", "nodes"]),
    "settings": ("settings", ["plan", "name", "of", "value"]),
    "data_sets": ("data sets", ["how", "role", "name", "version", "split", "files"]),
    "files": ("files", ["how", "role", "kind", "path", "size"]),
    "models": ("models", ["how", "path", "step", "score", "best", "size"]),
    "results": ("results", ["plan", "name", "values", "first", "last"]),
    "series": ("series", ["name", "unit", "ranks", "points", "last", "min", "max", "not finite"]),
    "deviations": (
        "deviations from the plan",
        ["plan", "name", "deviation", "executions", "detail"],
    ),
    "failures": ("failures", ["rank", "plan", "started", "error"]),
    "lost": ("lost", ["reason"]),
    "rivals": ("same rank twice", ["restart", "rank", "host", "pid"]),
    "skipped": ("journalled but not in the graph", ["records", "reason"]),
}


def print_run(found: Row) -> None:
    for name in _HEAD:
        if found[name] is not None:
            more = _exit(found) if name == "state" else ""
            click.echo(f"{name:<11}{one_line(short(str(found[name])))}{more}")
    click.echo(f"{'ranks':<11}{_ranks(found)}")
    click.echo(f"{'time':<11}{_minute(found['started'])} to {_ended(found) or _until(found)}")
    if found["tags"]:
        click.echo(f"{'tags':<11}{', '.join(map(one_line, found['tags']))}")
    if found.get("redacted"):
        click.echo(f"{'redacted':<11}{found['redacted']:,} (sprov ask redacted)")
    for name, text in sorted(found["facts"].items()):
        if name.startswith(CLOCK_STEP):
            click.echo(f"{'clock':<11}{one_line(text)}; times go on by the monotonic clock")
    for line in _left_out(found["facts"]):
        click.echo(f"{'not seen':<11}{line}")
    for source in found["resumed_from"]:
        click.echo(f"{'resumed':<11}{_source(source)}")
    for section, (title, columns) in _SECTIONS.items():
        rows = [_row(section, row) for row in found[section]]
        if section == "attempts" and len(rows) < 2:
            continue
        if rows:
            kept = [
                name for name in columns if any(row.get(name) not in (None, "") for row in rows)
            ]
            print_table(rows[:MAX_ROWS], kept, title=title)
            if len(rows) > MAX_ROWS:
                click.echo(f"and {len(rows) - MAX_ROWS:,} more (--format json has all)\n")
        if section == "software":
            _print_packages(found["packages"])


def _left_out(facts: dict[str, str]) -> Iterator[str]:
    """Yield which files of a command `sprov run` could not record."""
    if number := facts.get("files_not_listed"):
        yield f"up to {one_line(number)} files: the command opened more than are listed"
    if text := facts.get("folders_not_watched"):
        yield f"files written in folders that were not watched: {one_line(text)}"


def _print_packages(packages: dict[str, str]) -> None:
    """Print names and versions in lines that a terminal has room for."""
    if not packages:
        return
    together = "\0"  # a name and its version stay in one line
    named = [one_line(f"{name} {version}") for name, version in packages.items()]
    text = ", ".join(named).replace(" ", together).replace(f",{together}", ", ")
    lines = textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False)
    click.echo(f"packages ({len(packages)})\n")
    for line in lines:
        click.echo(f" {line.replace(together, ' ')}")
    click.echo("")


def _source(source: Row) -> str:
    return one_line(source["path"] or source["name"] or short(source["id"]))


def _minute(moment: str | None) -> str:
    return "" if moment is None else moment[:19].replace("T", " ")


def _ranks(found: Row) -> str:
    """Return how many ranks a run has, and what is known of those that opened no session."""
    latest = found["attempts"][-1] if found["attempts"] else {}
    seen, size = found.get("ranks_seen", found["ranks"]), found["ranks"]
    alone = found["facts"].get("alone", "")
    if seen >= size:
        return f"{size}" + f" ({one_line(alone)}: a run of its own)" * bool(alone)
    if alone:
        return f"{seen} of {size} ({one_line(alone)}: each has a run of its own)"
    if latest.get("slurm"):
        return f"{seen} of {size} seen; Slurm says that the others {_ended_as(latest['slurm'])}"
    return f"{seen} of {size} seen" + "; Slurm not asked yet of the others" * bool(found["job"])


def _ended_as(state: str) -> str:
    return state if state == "completed" else f"ended as {state.replace('_', ' ')}"


def _exit(found: Row) -> str:
    """Return what is to be said of a state: that the exit status behind it is not known."""
    latest = found["attempts"][-1] if found["attempts"] else {}
    if latest.get("exit_status_known", True) or latest["state"] != "completed":
        return ""
    return " (its process ended in order, exit status not known)"


def _ended(found: Row) -> str:
    """Return when a run ended; where that was seen later it was in between."""
    text = _minute(found["ended"])
    seen = found["attempts"][-1].get("seen") if found["attempts"] else None
    return f"{text} (last sign; seen to have ended {_minute(seen)})" if text and seen else text


def _until(found: Row) -> str:
    if found["ended"] is not None:
        return f"{_minute(found['ended'])} UTC"
    return "now (UTC)" if found["state"] == "running" else "an unknown end"


def _row(section: str, row: Row) -> Row:
    made = {name: one_line(v) if isinstance(v, str) else v for name, v in row.items()}
    for name in ("started", "ended"):
        if name in made:
            made[name] = _minute(row[name])
    if section == "stages":
        made["time"] = _lasted(row["started"], row["ended"])
    elif section == "settings":
        made["value"] = _adapted(row)
    elif section == "models":
        made["best"] = "best" if row["best"] else ""
    elif section == "series":
        made["not finite"] = row["not_finite"] or None
        for name in ("points", "last", "min", "max"):
            made[name] = "-" if row[name] is None else row[name]
    return made


def _adapted(row: Row) -> str:
    """Return a setting's value with how it was changed: the last three changes."""
    changes = [
        f"{one_line(c['value'], 40)}" + ("" if c["step"] is None else f" at {c['step']}")
        for c in row["adapted"]
    ]
    kept = [*(["…"] if len(changes) > 3 else []), *changes[-3:]]
    return " → ".join([one_line(row["value"], 60), *kept])


def _lasted(started: str | None, ended: str | None) -> str:
    if started is None or ended is None:
        return ""
    from pllib.moments import moment

    try:
        seconds = (moment(ended) - moment(started)).total_seconds()
    except ValueError:  # RDF of others may say any text
        return ""
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
