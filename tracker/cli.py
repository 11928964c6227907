"""`sprov tracker serve`: the tracker alone, for a node of its own."""

from __future__ import annotations

import os
from pathlib import Path

import click

from pllib import daemonlog, lifeline, listening, notices
from pllib.project import Project, find
from pllib.readiness import READY, Notifier
from pllib.registry import note_project
from pllib.settings import Serving, from_process, load_section

from .daemon import DRAIN_S, Tracker
from .quota import Quota


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
    note_project(project)
    settings = load_section(Serving, project.config, os.environ)
    notifier = Notifier()
    with daemonlog.logging_to(project, name, "tracker", settings):
        daemon = _tracker(project, name, bind, drain_s)
        daemon.server.quota = Quota(project.root, settings.quota_bytes)
        lifeline.end_when_asked(daemon.stop, starter)
        if ready_file is not None:
            ready_file.write_text(f"{daemon.server.url}\n")
        notifier.tell(READY)
        daemon.run()


def _tracker(project: Project, name: str, bind: str, drain_s: float) -> Tracker:
    limit = from_process(project.config).digest_limit_bytes
    file, journal = project.endpoint(name), project.journal / name
    daemon = Tracker(file, journal, listening.parse(bind), limit, drain_s, project)
    if warning := daemon.server.room.warning:
        notices.write(warning)
        daemonlog.warn("few clients fit", reason=warning)
    return daemon
