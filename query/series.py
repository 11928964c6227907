"""Series: points of metrics, in Parquet files that the store names, read by DuckDB."""

from __future__ import annotations

from typing import Any

from pllib.errors import UnavailableError

from .engine import Engine

_FILES = "SELECT ?file WHERE {{ <{run}> sprov:seriesFile ?file }}"

_POINTS = """
SELECT name, rank, step, at_ns, value
FROM (SELECT DISTINCT ON (log_id, seq) * FROM read_parquet($files))
WHERE $all OR list_contains($names, name)
ORDER BY name, step, rank, at_ns
"""


def read_points(engine: Engine, run: str, names: list[str]) -> list[dict[str, Any]]:
    """Return a run's points by name, step and rank: name, rank, step, at_ns, value.

    A point that lies in several files, after a replay, is one: it is known by (log id, seq).

    Raises:
        UnavailableError: A file that the store names is gone.
    """
    import duckdb

    rows = engine.select(_FILES.format(run=run))
    if not rows:
        return []
    files = [str(engine.project.series / row["file"]) for row in rows]
    given = {"files": files, "all": not names, "names": names}
    try:
        with duckdb.connect() as connection:
            found = connection.execute(_POINTS, given)
            columns = [column[0] for column in found.description or ()]
            return [dict(zip(columns, row, strict=True)) for row in found.fetchall()]
    except duckdb.IOException as exc:
        raise UnavailableError(
            f"a series file can't be read: {exc}", "`sprov rebuild` makes it again from the logs"
        ) from exc


def by_step(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each step, with the mean over ranks of each series."""
    values: dict[Any, dict[str, list[float]]] = {}
    for point in points:
        values.setdefault(point["step"], {}).setdefault(point["name"], []).append(point["value"])
    ordered = sorted(values, key=lambda step: (step is None, step))
    return [
        {"step": step, **{name: sum(v) / len(v) for name, v in values[step].items()}}
        for step in ordered
    ]
