"""Series: points of metrics, in Parquet files that the store names, read by DuckDB.

A point that lies in several files, after a replay, is one: it is known by (log id, seq).  Only
files that may have points in common are searched for such, which takes ten times as long.

What counts: at a step, the points of the latest attempt that has any there, and of each of its
ranks the one that was said last.  A mean is over those ranks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pllib.errors import QueryError, UnavailableError
from pllib.identity import ID_BASE, activity, is_one
from pllib.moments import sortable

from .engine import Engine
from .seriesfiles import folder_of

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

Answer = TypeVar("Answer")

_RUN = f"{ID_BASE}run/"
_ACTIVITY = f"{ID_BASE}activity/"
_MOST_VALUES = 500
"""Runs that a query is asked by name; for more it is asked for all."""
_ATTEMPTS = 5
"""Files that the store names may be superseded and gone before they are opened."""

_FILES = """SELECT ?run ?file WHERE {{ {values} ?run sprov:seriesFile ?file
FILTER NOT EXISTS {{ ?run sprov:supersededFile ?file }} }}"""

_COLUMNS = "log_id, seq, series, activity, rank, name, step, at_ns, value"
_EMPTY = """SELECT ''::VARCHAR AS run, ''::BLOB AS log_id, 0::BIGINT AS seq, '' AS series,
'' AS activity, 0::INTEGER AS rank, '' AS name, 0::BIGINT AS step, 0::BIGINT AS at_ns,
0::DOUBLE AS value WHERE false"""

_SESSIONS = """SELECT ?part ?restart ?started {{
?attempt provml:isPartOf <{run}> ; a sprov:Attempt ; sprov:restart ?restart .
?part provml:isPartOf ?attempt ; a provml:WorkflowExecution ; prov:startedAtTime ?started }}"""
_ORDERED = "SELECT *, nth << 43 | seq AS place FROM points JOIN logs USING (log_id) {where}"
"""`place` orders what a rank said: by session, then by sequence, since clocks may be set back."""
_POINTS = f"""SELECT name, rank, step, at_ns, value, attempt FROM ({_ORDERED})
ORDER BY name, step, rank, place"""
_SERIES = "SELECT name, rank, step, at_ns, value FROM points {where}"
_COUNTED = f"""SELECT name, rank, step, at_ns, value FROM (
SELECT name, rank, step, attempt, arg_max(at_ns, place) AS at_ns, arg_max(value, place) AS value
FROM ({_ORDERED}) WHERE step IS NOT NULL GROUP BY ALL
UNION ALL SELECT name, rank, step, attempt, at_ns, value FROM ({_ORDERED}) WHERE step IS NULL)
QUALIFY attempt = max(attempt) OVER (PARTITION BY name, step)"""
_ATTEMPTED = f"""SELECT step, name, attempt, avg(value) AS value FROM (
SELECT step, name, attempt, arg_max(value, place) AS value FROM ({_ORDERED})
GROUP BY step, name, attempt, rank, CASE WHEN step IS NULL THEN place END) GROUP BY ALL"""
_STEPS = f"""SELECT step, name, arg_max(value, attempt) AS value FROM ({_ATTEMPTED})
GROUP BY step, name"""
_NAMES = "SELECT DISTINCT ?name {{ ?s a sprov:Series ; sprov:run <{run}> ; rdfs:label ?name }}"
_ORDER = ("name", "rank", "step", "at_ns")


def read_series(
    engine: Engine, run: str, names: Sequence[str] = (), *, counted: bool = False
) -> pa.Table:
    """Return a run's points by name, rank, step and time: name, rank, step, at_ns, value.

    Args:
        run: IRI.
        names: All series if empty.
        counted: Only those that count.

    Raises:
        UnavailableError: A file that the store names can't be read.
    """
    table = _of_names(engine, run, _COUNTED if counted else _SERIES, names)
    if _in_order(table):
        return table
    return table.sort_by([(name, "ascending") for name in _ORDER])


def read_points(engine: Engine, run: str, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return all points by name, step, rank and order, as rows: for some thousands, else
    `read_series`.

    Raises:
        UnavailableError: A file that the store names can't be read.
    """
    rows: list[dict[str, Any]] = _of_names(engine, run, _POINTS, names).to_pylist()
    return rows


def read_steps(
    engine: Engine, run: str, names: Sequence[str] = (), *, attempts: bool = False
) -> list[dict[str, Any]]:
    """Return a row for each step: ``step``, and by its name the mean over ranks of each series.

    As in IEEE 754 the mean is NaN when one of the points is: a rank that fails must show.  Points
    without a step share a row, the last.

    Args:
        attempts: A row for each step and ``attempt``.

    Raises:
        UnavailableError: A file that the store names can't be read.
    """
    return _rows(_of_names(engine, run, _ATTEMPTED if attempts else _STEPS, names))


