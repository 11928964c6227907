"""How real programs ended: what they could not say others tell, and a late end counts."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from typing import Any

import pytest
from harness import TIMEOUT_S, Site, wait_until

from pllib import telling
from pllib.records import Accounted, Outcome, Record

JOB, CLUSTER = "4300", "test"


class Task:
    """A program in a job step that waits in the middle of its training."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.process: subprocess.Popen[str] = site.start(
            "catalog_task.py", json.dumps({"name": "task", "waits": True, "scores": [0.5]}),
            SLURM_JOB_ID=JOB, SLURM_STEP_ID="0", SLURM_CLUSTER_NAME=CLUSTER,
        )  # fmt: skip
        wait_until(lambda: site.count("?f sprov:path ?path FILTER(STRENDS(?path, '/task.pt'))"))
        diary = json.loads((site.folder / "diary/task-0-0.json").read_text())
        self.run, self.log_id = diary["run"].rpartition("/")[2], diary["log_id"]

    def tell(self, *records: Record, of_job: bool = False) -> None:
        run = telling.job_run(CLUSTER, JOB) if of_job else self.run
        telling.tell(self.site.project, run, records, endpoint=self.site.endpoint)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    @property
    def row(self) -> dict[str, Any]:
        (row,) = json.loads(self.site.sprov("runs", "--format", "json", "--live"))
        return dict(row)

    def show(self) -> dict[str, Any]:
        return dict(json.loads(self.site.sprov("show", "@last", "--format", "json", "--live")))

    def ask(self, name: str, *options: str) -> list[dict[str, Any]]:
        return list(
            json.loads(self.site.sprov("ask", name, *options, "--live", "--format", "json"))
        )


def action_of(site: Site) -> dict[str, Any]:
    """Return the action that an RO-Crate of the run has for all of it."""
    folder = site.folder / "crate"
    site.sprov("export", "@last", "--format", "ro-crate", "-o", str(folder))
    metadata = json.loads((folder / "ro-crate-metadata.json").read_text())
    return next(
        each
        for each in metadata["@graph"]
        if each["@id"].startswith("https://w3id.org/sprov/id/run/")
    )


@pytest.fixture
def task(served: Site) -> Task:
    return Task(served)


def test_a_killed_rank_and_its_stages_are_killed_once_somebody_tells(task: Task) -> None:
    assert task.row["state"] == "running"
    task.kill()
    at_ns = time.time_ns()
    task.tell(Outcome(0, task.log_id, "killed", at_ns, signal=9, node="node1"))

    assert (task.row["state"], task.row["ended"] is None) == ("killed", False)
    told = task.show()
    assert {row["name"]: row["state"] for row in told["stages"]} == {
        "cluster": "killed", "fit": "killed",
    }  # fmt: skip
    (attempt,) = told["attempts"]
    assert (attempt["state"], attempt["signal"], attempt["failed_ranks"]) == ("killed", 9, 1)
    assert {row["error"] for row in told["failures"]} == {"killed, signal 9"}
    assert [row["state"] for row in task.ask("stage-attempts")] == ["killed"]
    assert task.ask("running") == []
    assert task.ask("silent-ranks", "-p", "seconds=0") == []
    assert "killed" in task.site.sprov("show", "@last")
    assert action_of(task.site)["actionStatus"] == "http://schema.org/FailedActionStatus"


def test_an_end_that_comes_late_counts_more(task: Task) -> None:
    task.tell(Outcome(0, task.log_id, "killed", time.time_ns(), signal=9))
    assert task.row["state"] == "killed"

    task.process.send_signal(signal.SIGUSR1)
    assert task.process.wait(TIMEOUT_S) == 0

    wait_until(lambda: task.row["state"] == "completed")
    assert task.ask("failures") == []
    assert task.ask("attempts")[0]["signal"] is None


@pytest.mark.parametrize(
    ("step", "state", "ended"),
    [
        ("0", "OUT_OF_MEMORY", "out_of_memory"),
        ("0", "NODE_FAIL", "node_failure"),
        ("", "TIMEOUT", "timed_out"),
        ("", "PREEMPTED", "preempted"),
    ],
)
def test_a_rank_that_nobody_saw_ended_as_slurm_says(
    task: Task, step: str, state: str, ended: str
) -> None:
    task.kill()
    task.tell(Accounted(0, CLUSTER, JOB, step, 0, "sacct", state, time.time_ns()), of_job=True)

    assert task.row["state"] == ended
    assert {row["state"] for row in task.show()["stages"]} == {ended}
    assert [row["state"] for row in task.ask("outcome")] == [ended]
    exported = task.site.sprov("export", "@last", "--format", "nquads", "--stored")
    assert f'/ns#state> "{state}"' in exported
    assert task.ask("running") == []


def test_a_rank_of_a_suspended_job_is_told_from_a_silent_one(task: Task) -> None:
    asked = ["-p", "seconds=0"]
    assert [row["slurm"] for row in task.ask("silent-ranks", *asked)] == [None]
    now = time.time_ns()

    for n, state in enumerate(("RUNNING", "SUSPENDED")):
        said = Accounted(0, CLUSTER, JOB, "", 0, "squeue", state, now + n * 10**9)
        task.tell(said, of_job=True)
        assert [row["slurm"] for row in task.ask("silent-ranks", *asked)] == [state]
    assert task.row["state"] == "running"


def test_a_command_that_was_killed_is_killed_and_not_merely_failed(site: Site) -> None:
    command = ["run", "--", "/bin/sh", "-c", "kill -9 $$"]
    done = subprocess.run(
        site.command(*command), cwd=site.folder, env=site.environment(), check=False
    )
    assert done.returncode == -signal.SIGKILL
    site.sprov("ingest")

    (row,) = json.loads(site.sprov("runs", "--format", "json"))
    assert (row["state"], row["ranks"]) == ("killed", 1)
    (attempt,) = json.loads(site.sprov("ask", "attempts", "--format", "json"))
    assert (attempt["state"], attempt["signal"], attempt["failures"]) == ("killed", 9, 1)
