"""Parts of store and series that nothing counts on any more; under the store's lock."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyoxigraph as ox

from manager.store.pointfiles import run_of
from manager.store.snapshots import few_files
from manager.store.writable import KEEP_SNAPSHOTS
from manager.vocabulary import term
from pllib.project import Project

from .holding import in_use

UNREADABLE = (OSError, RuntimeError)
"""What a store raises that is damaged, or was deleted meanwhile (pyoxigraph 0.5.13)."""


def numbered(project: Project) -> list[Path]:
    """Return the snapshots, in order."""
    return sorted(path for path in project.snapshots.glob("*") if path.name.isdigit())


def snapshots_beyond(project: Project, archive: Path) -> Iterator[Path]:
    """Yield snapshots that are neither among the last nor the current one, nor being read."""
    current = (project.snapshots / "current").resolve()
    for path in numbered(project)[:-KEEP_SNAPSHOTS]:
        if path.resolve() != current and not in_use(path):
            yield path


def stray_series(project: Project, archive: Path) -> Iterator[Path]:
    """Yield files that the store does not name, or that it and all snapshots know are superseded.

    Without a store nobody can tell.
    """
    files = list(project.series.glob("run=*/*.parquet"))
    if not files or not project.store.is_dir():
        return
    try:
        named = _objects(project.store, "sprov:seriesFile")
        stores = [project.store, *numbered(project)[-KEEP_SNAPSHOTS:]]
        superseded = set.intersection(*(_objects(s, "sprov:supersededFile") for s in stores))
    except UNREADABLE:  # nothing is known
        return
    for path in files:
        name = str(path.relative_to(project.series))
        if run_of(name) and (name not in named or name in superseded):
            yield path


def maybe_stray(project: Project, archive: Path) -> Iterator[Path]:
    """Yield what may be stray, by what the newest snapshot says, which lags behind the store."""
    files = list(project.series.glob("run=*/*.parquet"))
    current = project.snapshots / "current"
    if not files or not current.exists():
        yield from files
        return
    try:
        named = _objects(current.resolve(), "sprov:seriesFile")
        superseded = _objects(current.resolve(), "sprov:supersededFile")
    except UNREADABLE:
        return
    for path in files:
        name = str(path.relative_to(project.series))
        if name not in named or name in superseded:
            yield path


def _objects(folder: Path, name: str) -> set[str]:
    with few_files():
        store = ox.Store.read_only(str(folder))
    rows = store.query(f"SELECT ?o {{ ?s {term(name)} ?o }}")
    assert isinstance(rows, ox.QuerySolutions)
    return {row["o"].value for row in rows}