def check_names(engine: Engine, run: str, names: Sequence[str]) -> None:
    """Check that a run has series of these names.

    Raises:
        QueryError: It has not; says which there are.
    """
    if not names:
        return
    rows = engine.select(_NAMES.format(run=_checked(run)))
    known = sorted({row["name"] for row in rows})
    if unknown := [name for name in names if name not in known]:
        there = ", ".join(known) or "none"
        raise QueryError(f"no such series: {', '.join(unknown)}", f"There are: {there}")


def stepped(points: pa.Table) -> pa.Table:
    """Return the points that have a step; all of them if none has."""
    import pyarrow.compute as pc

    known = points.filter(pc.is_valid(points["step"]))
    return known if known.num_rows else points


def tabulated(rows: list[dict[str, Any]], *, whole: bool) -> tuple[list[dict[str, Any]], list[str]]:
    """Return rows of `read_steps` and their columns as a table that fits.

    Args:
        whole: Keep series without steps beside those with; else they are there only by themselves.
    """
    known = [row for row in rows if row["step"] is not None]
    keys = [name for name in ("step", "attempt") if any(name in row for row in rows)] or ["step"]
    if rows and not known:
        means = [
            {**{key: row[key] for key in keys[1:]}, "name": name, "mean": mean}
            for row in rows
            for name, mean in row.items()
            if name not in keys
        ]
        return sorted(means, key=lambda row: str(row["name"])), ["name", *keys[1:], "mean"]
    shown = rows if whole else known
    return shown, [*keys, *sorted({name for row in shown for name in row} - {*keys})]


def ask_points(
    engine: Engine,
    runs: Iterable[str] | None,
    sql: str,
    parameters: Sequence[Any] = (),
    *,
    with_logs: bool = False,
) -> pa.Table:
    """Answer SQL on the view that `points_relation` makes.

    Args:
        with_logs: And on the table ``logs`` of the only run: log_id, attempt, and `nth` of the
            run's sessions it is.

    Raises:
        QueryError: The SQL is wrong.
        UnavailableError: A file that the store names can't be read.
    """
    import duckdb

    asked = None if runs is None else list(runs)

    def ask() -> pa.Table:
        with duckdb.connect() as connection:
            _make_view(connection, engine, asked)
            if with_logs and asked:
                _add_logs(connection, engine, asked[0])
            return connection.sql(sql, params=list(parameters)).to_arrow_table()

    try:
        return _try_again(ask)
    except duckdb.Error as exc:
        raise QueryError(f"the query of points failed: {exc}") from exc


def points_relation(
    connection: duckdb.DuckDBPyConnection, engine: Engine, runs: Iterable[str] | None
) -> None:
    """Make the view ``points`` of runs, given by IRI; of all when None.

    Columns: run (IRI), log_id, seq, series, activity (identities), rank, name, step, at_ns (UTC
    nanoseconds), value.  The store may supersede the files while a query runs on them: `ask_points`
    tries again then.

    Raises:
        UnavailableError: A file that the store names can't be read.
    """
    asked = None if runs is None else list(runs)
    _try_again(lambda: _make_view(connection, engine, asked))


def _try_again(call: Callable[[], Answer]) -> Answer:
    """Call until no file is gone that the store named a moment ago.

    Raises:
        UnavailableError: It is not only superseded: a file can't be read.
    """
    import duckdb

    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return call()
        except (OSError, duckdb.IOException) as exc:
            if attempt == _ATTEMPTS:
                raise UnavailableError(
                    f"a series file can't be read: {exc}",
                    "`sprov rebuild` makes it again from the logs",
                ) from exc
    raise AssertionError


def _make_view(
    connection: duckdb.DuckDBPyConnection, engine: Engine, runs: list[str] | None
) -> None:
    """Raises:
    OSError: A file is gone or no Parquet.
    """
    current = _current_files(engine, runs)
    folder = folder_of(engine, [name for names in current.values() for name in names])
    selects = []
    for run, names in sorted(current.items()):
        ordered, mixed = _arranged(folder, names)
        apart = [name for name in ordered if name not in mixed]
        selects += _selects(run, folder, apart, "")
        selects += _selects(run, folder, sorted(mixed), "DISTINCT ON (log_id, seq)")
    body = "\nUNION ALL ".join(selects) or _EMPTY
    connection.execute(f"CREATE OR REPLACE TEMP VIEW points AS {body}")


