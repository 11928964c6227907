"""When a killed run ended: at the last sign of it, whoever looked when."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from typing import Any

import pytest
from harness import PROGRAMS, Site, lack, wait_until

from pllib import telling
from pllib.moments import nanoseconds
from pllib.records import Accounted

SECOND_NS = 10**9


def hang(site: Site, **environment: str) -> tuple[Any, int]:
    """Start a program that waits to be killed; return it and when its last call had returned."""
    process = site.start("hanging.py", **environment)
    return process, int(process.stdout.readline())


def kill(process: Any) -> int:
    """Kill; return a moment at which the process was alive."""
    alive_ns = time.time_ns()
    process.kill()
    process.communicate()
    return alive_ns


def asked(site: Site, name: str, *options: str) -> list[dict[str, Any]]:
    return list(json.loads(site.sprov("ask", name, "--format", "json", *options)))


@pytest.mark.parametrize("mode", ["offline", "online"])
def test_a_killed_run_ended_when_it_was_written_last(site: Site, mode: str) -> None:
    """Online its records are with the tracker, and the spool is empty but for its time.

    The tracker is gone when it is killed, so that only who collects sees that.
    """
    if mode == "online":
        site.serve()
    process, recorded_ns = hang(site, SPROV_MODE=mode)
    if mode == "online":
        wait_until(lambda: site.count("?s a sprov:Series"))
        site.stop()
    alive_ns = kill(process)
    site.sprov("ingest")

    (row,) = json.loads(site.sprov("runs", "--format", "json"))
    ended_ns = nanoseconds(row["ended"])
    assert row["state"] == "killed"
    assert recorded_ns - SECOND_NS <= ended_ns <= alive_ns
    told = json.loads(site.sprov("show", "@last", "--format", "json"))
    (attempt,) = told["attempts"]
    assert attempt["ended"] == row["ended"] and nanoseconds(attempt["seen"]) > alive_ns
    assert "last sign; seen to have ended" in site.sprov("show", "@last")

    most_s = (alive_ns - nanoseconds(row["started"])) / SECOND_NS
    (lost,) = asked(site, "lost-time")
    assert 0 < lost["seconds"] <= most_s
    (cost,) = asked(site, "cost")
    assert 0 < cost["node_hours"] * 3600 <= most_s


def test_a_script_whose_exit_status_is_not_known_says_so(site: Site) -> None:
    (site.folder / "plain.py").write_text("import pllib\nsession = pllib.open()\n")
    site.run(str(site.folder / "plain.py"), SPROV_MODE="offline")
    site.sprov("ingest")
    told = json.loads(site.sprov("show", "@last", "--format", "json"))
    assert [(a["state"], a["exit_status_known"]) for a in told["attempts"]] == [
        ("completed", False)
    ]
    assert "exit status not known" in site.sprov("show", "@last")


def test_that_only_some_ranks_open_a_session_leaves_nothing_unfinished(site: Site) -> None:
    environment = {"RANK": "0", "WORLD_SIZE": "4", "TORCHELASTIC_RUN_ID": "r", "LOCAL_RANK": "0"}
    site.run("training.py", SPROV_MODE="offline", **environment)
    site.sprov("ingest")
    (row,) = json.loads(site.sprov("runs", "--format", "json"))
    assert (row["state"], row["ranks"]) == ("completed", 4)
    assert [asked(site, name) for name in ("unfinished", "running", "lost-time")] == [[], [], []]
    assert [one["state"] for one in asked(site, "outcome")] == ["completed"]


@pytest.fixture(params=["pidfd", "/proc"])
def watching(site: Site, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A served project; the tracker has pidfd, or is of a kernel that lacks it."""
    if request.param == "/proc":
        folder = site.folder / "old kernel"
        folder.mkdir()
        (folder / "sitecustomize.py").write_text("import os\ndel os.pidfd_open\n")
        monkeypatch.setenv("PYTHONPATH", str(folder))
    site.serve()
    return site


def state(site: Site) -> str:
    live = ["--live"] if site.server else []
    rows = json.loads(site.sprov("runs", "--format", "json", *live))
    return str(rows[0]["state"]) if rows else ""


