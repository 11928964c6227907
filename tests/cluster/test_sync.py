"""What Slurm says of jobs that have ended, as it comes into the graph."""

from __future__ import annotations

import json

from cluster.jobs import Job, SlurmSite

REQUEUED = """#!/bin/bash
#SBATCH --requeue
if [ -z "$SLURM_RESTART_COUNT" ]; then
    scontrol requeue "$SLURM_JOB_ID"
    sleep 60
fi
srun true
"""
_STATES = """
SELECT ?label ?outcome WHERE {
  ?entry sprov:accountOf ?of ; sprov:source "sacct" ; sprov:outcome ?outcome ; rdfs:label ?entered .
  ?of rdfs:label ?label
}
"""


def test_true_ends_come_into_the_graph(site: SlurmSite) -> None:
    """All at once: jobs of several ends, an array, one requeued, a het job, and one that waits.

    What runs out of time is in test_jobs.py: Slurm looks for that twice a minute.
    """
    jobs = {
        "completed": site.submit("srun -n2 true", "-n2"),
        "failed": site.submit("srun true; exit 3"),
        "killed": site.submit("kill -9 $$"),
        "cancelled": site.submit("srun sleep 60"),
        "array": site.submit("exit $((SLURM_ARRAY_TASK_ID == 2))", "--array=1-2"),
        "again": site.submit(REQUEUED),
        "het": site.submit("srun --het-group=0,1 true", "-n1", ":", "-n2"),
        "waiting": site.submit("true", "--hold"),
    }
    jobs["cancelled"].started().cancel()
    for name, job in jobs.items():
        if name != "waiting":
            job.end(None)
    names = {name: job.id for name, job in jobs.items()}
    rows = _sync(site, *names.values())
    ends = {(row["job"], row["restart"]): _end(row) for row in rows if row["step"] is None}
    assert ends == {
        (names["completed"], 0): ("COMPLETED", "completed", 0, None),
        (names["failed"], 0): ("FAILED", "failed", 3, None),
        (names["killed"], 0): ("FAILED", "killed", None, 9),
        (names["cancelled"], 0): ends[names["cancelled"], 0],
        (f"{names['array']}_1", 0): ("COMPLETED", "completed", 0, None),
        (f"{names['array']}_2", 0): ("FAILED", "failed", 1, None),
        (names["again"], 0): ends[names["again"], 0],
        (names["again"], 1): ("COMPLETED", "completed", 0, None),
        (names["het"], 0): ("COMPLETED", "completed", 0, None),
        (f"{names['het']}+1", 0): ("COMPLETED", "completed", 0, None),
        (names["waiting"], 0): ("PENDING", None, None, None),
    }
    assert ends[names["cancelled"], 0][:2] == ("CANCELLED", "cancelled")
    assert ends[names["again"], 0][0] == "REQUEUED"
    _check_graph(site, names)
    _check_sources(site, jobs["completed"])


def _sync(site: SlurmSite, *jobs: str) -> list[dict[str, object]]:
    options = ("--format", "json")
    return list(json.loads(site.sprov("slurm", "sync", "--steps", *jobs, *options)))


def _end(row: dict[str, object]) -> tuple[object, ...]:
    return row["state"], row["outcome"], row["exit_status"], row["signal"]


def _check_graph(site: SlurmSite, names: dict[str, str]) -> None:
    """The graph has what was printed; steps of the het job are one, and the leader's."""
    found = {(row["label"], row["outcome"]) for row in site.select(_STATES)}
    assert (names["killed"], "killed") in found
    assert (f"{names['array']}_2", "failed") in found
    assert (f"{names['het']}.0", "completed") in found
    whole = f"[ rdfs:label '{names['het']}+1' ] provml:isPartOf [ rdfs:label '{names['het']}' ]"
    assert site.count(whole) == 1
    assert (f"{names['completed']}.0", "completed") in found
    assert (names["again"], "completed") in found
    waiting = site.select(
        "SELECT ?state { ?entry sprov:accountOf/rdfs:label '" + names["waiting"] + "' ; "
        "sprov:state ?state FILTER NOT EXISTS { ?entry sprov:outcome ?any } }"
    )
    assert [row["state"] for row in waiting] == ["PENDING"]
    entries = site.count("?entry a sprov:Accounting")
    again = _sync(site, *names.values())
    assert site.count("?entry a sprov:Accounting") == entries, again
    site.verify()


def _check_sources(site: SlurmSite, job: Job) -> None:
    """What a job asked for and used; nothing is waited for but the job that is held."""
    (row,) = (r for r in _sync(site, job.id) if r["step"] is None)
    assert row["sources"] == ["squeue", "sacct"]
    (asked,) = site.select(
        "SELECT ?tasks ?cpus ?user { ?entry sprov:accountOf/rdfs:label '" + job.id + "' ; "
        "sprov:source 'squeue' ; sprov:tasks ?tasks ; sprov:user ?user ; "
        "sprov:requestedCpus ?cpus }"
    )
    assert (asked["tasks"], asked["cpus"], asked["user"]) == ("2", "2", "root")
    open_jobs = {str(row["job"]) for row in _sync(site)}
    assert job.id not in open_jobs
