"""`sprov manager serve`: the manager alone."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click
import msgspec

from pllib import daemonlog, lifeline, listening
from pllib.launch import console_script
from pllib.project import find
from pllib.readiness import READY, Notifier
from pllib.registry import note_project
from pllib.settings import Serving, load_section


@click.group()
def manager() -> None:
    """Turn linked provenance into RDF, keep it and answer SPARQL."""


@manager.command()
@click.option("--name", default="local", show_default=True, help="Name of the endpoint file.")
@click.option(
    "--bind",
    default="127.0.0.1",
    show_default=True,
    help="Where to listen: HOST[:PORT[-PORT]], where HOST may be an interface, or unix:FOLDER.",
)
@click.option(
    "--indexes",
    type=click.Path(path_type=Path),
    help="Folder of store, series and snapshots, if not the project's.",
)
@click.option(
    "--certificate",
    help="PEM file: the manager serves HTTPS with it.  Without, it makes one where it listens on "
    "more than loopback.",
)
@click.option("--key", help="PEM file with the certificate's key, if it is not in the same.")
@click.option("--ready-file", type=click.Path(path_type=Path), help="Written once it answers.")
@click.option(lifeline.OPTION, "starter", type=int, hidden=True, help="As of `pllib.lifeline`.")
def serve(
    name: str,
    bind: str,
    indexes: Path | None,
    certificate: str | None,
    key: str | None,
    ready_file: Path | None,
    starter: int | None,
) -> None:
    """Run the manager in the foreground, until SIGTERM.

    \b
        sprov manager serve --bind 127.0.0.1:7070
    """
    from .daemon import Manager
    from .tls import chosen

    project = msgspec.structs.replace(find(), indexes=indexes and indexes.absolute()).create()
    note_project(project)
    file = project.endpoint(name)
    settings = chosen(load_section(Serving, project.config, os.environ), certificate, key)
    notifier = Notifier()
    with daemonlog.logging_to(project, name, "manager", settings):
        daemon = Manager(project, file, listening.parse(bind), console_script(), settings)
        lifeline.end_when_asked(daemon.stop, starter)
        if ready_file is not None:
            ready_file.write_text(f"{daemon.url}\n")
        notifier.tell(READY)
        daemon.run()
    # All is durable by now; else RocksDB would finish the compaction that it is at first, 1.5 to
    # 2.8 s under load (pyoxigraph 0.5.13).
    sys.stderr.flush()
    os._exit(0)


@manager.command(hidden=True)
def worker() -> None:
    """Answer queries from stdin; started by the manager."""
    from .worker import main

    main()
