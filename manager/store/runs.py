"""What runs there are: one query, and the rows that `sprov runs` and ``/v1/runs`` give."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

RUNS = """
SELECT ?run ?study ?experiment ?job ?ranks ?name ?program
       (MIN(?start) AS ?started) (MAX(?end) AS ?ended)
       (COUNT(DISTINCT ?done) AS ?n_done) (COUNT(?error) AS ?n_failed)
WHERE {
  ?run a provml:LearningExperimentExecution ; sprov:ranks ?ranks ; sprov:program ?program .
  OPTIONAL { ?run sprov:study ?study }
  OPTIONAL { ?run sprov:experiment ?experiment }
  OPTIONAL { ?run sprov:job ?job }
  OPTIONAL { ?run rdfs:label ?name }
  ?attempt provml:isPartOf ?run .
  ?rank provml:isPartOf ?attempt ; a provml:WorkflowExecution ; prov:startedAtTime ?start .
  OPTIONAL { ?rank prov:endedAtTime ?end BIND(?rank AS ?done) }
  OPTIONAL { ?rank sprov:error ?error }
}
GROUP BY ?run ?study ?experiment ?job ?ranks ?name ?program
ORDER BY ?started
"""

Binding = dict[str, dict[str, str]]


def run_rows(bindings: Iterable[Binding], *, live: bool) -> list[dict[str, Any]]:
    """Turn bindings of `RUNS` into rows with stable keys, oldest run first.

    Args:
        live: A daemon runs, so that a run without an end may still be going on.
    """
    return [_row({name: cell["value"] for name, cell in row.items()}, live) for row in bindings]


def _row(value: dict[str, str], live: bool) -> dict[str, Any]:
    ranks = int(value["ranks"])
    ended = int(value["n_done"]) >= ranks
    state = "completed" if ended else "running" if live else "unfinished"
    return {
        "run": value["run"],
        "name": value.get("name"),
        "study": value.get("study"),
        "experiment": value.get("experiment"),
        "job": value.get("job"),
        "program": value["program"],
        "ranks": ranks,
        "started": value["started"],
        "ended": value.get("ended") if ended else None,
        "state": "failed" if int(value["n_failed"]) else state,
    }
