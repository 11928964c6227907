"""`sprov manager serve`: the manager alone."""

from __future__ import annotations

import signal
from pathlib import Path

import click
import msgspec

from pllib import listening
from pllib.launch import console_script
from pllib.project import find


@click.group()
def manager() -> None:
    """Turn linked provenance into RDF, keep it and answer SPARQL."""


@manager.command()
@click.option("--name", default="local", show_default=True, help="Name of the endpoint file.")
@click.option(
    "--bind",
    default="127.0.0.1",
    show_default=True,
    help="Where to listen: HOST[:PORT[-PORT]]; HOST may be an interface.",
)
@click.option(
    "--indexes",
    type=click.Path(path_type=Path),
    help="Folder of store, series and snapshots, if not the project's.",
)
@click.option("--ready-file", type=click.Path(path_type=Path), help="Written once it answers.")
def serve(name: str, bind: str, indexes: Path | None, ready_file: Path | None) -> None:
    """Run the manager in the foreground, until SIGTERM.

    \b
        sprov manager serve --bind 127.0.0.1:7070
    """
    from .daemon import Manager

    project = msgspec.structs.replace(find(), indexes=indexes and indexes.absolute()).create()
    file = project.endpoints / f"{name}.json"
    daemon = Manager(project, file, listening.parse(bind), console_script())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: daemon.stop())
    if ready_file is not None:
        ready_file.write_text(f"{daemon.url}\n")
    daemon.run()


@manager.command(hidden=True)
def worker() -> None:
    """Answer queries from stdin; started by the manager."""
    from .worker import main

    main()