def _add_logs(connection: duckdb.DuckDBPyConnection, engine: Engine, run: str) -> None:
    """Make the table ``logs``; of a session whose beginning was lost, the attempt is not known."""
    import pyarrow as pa

    sessions = {
        row["part"].removeprefix(_ACTIVITY): (int(row["restart"]), sortable(row["started"]))
        for row in engine.select(_SESSIONS.format(run=_checked(run)))
    }
    there = connection.execute("SELECT DISTINCT log_id FROM points").fetchall()
    ordered = sorted(
        (*sessions.get(activity(log_id, 0), (-1, "")), log_id) for (log_id,) in there
    )  # fmt: skip
    columns = {
        "log_id": pa.array([log_id for _, _, log_id in ordered], pa.binary()),
        "attempt": pa.array([restart for restart, _, _ in ordered], pa.int64()),
        "nth": pa.array(range(len(ordered)), pa.int64()),
    }
    connection.register("logs", pa.table(columns))


def _selects(run: str, folder: Path, names: list[str], distinct: str) -> list[str]:
    if not names:
        return []
    files = ", ".join(_quoted(folder / name) for name in names)
    source = f"read_parquet([{files}], hive_partitioning = false)"
    return [f"SELECT '{run}' AS run, * FROM (SELECT {distinct} {_COLUMNS} FROM {source})"]


def _quoted(path: Path) -> str:
    """Return a path as an SQL string in which no character is a pattern's."""
    from manager.store.pointfiles import literally

    quoted = literally(path).replace("'", "''")
    return f"'{quoted}'"


def _current_files(engine: Engine, runs: Iterable[str] | None) -> dict[str, list[str]]:
    """Return run → names of the files that count."""
    from manager.store.pointfiles import run_of

    asked = None if runs is None else [_checked(run) for run in runs]
    values = ""
    if asked is not None and len(asked) <= _MOST_VALUES:
        values = f"VALUES ?run {{ {' '.join(f'<{run}>' for run in asked)} }}"
    found: dict[str, list[str]] = defaultdict(list)
    for row in engine.select(_FILES.format(values=values)):
        run, name = row["run"], row["file"]
        if f"{_RUN}{run_of(name)}" == run and (asked is None or run in asked):
            found[run].append(name)
    return found


def _checked(run: str) -> str:
    if not (run.startswith(_RUN) and is_one(run.removeprefix(_RUN))):
        raise QueryError(f"{run} is no run", "`sprov runs` lists them")
    return run


def _arranged(folder: Path, names: list[str]) -> tuple[list[str], set[str]]:
    """Return files in the order of their frames, and those that may have points in common."""
    from manager.store.pointfiles import overlapping, read_ranges

    ranges = {name: read_ranges(folder / name) for name in names}
    ordered = sorted(names, key=lambda name: (sorted((ranges[name] or {}).items()), name))
    return ordered, overlapping(ranges)


def _of_names(engine: Engine, run: str, sql: str, names: Sequence[str]) -> pa.Table:
    where = f"WHERE name IN ({', '.join('?' for _ in names)})" if names else ""
    n_times = sql.count("{where}")
    text = sql.format(where=where)
    return ask_points(engine, [run], text, [*names] * n_times, with_logs="logs" in text)


def _in_order(table: pa.Table) -> bool:
    """Tell whether points are of one series and in order, as most are: sorting takes longer."""
    import pyarrow.compute as pc

    if not table.num_rows:
        return True
    ranks = pc.min_max(table["rank"]).as_py()
    one = table["name"][0]
    if ranks["min"] != ranks["max"] or not pc.all(pc.equal(table["name"], one)).as_py():
        return False
    return all(_ascends(table[name]) for name in ("step", "at_ns"))


def _ascends(column: pa.ChunkedArray) -> bool:
    import pyarrow.compute as pc

    if column.null_count == len(column):
        return True
    whole = column.combine_chunks()
    rises = pc.greater_equal(whole[1:], whole[:-1])
    return bool(pc.all(rises, min_count=0, skip_nulls=False).as_py())


def _rows(means: pa.Table) -> list[dict[str, Any]]:
    """Turn step, name and value, and maybe attempt, into a row for each step (and attempt)."""
    keys = [name for name in ("step", "attempt") if name in means.column_names]
    rows: dict[tuple[int | None, ...], dict[str, Any]] = {}
    ordered = means.sort_by([(name, "ascending") for name in (*keys, "name")])  # nulls come last
    columns = [ordered[name].to_pylist() for name in (*keys, "name", "value")]
    for *key, name, value in zip(*columns, strict=True):
        rows.setdefault(tuple(key), dict(zip(keys, key, strict=True)))[name] = value
    return list(rows.values())
