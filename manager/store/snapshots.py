"""Snapshots: what everyone but the writer reads."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path

import pyoxigraph as ox

from pllib.errors import UnavailableError

from ..vocabulary import PREFIXES, term

FILE_LIMIT = 512
"""Open files that RocksDB may keep; it needs at least 96."""


def current_snapshot(folder: Path) -> Path:
    """Return the newest snapshot.

    Raises:
        UnavailableError: There is none yet.
    """
    link = folder / "current"
    if not link.exists():
        raise UnavailableError(
            f"no store here yet ({link} does not exist)",
            "Run a job with pllib and then `sprov ingest`, or start `sprov serve`",
        )
    return link.resolve()


def open_snapshot(folder: Path) -> ox.Store:
    """Open the newest snapshot read-only; it stays readable even when it is superseded."""
    for _ in range(5):
        path = current_snapshot(folder)
        try:
            with few_files():
                return ox.Store.read_only(str(path))
        except OSError as exc:  # superseded and deleted between the two calls
            failure: Exception = exc
        except RuntimeError as exc:  # RocksDB's word for corruption (pyoxigraph 0.5.13)
            failure = exc
            if path == current_snapshot(folder):  # else files were deleted while it was opened
                break
    raise UnavailableError(
        f"the snapshot {path} can't be opened: {failure}",
        "`sprov rebuild` makes it again from the journals",
    )


def watermarks(store: ox.Store, journal: str) -> dict[str, int]:
    """Return run → highest frame ordinal of that journal queue in a store."""
    rows = store.query(
        f"SELECT ?run (MAX(?n) AS ?last) {{ ?q {term('sprov:journal')} {ox.Literal(journal)} ; "
        f"{term('sprov:run')} ?run ; {term('sprov:watermark')} ?n }} GROUP BY ?run"
    )
    assert isinstance(rows, ox.QuerySolutions)
    return {row[0].value.rpartition("/")[2]: int(row[1].value) for row in rows}


def missing(store: ox.Store, ntriples: str) -> list[str]:
    """Return those of these triples that a store does not hold, in Oxigraph's canonical forms."""
    parsed = ox.parse(input=ntriples, format=ox.RdfFormat.N_TRIPLES)
    return [str(quad) for quad in parsed if quad not in store]


def query_prefixes() -> dict[str, str]:
    """Return the prefixes that every query may use undeclared."""
    return PREFIXES


@contextlib.contextmanager
def few_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = FILE_LIMIT if soft == resource.RLIM_INFINITY else min(soft, FILE_LIMIT)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
