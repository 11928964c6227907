"""The points of one series, for those who ask the manager for them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyoxigraph as ox

from pllib.errors import QueryError, UnavailableError
from pllib.identity import ID_BASE

from ..vocabulary import term
from .pointfiles import run_of

if TYPE_CHECKING:
    from .questions import Points

MAX_POINTS = 1_000_000
COLUMNS = ["rank", "step", "at_ns", "value"]


class Series(msgspec.Struct):
    """Columns of one length; times are UTC nanoseconds, and a NaN or infinity is a null."""

    name: str
    rank: list[int]
    step: list[int | None]
    at_ns: list[int]
    value: list[float | None]


def points(store: ox.Store, asked: Points) -> Series:
    """Return points by rank and step; one that lies in several files, after a replay, is one.

    Raises:
        QueryError: The run has no such series, or one of more than `MAX_POINTS`.
        UnavailableError: A file was superseded since the snapshot, or can't be read.
    """
    columns = ["log_id", "seq", *COLUMNS]
    of_name = [("name", "=", asked.name)]
    try:
        tables = [
            pq.read_table(Path(asked.folder) / file, columns=columns, filters=of_name)
            for file in _files(store, asked.run)
        ]
    except OSError as exc:
        raise UnavailableError(f"a series file can't be read: {exc}", "Try again") from exc
    if not any(table.num_rows for table in tables):
        raise QueryError(f"the run has no series {asked.name}", "`sprov show` lists a run's series")
    whole = pa.concat_tables(tables)
    if whole.num_rows > MAX_POINTS:
        raise QueryError(f"the series has {whole.num_rows:,} points", "`sprov metrics` reads all")
    named = [(name, "first") for name in COLUMNS]
    single = whole.group_by(["log_id", "seq"], use_threads=False).aggregate(named)
    single = single.rename_columns({f"{name}_first": name for name in COLUMNS})
    ordered = single.sort_by([(name, "ascending") for name in ("rank", "step", "at_ns")])
    value = pc.if_else(pc.is_finite(ordered["value"]), ordered["value"], None)
    found = {name: ordered[name].to_pylist() for name in COLUMNS}
    return Series(asked.name, **{**found, "value": value.to_pylist()})


def _files(store: ox.Store, run: str) -> list[str]:
    this = f"<{ID_BASE}run/{run}>"
    found = store.query(
        f"SELECT ?f {{ {this} {term('sprov:seriesFile')} ?f "
        f"FILTER NOT EXISTS {{ {this} {term('sprov:supersededFile')} ?f }} }}"
    )
    assert isinstance(found, ox.QuerySolutions)
    return [row[0].value for row in found if run_of(row[0].value) == run]
