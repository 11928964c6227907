"""Asking while a job runs: what is live, and of when an answer is that is not."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import psutil
from harness import TRANSFORMATIONS, Site, wait_until

from pllib.delivery import ask_status
from query.engine import find_engine

COUNT = f"SELECT (COUNT(*) AS ?n) {{ {TRANSFORMATIONS} }}"


def test_a_live_query_is_answered_while_ranks_go_on_recording(served: Site):
    """It waits for what was durable when it was asked: two ranks of 20 records a second."""
    program = served.start("steps.py", "100000", "--mpi", "--pace", "0.05", ranks=2)
    wait_until(lambda: served.count(TRANSFORMATIONS) > 20)
    before = 0
    for _ in range(8):
        counted = json.loads(served.attempt("query", COUNT, "--live", "--format", "json").stdout)
        now = int(counted["results"]["bindings"][0]["n"]["value"])
        assert now > before
        before = now
    assert program.poll() is None
    program.terminate()


def test_a_live_query_sees_all_that_was_journalled_before_it(served: Site):
    """Also when the manager is killed that had taken it."""
    for n_records in (200, 400, 600):
        served.run("steps.py", "200")
        served.kill("manager")
        assert served.count(TRANSFORMATIONS) == n_records


def test_a_live_query_is_answered_by_a_manager_that_was_restarted_while_nothing_happened(
    served: Site,
):
    """A tracker that has nothing to hand over does not notice that."""
    served.run("steps.py", "3")
    wait_until(lambda: ask_status(served.endpoint)["settled"])
    served.kill("manager")
    assert served.count(TRANSFORMATIONS) == 3


def test_without_a_manager_nothing_is_live(site: Site):
    site.run("steps.py", "3")
    site.sprov("ingest")
    for command in (["query", COUNT], ["runs"], ["show"], ["ask", "outcome"], ["lineage", "@last"]):
        assert "--live needs a running manager" in site.sprov(*command, "--live", status=4)
    assert "3" in site.sprov("query", COUNT)


def test_an_answer_that_is_not_live_says_of_when_it_is(site: Site):
    """Once, on stderr, so that what is parsed stays what it was; and which logs wait."""
    site.run("steps.py", "3")
    site.sprov("ingest")
    before = site.attempt("runs", "--format", "json")
    assert before.stderr.startswith("sprov: as of 2")
    assert before.stderr.endswith("Z, when the store last changed\n")
    site.run("steps.py", "2")
    for command in (["runs"], ["ask", "outcome"], ["diff", "@last", "@last"], ["query", COUNT]):
        line = site.attempt(*command).stderr
        assert line.count("as of") == 1
        assert line == before.stderr.strip() + "; 1 log(s) wait for `sprov ingest`\n"
    site.serve()
    site.sprov("ingest")
    told = site.attempt("runs").stderr
    assert told.count("as of") == 1
    assert "--live" in told
    assert site.attempt("runs", "--live").stderr == ""
    site.run("steps.py", "2", SPROV_MODE="offline")
    for command in (["runs"], ["ask", "outcome"]):
        said = site.attempt(*command, "--live").stderr
        assert said == "sprov: 1 log(s) wait for `sprov ingest`\n"


def test_tables_are_verified_while_a_run_goes_on(served: Site):
    """All that is compared is one snapshot, though there are others by then."""
    program = served.start("steps.py", "100000", "--pace", "0.01")
    wait_until(lambda: served.count(TRANSFORMATIONS) > 20)
    for _ in range(2):
        found = json.loads(served.sprov("verify", "--tables", "--format", "json"))
        assert found["problems"] == []
    assert program.poll() is None
    program.terminate()
    assert not list(served.project.root.glob("pinned-*"))


def deleted_files(site: Site) -> list[str]:
    """Return what the manager's query processes have open of snapshots that is deleted."""
    found = []
    for process in psutil.Process(site.endpoint.manager_pid).children():
        for link in Path(f"/proc/{process.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found.append(str(link.readlink()))
    snapshots = str(site.project.snapshots)
    return [name for name in found if name.startswith(snapshots) and name.endswith("(deleted)")]


def test_query_processes_that_nobody_asks_let_go_of_deleted_snapshots(served: Site):
    served.run("steps.py", "5")
    engine = find_engine(served.project)
    engine.flush()
    for _ in range(4):  # both processes are asked
        assert engine.select(COUNT) == [{"n": "5"}]
    asked = (served.project.snapshots / "current").resolve()
    while asked.exists():  # two snapshots are kept
        served.run("steps.py", "5")
        engine.flush()
    wait_until(lambda: not deleted_files(served))
    assert int(engine.select(COUNT)[0]["n"]) > 5
