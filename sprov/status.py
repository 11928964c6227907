"""`sprov status`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from pllib import jsontext
from pllib.delivery import ask_status
from pllib.errors import Error
from pllib.printable import one_line
from pllib.project import (
    Endpoint,
    ForeignEndpointError,
    Project,
    choose_endpoint,
    find,
    read_endpoint,
)
from pllib.waiting import n_logs
from query.freshness import in_iso

from .left import doubtful_logs, waiting_logs
from .left import in_words as in_words_of_waiting
from .skipped import in_words, refused_frames, skipped_by

STORE_TIMEOUT_S = 5.0
HIDDEN = ("running", "ranks", "silent_ranks", "trouble", "skipped_by", "refused_frames")
"""Of a daemon: what is told in words of its own."""
TIMES = ("snapshot_at", "as_of")


@click.command()
@click.option("--all", "everywhere", is_flag=True, help="Of all projects that you made or served.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
def status(everywhere: bool, form: str) -> None:
    """Show daemons, ranks, queues, lag and counts of lost and refused records.

    \b
        sprov status
        sprov status --format json
        sprov status --all
    """
    if everywhere:
        from .everywhere import show_all

        show_all(form)
        return
    project = find()
    found = collect(project)
    if form == "json":
        click.echo(jsontext.dumps(found))
        return
    click.echo(f"project    {one_line(str(project.root))}")
    for name in ("tracker", "manager"):
        _print_daemon(name, found[name])
    for reason, count in found["skipped_by"].items():
        click.echo(f"skipped    {in_words(reason, count)}")
    for frame in found["refused_frames"]:
        click.echo(
            f"refused    frame {frame['frame']} of log {frame['log_id']}, run {frame['run'][:8]}: "
            f"{frame['reason']}"
        )
    if words := in_words_of_waiting(found["waiting_logs"]):
        click.echo(f"waiting    {words}")
    for line in found["doubtful_logs"]:
        click.echo(f"in doubt   {line}")


def collect(project: Project) -> dict[str, Any]:
    """Ask the daemons; what does not answer is ``{"running": False}``."""
    found: dict[str, Any] = {"tracker": {"running": False}, "manager": {"running": False}}
    path = choose_endpoint(project, os.environ)
    if path is not None and path.exists():
        found |= _ask_daemons(path)
    found["skipped_by"], found["refused_frames"] = _left_out(project)
    found["waiting_logs"] = n_logs(waiting_logs(project))
    found["doubtful_logs"] = doubtful_logs(project)
    return found


def _ask_daemons(path: Path) -> dict[str, Any]:
    asked = {"tracker": ask_status, "manager": ask_manager}
    try:
        endpoint = read_endpoint(path)
    except ForeignEndpointError as exc:
        return {name: {"running": False, "trouble": str(exc)} for name in asked}
    found: dict[str, Any] = {}
    for name, ask in asked.items():
        if getattr(endpoint, name):
            try:
                found[name] = {"running": True, **ask(endpoint)}
            except Error as exc:
                found[name] = {"running": False, "trouble": str(exc)}
    return found


def _left_out(project: Project) -> tuple[dict[str, int], list[dict[str, Any]]]:
    """Ask the store what it lacks; nothing where there is none, or it does not answer soon."""
    from query.engine import find_engine

    try:
        select = find_engine(project, timeout_s=STORE_TIMEOUT_S, warns=False).select
        skipped = skipped_by(select)
        return skipped, refused_frames(select) if skipped else []
    except (Error, ModuleNotFoundError):  # there is no store without the extra that reads it
        return {}, []


def _in_words(key: str, value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{count} {name}" for name, count in value.items()) or "none"
    if key in TIMES and isinstance(value, int | float):
        return (in_iso(value) if value else None) or "never"
    return str(value)


def ask_manager(endpoint: Endpoint) -> dict[str, Any]:
    """Ask a manager for its counts.

    Raises:
        UnavailableError: It does not answer, or can't prove who it is.
    """
    from query.engine import ask_json

    return dict(ask_json(endpoint, "/v1/status"))


def _print_daemon(name: str, found: dict[str, Any]) -> None:
    if not found["running"]:
        click.echo(f"{name:<11}not running {found.get('trouble', '')}".rstrip())
        return
    plain = {k: v for k, v in found.items() if k not in HIDDEN}
    click.echo(f"{name:<11}running")
    for key, value in plain.items():
        click.echo(f"  {key.replace('_', ' '):<25} {_in_words(key, value)}")
    for rank in found.get("ranks", []):
        click.echo(
            f"  rank {rank['rank']} on {rank['host']} (pid {rank['pid']}): "
            f"{rank['frames']} frames, silent for {rank['silent_s']} s"
        )
    for rank in found.get("silent_ranks", []):
        click.echo(
            f"  rank {rank['rank']} on {rank['host']} (pid {rank['pid']}): silent for "
            f"{rank['silent_s']} s, without a connection; how it ended is not known"
        )
    if found.get("trouble"):
        click.echo(f"  trouble: {one_line(str(found['trouble']))}")