@pytest.mark.parametrize("how", [["7"], []], ids=["os._exit", "SIGKILL"])
def test_a_tracker_sees_ranks_of_its_node_end_without_a_word(
    watching: Site, how: list[str]
) -> None:
    """Nobody collects, and no `sprov run` is around them."""
    process = watching.start("hanging.py", *how)
    recorded_ns = int(process.stdout.readline())
    if how:
        assert process.wait(60) == 7
    else:
        wait_until(lambda: state(watching) == "running")
        process.kill()
        process.communicate()
    gone_ns = time.time_ns()

    wait_until(lambda: state(watching) == "killed")
    (row,) = json.loads(watching.sprov("runs", "--format", "json", "--live"))
    assert recorded_ns - SECOND_NS <= nanoseconds(row["ended"]) < gone_ns + 10 * SECOND_NS
    points = watching.sprov("metrics", "@last", "loss", "--csv", "--live").splitlines()
    assert len(points) == 1 + 20  # what was left in the spool, too
    watching.sprov("ingest")
    assert state(watching) == "killed"


def test_a_session_that_ended_in_order_is_not_told_of(served: Site) -> None:
    """Its process ends after it; the tracker sees that, and another one end without a word."""
    served.run("training.py", "")
    hung = served.start("hanging.py")
    hung.stdout.readline()
    kill(hung)
    states = {"completed": 1, "killed": 1}

    def found() -> dict[str, int]:
        rows = json.loads(served.sprov("runs", "--format", "json", "--live"))
        names = [row["state"] for row in rows]
        return {name: names.count(name) for name in names}

    wait_until(lambda: found() == states)
    assert served.count("?a sprov:outcome ?o") == 1


def test_silence_of_a_rank_on_another_node_is_no_end(served: Site) -> None:
    """Nor is that of a process that is not here; the tracker does see one that is."""
    if os.geteuid() or shutil.which("unshare") is None:
        lack("a namespace of host names needs root")
    program = f"hostname elsewhere && exec {sys.executable} {PROGRAMS / 'hanging.py'}"
    local = served.folder / "a disk of its node"
    away = subprocess.Popen(
        ["unshare", "--uts", "sh", "-c", program],
        cwd=served.folder, env=served.environment(SPROV_SPOOL_DIR=str(local)),
        text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    served.started.append(away)
    assert away.stdout is not None and away.stdout.readline()
    wait_until(lambda: state(served) == "running")
    kill(away)
    here = served.start("hanging.py")
    here.stdout.readline()
    kill(here)

    def states() -> dict[str, str]:
        query = """SELECT ?host ?run { ?agent prov:atLocation/rdfs:label ?host ; sprov:run ?run }"""
        hosts = {row["run"]: row["host"] for row in served.select(query)}
        rows = json.loads(served.sprov("runs", "--format", "json", "--live"))
        return {hosts[row["run"]]: row["state"] for row in rows if row["run"] in hosts}

    wait_until(lambda: "killed" in states().values())
    assert states()["elsewhere"] == "running"
    run = min(json.loads(served.sprov("runs", "--format", "json")), key=lambda r: r["started"])
    silent = asked(served, "silent-ranks", "-p", f"run={run['run']}", "-p", "seconds=0", "--live")
    assert [row["host"] for row in silent] == ["elsewhere"]

    def lost() -> list[dict[str, Any]]:
        tracker = json.loads(served.sprov("status", "--format", "json"))["tracker"]
        return list(tracker["silent_ranks"])

    assert [rank["host"] for rank in wait_until(lost, every_s=0.5)] == ["elsewhere"]
    away_row, here_row = json.loads(served.sprov("runs", "--format", "json"))
    assert away_row["silent_ranks"] == 1 and away_row["silent_s"] > 0
    assert (here_row["silent_ranks"], here_row["silent_s"]) == (None, None)
    assert "running (silent for " in " ".join(served.sprov("runs").split())
    assert "how it ended is not known" in served.sprov("status")
    assert states()["elsewhere"] == "running"


def test_what_slurm_says_of_ranks_that_opened_no_session_is_the_state_in_every_answer(
    site: Site,
) -> None:
    site.run(
        "training.py", SPROV_MODE="offline", SLURM_CLUSTER_NAME="test", SLURM_JOB_ID="4300",
        SLURM_STEP_ID="0", SLURM_PROCID="0", SLURM_STEP_NUM_TASKS="4",
    )  # fmt: skip
    site.sprov("ingest")
    assert (state(site), asked(site, "unfinished")) == ("completed", [])

    failed = Accounted(0, "test", "4300", "0", 0, "sacct", "FAILED", time.time_ns())
    telling.tell(site.project, telling.job_run("test", "4300"), [failed])
    site.sprov("ingest")
    assert (state(site), asked(site, "running")) == ("failed", [])
    for question in ("unfinished", "failed-attempts"):
        assert [row["state"] for row in asked(site, question)] == ["failed"], question
    assert "1 of 4 seen; Slurm says that the others ended as failed" in site.sprov("show", "@last")
