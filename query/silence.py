"""Which running runs have ranks that their tracker can't reach any more.

The store can't tell a rank that is at work from one whose node is gone: both have said nothing of
their end.  A tracker can: the one has a connection.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pllib.delivery import ask_status
from pllib.errors import Error
from pllib.project import Endpoint

from .engine import Engine
from .runs import Row, digest_of

KEYS = ("silent_ranks", "silent_s")
MOST_AT_ONCE = 8
TIMEOUT_S = 2.0
_UNITS = (("d", 86_400), ("h", 3600), ("min", 60))


def add_silence(rows: Iterable[tuple[Row, Engine]]) -> list[Row]:
    """Return rows with two keys more: ``silent_ranks``, of which nothing is heard, and for how long
    at least, ``silent_s``.

    Both are None of runs that are over, and where no tracker tells.
    """
    pairs = list(rows)
    endpoints = {
        engine.endpoint.tracker: engine.endpoint
        for row, engine in pairs
        if row["state"] == "running" and engine.endpoint is not None and engine.endpoint.tracker
    }
    with ThreadPoolExecutor(MOST_AT_ONCE) as pool:
        told = dict(zip(endpoints, pool.map(_silences, endpoints.values()), strict=True))
    return [row | _silence(row, engine, told) for row, engine in pairs]


def _silences(endpoint: Endpoint) -> dict[str, list[float]] | None:
    """Return the silent ranks' seconds by the digest of their run; None if that is not known."""
    try:
        status = ask_status(endpoint, TIMEOUT_S)
    except Error:
        return None
    found: dict[str, list[float]] = defaultdict(list)
    for rank in status.get("silent_ranks", []):
        found[rank["run"]].append(rank["silent_s"])
    return found


def _silence(
    row: Row, engine: Engine, told: dict[str, dict[str, list[float]] | None]
) -> dict[str, Any]:
    of_tracker = told.get(engine.endpoint.tracker) if engine.endpoint is not None else None
    if row["state"] != "running" or of_tracker is None:
        return dict.fromkeys(KEYS)
    seconds = of_tracker.get(digest_of(row["run"]), [])
    return dict(zip(KEYS, (len(seconds), min(seconds, default=None)), strict=True))


def state_in_words(row: Row) -> str:
    """Return a run's state, with the silence of its ranks: as in ``running (silent for 3 h)``."""
    n_silent, seen = row.get("silent_ranks"), row.get("ranks_seen", row["ranks"])
    if not n_silent:
        return str(row["state"])
    which = "" if n_silent >= seen else f"{n_silent} of {seen} ranks "
    return f"{row['state']} ({which}silent for {_long(row['silent_s'])})"


def _long(seconds: float) -> str:
    for unit, size in _UNITS:
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
