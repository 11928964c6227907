"""Where the files of points lie that a store names: here, or on the node of a job's manager."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from pllib import launch
from pllib.errors import QueryError, UnavailableError

from .engine import Engine


def folder_of(engine: Engine, names: Iterable[str]) -> Path:
    """Return a folder with these files; what is on another node is fetched from its manager first.

    Raises:
        FileNotFoundError: One was superseded a moment ago.
        UnavailableError: The manager does not answer.
    """
    endpoint = engine.endpoint
    if endpoint is None or not endpoint.indexes:
        return engine.project.series
    if endpoint.host_of("manager") == launch.host():
        return Path(endpoint.indexes, "series")
    folder = Path(_fetched(endpoint.manager).name)
    for name in names:
        if not (folder / name).exists():
            _fetch(engine, name, folder / name)
    return folder


@functools.cache
def _fetched(manager: str) -> tempfile.TemporaryDirectory[str]:
    """Return a folder for what a manager gave, until this process ends: its files never change."""
    return tempfile.TemporaryDirectory(prefix="sprov-series-")


def _fetch(engine: Engine, name: str, path: Path) -> None:
    try:
        data = engine.get(f"/v1/series-files/{quote(name)}", {})
    except (QueryError, UnavailableError) as exc:
        raise FileNotFoundError(f"{name}: {exc}") from exc
    path.parent.mkdir(exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_bytes(data)
    partial.rename(path)
