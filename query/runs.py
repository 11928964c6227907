"""Runs: which there are, which one somebody means, and what one of them was."""

from __future__ import annotations

from typing import Any

from manager.store.runs import RUNS, run_rows
from pllib.errors import QueryError
from pllib.identity import ID_BASE

from .engine import Engine

RUN_BASE = f"{ID_BASE}run/"


def list_runs(engine: Engine) -> list[dict[str, Any]]:
    """Return all runs, oldest first: run, study, experiment, job, ranks, started, ended, state."""
    return run_rows(engine.bindings(RUNS), live=engine.live)


def find_run(engine: Engine, text: str) -> dict[str, Any]:
    """Return the run that `text` means: an IRI, a prefix of its digest, a job, or ``@last``.

    Raises:
        QueryError: None, or more than one; says what would have been one.
    """
    runs = list_runs(engine)
    if not runs:
        raise QueryError("there are no runs here yet", "See `sprov status`, or `sprov ingest`")
    if text == "@last":
        return runs[-1]
    found = [run for run in runs if _means(run, text)]
    if len(found) == 1:
        return found[0]
    if found:
        raise QueryError(f"{text} means {len(found)} runs", f"One of: {_digests(found)}")
    raise QueryError(f"no run is {text}", f"The latest are: {_digests(runs[-5:])}")


def digest_of(run: str) -> str:
    return run.removeprefix(RUN_BASE)


def _means(run: dict[str, Any], text: str) -> bool:
    job = run["job"] or ""
    return (
        run["run"] == text
        or digest_of(run["run"]).startswith(text)
        or text in (job, job.partition(".")[0], run["name"])
    )


def _digests(runs: list[dict[str, Any]]) -> str:
    return ", ".join(digest_of(run["run"])[:8] for run in runs)


_MEMBERS = """
  ?attempt provml:isPartOf <{run}> . ?rank provml:isPartOf ?attempt ; a provml:WorkflowExecution .
"""

_WHERE = """
SELECT ?host (COUNT(DISTINCT ?agent) AS ?ranks) ?user WHERE {{
  ?agent sprov:run <{run}> ; a prov:SoftwareAgent ; prov:atLocation/rdfs:label ?host ;
         prov:actedOnBehalfOf/rdfs:label ?user
}} GROUP BY ?host ?user ORDER BY ?host
"""

_SETTINGS = """
SELECT DISTINCT ?plan ?name ?value WHERE {{
  {members}
  ?a provml:isPartOf* ?rank ; prov:used ?v . ?v prov:value ?value ; provml:ofAttribute ?at .
  ?at a provml:LearningHyperparameter ; rdfs:label ?name ; provml:isPartOf/rdfs:label ?plan
}} ORDER BY ?plan ?name
"""

_FILES = """
SELECT DISTINCT ?how ?role ?path ?size ?file WHERE {{
  {members}
  ?a provml:isPartOf* ?rank .
  {{ ?a prov:qualifiedUsage ?q . ?q prov:entity ?file ; prov:hadRole ?at . BIND("used" AS ?how) }}
  UNION
  {{ ?q prov:activity ?a ; prov:hadRole ?at . ?file prov:qualifiedGeneration ?q .
     BIND("generated" AS ?how) }}
  ?at rdfs:label ?role . ?file sprov:path ?path . OPTIONAL {{ ?file sprov:size ?size }}
}} ORDER BY DESC(?how) ?path
"""

_RESULTS = """
SELECT ?plan ?name ?index ?value WHERE {{
  {members}
  ?a provml:isPartOf* ?rank ; prov:startedAtTime ?at ;
     prov:qualifiedAssociation/prov:hadPlan/rdfs:label ?plan .
  OPTIONAL {{ ?a sprov:index ?index }}
  ?v prov:wasGeneratedBy ?a ; prov:value ?value ; provml:ofAttribute/rdfs:label ?name
}} ORDER BY ?at
"""

_FAILURES = """
SELECT ?rank_no ?plan ?error WHERE {{
  {members}
  ?a provml:isPartOf* ?rank ; sprov:error ?error ; prov:qualifiedAssociation ?q .
  ?q prov:agent/sprov:rank ?rank_no ; prov:hadPlan/rdfs:label ?plan
}} ORDER BY ?rank_no
"""

_LOST = """
SELECT ?reason WHERE {{ ?log a sprov:Log ; sprov:run <{run}> ; sprov:lost ?reason }}
"""

_SERIES = """
SELECT DISTINCT ?name WHERE {{ ?s a sprov:Series ; sprov:run <{run}> ; rdfs:label ?name }}
ORDER BY ?name
"""


def describe_run(engine: Engine, run: dict[str, Any]) -> dict[str, Any]:
    """Return one run: who, where, when, settings, data, results, failures."""
    members = _MEMBERS.format(run=run["run"])
    sections = {
        "where": _WHERE,
        "settings": _SETTINGS,
        "files": _FILES,
        "results": _RESULTS,
        "failures": _FAILURES,
        "lost": _LOST,
        "series": _SERIES,
    }
    asked = {
        name: engine.select(query.format(run=run["run"], members=members))
        for name, query in sections.items()
    }
    return {**run, **asked, "results": _results(asked["results"])}


def _results(rows: list[dict[str, str]]) -> list[dict[str, Any]]:
    """Return one row for each plan and name: how many values, the first and the last."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        known = found.setdefault(
            (row["plan"], row["name"]),
            {"in": row["plan"], "name": row["name"], "values": 0, "first": row["value"]},
        )
        known["values"] += 1
        known["last"] = row["value"]
    return list(found.values())
