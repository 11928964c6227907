"""The tables that a named query's SQL reads, in DuckDB.

* ``answer``: the rows of the SPARQL query, a column for each variable;
* ``points``: points of series (`query.series`);
* ``given``: the parameters, in one row;
* ``entities``, ``activities``, ``edges``, ``settings``: the lineage of each ``answer.target``, as
  in `manager.store.described`, with the target that it is of;
* ``ranks``, ``attempts``: sessions of ranks and attempts of the runs that are asked for, each with
  how it ended, as in `manager.store.states`; ``words``: its states, those that tell most first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, Literal

from manager.store import states
from pllib.moments import moment

from .engine import Engine

if TYPE_CHECKING:
    import datetime

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

STATES: dict[str, dict[str, str]] = {
    "ranks": {
        "run": "string", "attempt": "string", "restart": "int64", "part": "string",
        "agent": "string", "rank": "int64", "pid": "int64", "host": "string",
        "started": "moment", "ended": "moment", "error": "string", "state": "string",
        "told": "string", "exit_status": "int64", "signal": "int64",
    },
    "attempts": {
        "run": "string", "attempt": "string", "restart": "int64", "size": "int64",
        "ranks": "int64", "started": "moment", "ended": "moment", "latest": "bool",
        "state": "string", "ended_ranks": "int64", "failed_ranks": "int64", "error": "string",
        "exit_status": "int64", "signal": "int64",
    },
    "words": {"state": "string", "severity": "int64"},
}  # fmt: skip


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


def add_given(connection: DuckDBPyConnection, values: dict[str, Any]) -> None:
    """Make parameters the table ``given``: a view can't have parameters of its own."""
    import pyarrow as pa

    if values:
        connection.register("given", pa.table({name: [value] for name, value in values.items()}))


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
            rows[name] += [{"target": target, **_fields(LINEAGE[name], thing)} for thing in things]
        rows["settings"] += [
            {"target": target, "activity": activity.id, "name": name, "value": value}
            for activity in found.activities
            for name, value in activity.settings.items()
        ]
    for name, columns in LINEAGE.items():
        _register(connection, name, columns, rows[name])


def add_states(
    connection: DuckDBPyConnection, engine: Engine, runs: list[str], wanted: Collection[str]
) -> None:
    """Make those of the tables of `STATES` that are wanted, of runs given by IRI."""
    words = [{"state": word, "severity": n} for n, word in enumerate(states.STATES)]
    _register(connection, "words", STATES["words"], words)
    if "ranks" in wanted:
        found = states.sessions(engine.select, runs, live=engine.live)
        rows = [{**_fields(STATES["ranks"], each), "told": states.in_words(each)} for each in found]
        _register(connection, "ranks", STATES["ranks"], rows)
    if "attempts" in wanted:
        tried = states.attempts(engine.select, runs, live=engine.live)
        rows = [_fields(STATES["attempts"], one) for one in tried]
        _register(connection, "attempts", STATES["attempts"], rows)


def _register(
    connection: DuckDBPyConnection, name: str, columns: dict[str, str], rows: list[Row]
) -> None:
    import pyarrow as pa

    types = {
        "string": pa.string(), "int64": pa.int64(), "bool": pa.bool_(), "moment": pa.timestamp("us")
    }  # fmt: skip
    schema = pa.schema([(column, types[kind]) for column, kind in columns.items()])
    connection.register(name, pa.Table.from_pylist(rows, schema))


def _fields(columns: dict[str, str], thing: Any) -> Row:
    """Return those columns that a thing has, with times as such."""
    found = {}
    for column, kind in columns.items():
        if hasattr(thing, column):
            value = getattr(thing, column)
            found[column] = _moment(value) if kind == "moment" and value else value
    return found


def _moment(text: str) -> datetime.datetime | None:
    """Return a time; None for what somebody else's record says and is none."""
    try:
        return moment(text)
    except ValueError:
        return None
