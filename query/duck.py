"""The tables that a named query's SQL reads, in DuckDB.

* ``answer``: the rows of the SPARQL query, a column for each variable;
* ``points``: points of series (`query.series`);
* ``entities``, ``activities``, ``edges``, ``settings``: the lineage of each ``answer.target``, as
  in `manager.store.described`, with the target that it is of.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, Literal

from .engine import Engine

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Row = dict[str, Any]

LINEAGE: dict[str, dict[str, str]] = {
    "entities": {
        "target": "string", "id": "string", "kind": "string", "level": "int64", "label": "string",
        "path": "string", "size": "int64", "modified": "moment", "version": "string",
        "value": "string",
    },
    "activities": {
        "target": "string", "id": "string", "kind": "string", "plan": "string", "index": "int64",
        "rank": "int64", "host": "string", "run": "string", "started": "moment", "ended": "moment",
    },
    "edges": {
        "target": "string", "subject": "string", "relation": "string", "object": "string",
        "role": "string",
    },
    "settings": {"target": "string", "activity": "string", "name": "string", "value": "string"},
}  # fmt: skip
"""Table → column → type."""


def moment(text: str) -> datetime.datetime:
    """Return an xsd:dateTime in UTC as a time without a zone, cut to microseconds."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    return datetime.datetime.fromisoformat(f"{whole}.{fraction[:6]:0<6}")


def add_answer(connection: DuckDBPyConnection, rows: list[Row]) -> None:
    """Make rows the table ``answer``; a column of several types becomes text."""
    import pyarrow as pa

    columns: dict[str, Any] = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        types = {type(value) for value in values} - {type(None)}
        if types == {int, float}:
            values = [None if value is None else float(value) for value in values]
        elif len(types) > 1:
            values = [None if value is None else _text(value) for value in values]
        columns[name] = pa.array(values) if types else pa.nulls(len(values), pa.string())
    connection.register("answer", pa.table(columns))


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def add_lineages(
    connection: DuckDBPyConnection,
    engine: Engine,
    targets: Iterable[str],
    direction: Literal["up", "down"],
    wanted: Collection[str],
) -> None:
    """Walk from each target; make those of the tables of `LINEAGE` that are wanted.

    Raises:
        QueryError: A walk took too long.
    """
    import pyarrow as pa

    from .lineage import trace

    rows: dict[str, list[Row]] = {name: [] for name in LINEAGE}
    for target in targets:
        found = trace(engine, target, direction, settings="settings" in wanted)
        told: dict[str, Iterable[Any]] = {
            "entities": found.entities,
            "activities": found.activities,
            "edges": found.edges,
        }
        for name, things in told.items():
            rows[name] += [{"target": target, **_fields(name, thing)} for thing in things]
        rows["settings"] += [
            {"target": target, "activity": activity.id, "name": name, "value": value}
            for activity in found.activities
            for name, value in activity.settings.items()
        ]
    types = {"string": pa.string(), "int64": pa.int64(), "moment": pa.timestamp("us")}
    for name, columns in LINEAGE.items():
        schema = pa.schema([(column, types[kind]) for column, kind in columns.items()])
        connection.register(name, pa.Table.from_pylist(rows[name], schema))


def _fields(table: str, thing: Any) -> Row:
    found = {}
    for column, kind in LINEAGE[table].items():
        if column != "target":
            value = getattr(thing, column)
            found[column] = moment(value) if kind == "moment" and value else value
    return found
