"""`sprov rebuild`: store and series again, from the journals."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from pllib.errors import UnavailableError
from pllib.project import Project, find
from pllib.sharing import make_folder

from .indexing import index, journals, open_writer
from .ingest import running_tracker


@click.command()
def rebuild() -> None:
    """Make store and series again from the journals, beside the old ones, then swap them.

    \b
        sprov stop; sprov rebuild
    """
    project = find().create()
    if running_tracker(project) is not None:
        raise UnavailableError("a tracker is running", "`sprov stop` first")
    made = Project(project.root / "rebuild")
    shutil.rmtree(made.root, ignore_errors=True)
    make_folder(made.root)
    n_journals = len(journals(project))
    with open_writer(made.store, made.series, made.snapshots) as writer:
        n_records = index(project, writer)
    for old, new in _pairs(project, made):
        _replace(old, new)
    shutil.rmtree(made.root, ignore_errors=True)
    click.echo(f"{n_records} record(s) of {n_journals} journal(s) stored")


def _pairs(project: Project, made: Project) -> list[tuple[Path, Path]]:
    return [
        (project.series, made.series),
        (project.store, made.store),
        (project.snapshots, made.snapshots),
    ]


def _replace(old: Path, new: Path) -> None:
    aside = old.with_name(f"{old.name}.old")
    shutil.rmtree(aside, ignore_errors=True)
    if old.exists():
        old.rename(aside)
    if new.exists():
        new.rename(old)
    shutil.rmtree(aside, ignore_errors=True)
