"""Answer a named query: SPARQL, then SQL over its rows (`query.duck`), then checks.

Times are UTC.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import stat
from collections.abc import Mapping
from typing import Any

from pllib.errors import QueryError, UnavailableError
from pllib.moments import moment

from .duck import add_answer, add_given, add_lineages, add_states
from .engine import Engine
from .named import Named, parameters_in, substitute
from .terms import Bound, bind

Row = dict[str, Any]

SECONDS = re.compile(r"sprov:seconds\(\s*([?]\w+)\s*,\s*([?]\w+)\s*\)")
_MIDNIGHT = 'STRDT(CONCAT(SUBSTR(STR({0}), 1, 10), "T00:00:00Z"), xsd:dateTime)'
_INTEGERS = frozenset(["integer", "int", "long"])
_NUMBERS = frozenset(["decimal", "double", "float"])


def expand(sparql: str) -> str:
    """Write ``sprov:seconds(?from, ?to)`` out: SPARQL 1.1 has no seconds of a duration."""

    def written_out(found: re.Match[str]) -> str:
        start, end = found.groups()
        days = f"{_MIDNIGHT.format(end)} - {_MIDNIGHT.format(start)}"
        return (
            f"(SECONDS({end}) - SECONDS({start}) + 60 * (MINUTES({end}) - MINUTES({start}))"
            f" + 3600 * (HOURS({end}) - HOURS({start})) + IF(DAY({end}) = DAY({start})"
            f" && MONTH({end}) = MONTH({start}), 0,"
            f' 86400 * xsd:integer(STRBEFORE(STRAFTER(STR({days}), "P"), "D"))))'
        )

    return SECONDS.sub(written_out, sparql)


def ask(engine: Engine, named: Named, given: Mapping[str, str]) -> tuple[list[str], list[Row]]:
    """Return the columns and rows of a named query's answer.

    Args:
        given: Parameters as a user types them.

    Raises:
        QueryError: A parameter is wrong, or the query was stopped.
        UnavailableError: There is nothing to ask, or a file of points is gone.
    """
    bound = bind(engine, named, given)
    terms = {name: each.term for name, each in bound.items()}
    columns, rows = _rows(engine, expand(substitute(named.sparql, terms)))
    if named.sql is not None:
        columns, rows = _sql(engine, named, bound, rows) if rows else ([*named.columns], [])
    if named.check:
        columns, rows = [*columns, "now"], [{**row, "now": state_of(row)} for row in rows]
    return columns, rows


def _rows(engine: Engine, sparql: str) -> tuple[list[str], list[Row]]:
    found = engine.table(sparql)
    columns = found.head.vars
    return columns, [
        {name: _python(row[name]) if name in row else None for name in columns}
        for row in found.rows
    ]


def _python(cell: dict[str, str]) -> Any:
    datatype = cell.get("datatype", "").rpartition("#")[2]
    text = cell["value"]
    if datatype in _INTEGERS:
        return int(text)
    if datatype in _NUMBERS:
        return float(text)
    if datatype == "boolean":
        return text == "true"
    if datatype == "dateTime":
        with contextlib.suppress(ValueError):  # RDF of others may say any text
            return moment(text)
    return text


def _sql(
    engine: Engine, named: Named, bound: dict[str, Bound], rows: list[Row]
) -> tuple[list[str], list[Row]]:
    import duckdb

    from .series import points_relation

    assert named.sql is not None
    used = parameters_in(named.sql)
    values = {name: each.value for name, each in bound.items() if name in used}
    with duckdb.connect() as connection:
        add_answer(connection, rows)
        if named.lineage:
            targets = dict.fromkeys(row["target"] for row in rows if row["target"])
            add_lineages(connection, engine, targets, named.lineage, named.tables)
        add_states(connection, engine, _runs(bound, rows), named.tables)
        try:
            if "points" in named.tables:
                points_relation(connection, engine, _measured(bound, rows))
            if named.views:
                add_given(connection, {name: each.value for name, each in bound.items()})
                connection.execute(named.views)
            found = connection.execute(named.sql, values or None)
            columns = [column[0] for column in found.description or ()]
            return columns, [dict(zip(columns, row, strict=True)) for row in found.fetchall()]
        except (duckdb.IOException, OSError) as exc:
            raise UnavailableError(
                f"a series file can't be read: {exc}", "Ask again, or run `sprov rebuild`"
            ) from exc
        except duckdb.Error as exc:
            raise QueryError(f"{named.name} failed: {exc}") from exc


def _runs(bound: dict[str, Bound], rows: list[Row]) -> list[str]:
    """Return the runs whose ranks or points are asked for: the one asked for, else the answer's."""
    if "run" in bound:
        return [str(bound["run"].value)]
    return sorted({row["run"] for row in rows if row.get("run")})


def _measured(bound: dict[str, Bound], rows: list[Row]) -> list[str]:
    """Return the runs whose points are asked for: of an answer with series, those that have one."""
    if "run" not in bound and "series" in rows[0]:
        rows = [row for row in rows if row["series"]]
    return _runs(bound, rows)


def state_of(row: Row) -> str:
    """Return whether a row's file is that version: same, changed, gone; empty for no file.

    A directory only exists or is gone.
    """
    if row.get("path") is None or row.get("modified") is None:
        return ""
    try:
        found = os.stat(row["path"])  # noqa: PTH116  a name that may be no file
    except OSError:
        return "gone"
    if stat.S_ISDIR(found.st_mode):  # its version is of what is in it
        return "exists"
    seconds, ns = divmod(found.st_mtime_ns, 1_000_000_000)
    written = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).replace(
        tzinfo=None, microsecond=ns // 1000
    )
    same = found.st_size == row["size"] and written == row["modified"]
    return "same" if same else "changed"
