"""Processes that claim the same rank of the same attempt."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from pllib.moments import sortable

from .states import Session


def rivals(sessions: Iterable[Session]) -> list[dict[str, Any]]:
    """Return processes that were at once the same rank, by attempt and rank.

    `sprov run` and the program in it are one rank, whatever they say; so are sessions that one
    process opened, and processes one after the other that were given one SPROV_RUN.
    """
    by_rank: dict[tuple[int, int], dict[tuple[str, int], list[Session]]] = defaultdict(dict)
    for each in sessions:
        if not each.wraps:
            processes = by_rank[each.restart, each.rank]
            processes.setdefault((each.host, each.pid), []).append(each)
    rows = []
    for (restart, rank), processes in sorted(by_rank.items()):
        spans = {key: _span(found) for key, found in processes.items()}
        for (host, pid), (started, ended) in spans.items():
            others = [span for key, span in spans.items() if key != (host, pid)]
            if any(started < until and since < ended for since, until in others):
                rows.append({"restart": restart, "rank": rank, "host": host, "pid": pid})
    return rows


def _span(found: list[Session]) -> tuple[str, str]:
    """Return from when until when a process was seen, in an order of text."""
    ends = [sortable(each.ended) if each.ended else "~" for each in found]
    return min(sortable(each.started) for each in found), max(ends)
