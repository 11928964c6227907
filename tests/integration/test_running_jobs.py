"""Runs of jobs that run now, with managers and indexes of their own, beside the project's."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import SCRIPT, TIMEOUT_S, Site, wait_until

JOB = "4243"


class Jobs:
    """A project with a run in its store, and a job that runs with a manager of its own."""

    def __init__(self, site: Site, indexes: Path) -> None:
        self.site = site
        site.run("training.py", SPROV_MODE="offline")
        site.sprov("ingest")
        ready = site.folder / "job-ready"
        self.server = subprocess.Popen(
            [SCRIPT, "serve", "--name", JOB, "--indexes", str(indexes), "--ready-file", str(ready)],
            cwd=site.folder, env=site.environment(),
        )  # fmt: skip
        wait_until(lambda: ready.exists() or self.server.poll() is not None)
        self.task = site.start(
            "catalog_task.py", '{"name": "task", "waits": true}', SPROV_ENDPOINT=JOB
        )
        wait_until(lambda: any(row["name"] == "task" for row in self.runs()))

    def runs(self, *options: str) -> list[dict[str, Any]]:
        return list(json.loads(self.site.sprov("runs", "--live", "--format", "json", *options)))

    def ask(self, name: str, *options: str) -> list[dict[str, Any]]:
        return list(json.loads(self.site.sprov("ask", name, *options, "--format", "json")))

    def close(self) -> None:
        self.server.terminate()
        self.server.wait(TIMEOUT_S)


@pytest.fixture
def jobs(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jobs]:
    made = Jobs(site, tmp_path_factory.mktemp("indexes"))
    yield made
    made.close()


def test_runs_of_the_store_and_of_running_jobs_are_listed_and_found(jobs: Jobs) -> None:
    states = {row["name"] or row["experiment"]: row["state"] for row in jobs.runs()}
    assert states == {"mlp": "completed", "task": "running"}
    assert [row["name"] for row in jobs.runs("--job", JOB)] == ["task"]

    for run in ("task", "@last"):
        told = json.loads(jobs.site.sprov("show", run, "--format", "json"))
        assert (told["name"], told["state"]) == ("task", "running")
    points = jobs.ask("last-metrics", "--run", "task")
    assert [(row["name"], row["step"], row["value"]) for row in points] == [("speed", 7, 2.0)]
    assert "speed" in jobs.site.sprov("metrics", "task")
    assert "task.pt" in jobs.site.sprov("lineage", "@last")
    # What is not of one run is asked of the store.
    assert [row["study"] for row in jobs.ask("cost")] == ["digits"]
    assert [row["study"] for row in jobs.ask("cost", "--job", JOB)] == ["cluster"]
    query = "SELECT ?n { ?run rdfs:label ?n }"
    assert "task" in jobs.site.sprov("query", query, "--run", "task")


def test_a_run_is_watched_until_it_ends(jobs: Jobs) -> None:
    now = jobs.site.sprov("watch", "--once")
    assert "running" in now and "speed" in now and "fit" in now

    watching = subprocess.Popen(
        [SCRIPT, "watch", "task", "--every", "0.1"],
        env=jobs.site.environment(), cwd=jobs.site.folder, text=True, stdout=subprocess.PIPE,
    )  # fmt: skip
    jobs.task.send_signal(signal.SIGUSR1)
    printed, _ = watching.communicate(timeout=TIMEOUT_S)
    assert watching.returncode == 0
    assert "completed, 1 rank" in printed


def test_a_manager_that_does_not_answer_is_named_and_the_rest_is_listed(jobs: Jobs) -> None:
    dead = jobs.site.project.endpoints / "9999.json"
    dead.write_text(json.dumps({"manager": "http://127.0.0.1:9", "token": "t"}))
    done = subprocess.run(
        [SCRIPT, "runs", "--format", "json"],
        env=jobs.site.environment(), cwd=jobs.site.folder, capture_output=True, text=True,
    )  # fmt: skip

    assert (done.returncode, len(json.loads(done.stdout))) == (0, 2)
    silent, age = done.stderr.splitlines()
    assert silent.startswith(f"sprov: {dead} is stale: the manager at http://127.0.0.1:9 does not")
    assert age.startswith("sprov: as of 2")
    assert "9999.json is stale" in jobs.site.sprov("runs", "--job", "9999", status=4)
    assert f"There are: {JOB}, 9999" in jobs.site.sprov("runs", "--job", "none", status=4)
