"""`sprov status --all`: the daemons of all projects of this user, on all nodes that see them."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from pllib import jsontext, launch
from pllib.delivery import ask_status
from pllib.errors import Error
from pllib.listening import is_daemon
from pllib.loglines import plain_word
from pllib.project import Endpoint, Project, read_endpoint
from pllib.registry import noted_projects
from pllib.sharing import is_trusted

from .status import ask_manager

AT_ONCE = 16
ANSWER_S = 3.0
ENDED, RUNNING, PARTLY = "ended", "running", "partly running"
GONE = "gone without a word"
SILENT = "does not answer: gone, or out of reach from here"
SHOWN = ("clients", "frames", "trouble")

Row = dict[str, Any]
Ask = Callable[[Endpoint], Row]


def show_all(form: str) -> None:
    """Print what each endpoint of each noted project is, or what a project is instead."""
    rows = collect_all()
    if form == "json":
        click.echo(jsontext.dumps(rows))
        return
    project = ""
    for row in rows:
        if row["project"] != project:
            project = row["project"]
            click.echo(plain_word(project))
        click.echo(f"  {_in_words(row)}")
    if not rows:
        click.echo("no project was made or served by this user here")


def collect_all() -> list[Row]:
    """Ask all daemons, several at a time; in the order of projects and names."""
    rows: list[Row] = []
    endpoints: list[tuple[Row, Path]] = []
    for root in noted_projects():
        state = _state_of(root)
        paths = sorted(Project(root).endpoints.glob("*.json")) if not state else []
        for path in paths:
            rows.append({"project": str(root.parent), "name": path.stem})
            endpoints.append((rows[-1], path))
        if not paths:
            rows.append({"project": str(root.parent), "state": state or "no daemon"})
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        answers = pool.map(_facts_of, [path for _, path in endpoints])
        for (row, _), facts in zip(endpoints, answers, strict=True):
            row.update(facts)
    return rows


def _state_of(root: Path) -> str:
    """Return why a project is not looked into; empty if it is."""
    try:
        return "" if is_trusted(root) else "is not yours, and not shared with a group of yours"
    except FileNotFoundError:
        return "is not there"
    except OSError as exc:
        return f"can't be looked at: {exc.strerror}"


def _facts_of(path: Path) -> Row:
    """Return what an endpoint says, and whether that is so."""
    try:
        endpoint = read_endpoint(path)
    except Error as exc:
        return {"state": f"can't be read: {exc}"}
    tracker, answer = _ask(endpoint, "tracker", partial(ask_status, timeout_s=ANSWER_S))
    manager, _ = _ask(endpoint, "manager", ask_manager)
    states = {"tracker": tracker, "manager": manager}
    status = {key: answer[key] for key in SHOWN if key in answer}
    named = {state for state in states.values() if state != ENDED}
    return {
        "host": endpoint.host, "started": endpoint.started, **states, **status,
        "state": named.pop() if len(named) == 1 else PARTLY if named else ENDED,
    }  # fmt: skip


def _ask(endpoint: Endpoint, name: str, ask: Ask) -> tuple[str, Row]:
    """Return what a daemon is, and what it answers."""
    if not getattr(endpoint, name):
        return ENDED, {}
    if endpoint.host_of(name) == launch.host() and not is_daemon(getattr(endpoint, f"{name}_pid")):
        return GONE, {}
    try:
        return RUNNING, ask(endpoint)
    except Error:
        return SILENT, {}


def _in_words(row: Row) -> str:
    """Return a row as one line."""
    if "name" not in row:
        return plain_word(row["state"])
    words = [f"{plain_word(row['name']):<12} {plain_word(row['state'])}"]
    if row["state"] == PARTLY:
        words += [f"{name} {row[name]}" for name in ("tracker", "manager")]
    if row.get("host") and row["state"] != ENDED:
        words.append(f"on {plain_word(row['host'])} since {plain_word(row['started'])}")
    words += [f"{row[key]} {key}" for key in ("clients", "frames") if key in row]
    if row.get("trouble"):
        words.append(f"trouble: {plain_word(row['trouble'])}")
    return ", ".join(words)
