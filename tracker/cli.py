"""`sprov tracker serve`: the tracker alone, for a node of its own."""

from __future__ import annotations

import signal
from pathlib import Path

import click

from pllib import lifeline, listening
from pllib.project import find
from pllib.settings import from_process

from .daemon import DRAIN_S, Tracker


@click.group()
def tracker() -> None:
    """Take provenance from ranks, journal it and hand it on to the manager."""


@tracker.command()
@click.option("--name", default="local", show_default=True, help="Name of the endpoint file.")
@click.option(
    "--bind",
    default="127.0.0.1",
    show_default=True,
    help="Where to listen: HOST[:PORT[-PORT]], where HOST may be an interface, or unix:FOLDER.",
)
@click.option(
    "--drain-s",
    default=DRAIN_S,
    show_default=True,
    help="How long the end waits for the manager to take what is journalled, seconds.",
)
@click.option("--ready-file", type=click.Path(path_type=Path), help="Written once ranks may come.")
@click.option(lifeline.OPTION, "starter", type=int, hidden=True, help="As of `pllib.lifeline`.")
def serve(
    name: str, bind: str, drain_s: float, ready_file: Path | None, starter: int | None
) -> None:
    """Run the tracker in the foreground, until SIGTERM.

    \b
        sprov tracker serve --name 4242 --bind 0.0.0.0
    """
    project = find().create()
    limit = from_process(project.config).digest_limit_bytes
    file, journal = project.endpoint(name), project.journal / name
    daemon = Tracker(file, journal, listening.parse(bind), limit, drain_s, project)
    if warning := daemon.server.room.warning:
        click.echo(f"sprov: {warning}", err=True)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: daemon.stop())
    if starter is not None:
        lifeline.watch(starter, daemon.stop)
    if ready_file is not None:
        ready_file.write_text(f"{daemon.server.url}\n")
    daemon.run()
