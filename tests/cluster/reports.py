"""What a project's graph says of its jobs once they are over, to compare with what happened."""

from __future__ import annotations

import json

from harness import TRANSFORMATIONS

from .jobs import SlurmSite

_COUNTS = f"""
SELECT ?restart ?rank (COUNT(DISTINCT ?a) AS ?n) {{
  {TRANSFORMATIONS} ; prov:qualifiedAssociation/prov:agent/sprov:rank ?rank ;
  provml:isPartOf+ ?attempt . ?attempt a sprov:Attempt ; sprov:restart ?restart
}} GROUP BY ?restart ?rank"""

_JOBS = """
SELECT DISTINCT ?job ?outcome {
  ?said sprov:accountOf ?j ; sprov:outcome ?outcome . ?j a sprov:Job ; rdfs:label ?job
}"""


def accounted(site: SlurmSite) -> SlurmSite:
    """Let the project learn how its jobs ended; its logs and its store must agree after that."""
    site.sprov("ingest")
    site.sprov("slurm", "sync")
    report = site.verify()
    assert report["agree"] and not report["lost"], report
    return site


def counts(site: SlurmSite) -> dict[tuple[int, int], int]:
    """Return how many transformations each rank captured, by restart and rank."""
    return {(int(row["restart"]), int(row["rank"])): int(row["n"]) for row in site.select(_COUNTS)}


def ends(site: SlurmSite) -> list[tuple[str, int, str]]:
    """Return job step, ranks and end of each run, in order of the steps."""
    rows = json.loads(site.sprov("runs", "--format", "json"))
    return sorted((row["job"], row["ranks"], row["state"]) for row in rows)


def attempts(site: SlurmSite) -> list[tuple[str, int]]:
    """Return how each attempt of the last run ended, and how many ranks did not end well."""
    shown = json.loads(site.sprov("show", "@last", "--format", "json"))
    return [(attempt["state"], attempt["failed_ranks"]) for attempt in shown["attempts"]]


def job_ends(site: SlurmSite) -> set[tuple[str, str]]:
    """Return each job with each end that Slurm told of it."""
    return {(row["job"], row["outcome"]) for row in site.select(_JOBS)}
