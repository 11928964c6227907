"""What runs there are: the rows that `sprov runs` and ``/v1/runs`` give."""

from __future__ import annotations

from typing import Any

from pllib.moments import sortable

from .states import OPEN, Attempt, Select, attempts

_NAMES = """
SELECT ?run (MIN(?a) AS ?study) (MIN(?b) AS ?experiment) (MIN(?c) AS ?job) (MIN(?d) AS ?name)
       (MIN(?e) AS ?program) WHERE {
  ?run a provml:LearningExperimentExecution ; sprov:program ?e .
  OPTIONAL { ?run sprov:study ?a }
  OPTIONAL { ?run sprov:experiment ?b }
  OPTIONAL { ?run sprov:job ?c }
  OPTIONAL { ?run rdfs:label ?d }
} GROUP BY ?run
"""

Row = dict[str, Any]


def list_runs(select: Select, *, live: bool) -> list[Row]:
    """Return all runs with stable keys, oldest first; each as its latest attempt is.

    Args:
        live: A daemon runs, so that a run without an end may still be going on.
    """
    names = {row["run"]: row for row in select(_NAMES)}
    by_run: dict[str, list[Attempt]] = {}
    for attempt in attempts(select, None, live=live):
        by_run.setdefault(attempt.run, []).append(attempt)
    rows = [_row(names[run], found) for run, found in by_run.items() if run in names]
    return sorted(rows, key=lambda row: sortable(row["started"]))


def _row(named: dict[str, str], found: list[Attempt]) -> Row:
    latest = found[-1]
    ends = [each.ended for each in found if each.ended]
    return {
        "run": named["run"],
        "name": named.get("name"),
        "study": named.get("study"),
        "experiment": named.get("experiment"),
        "job": named.get("job"),
        "program": named["program"],
        "ranks": latest.size,
        "ranks_seen": latest.ranks,
        "started": min((each.started for each in found), key=sortable),
        "ended": None if latest.state in OPEN else max(ends, key=sortable, default=None),
        "state": latest.state,
    }
