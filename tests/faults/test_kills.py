"""SIGKILL of ranks and daemons: nothing that was captured is lost, nothing is there twice."""

from __future__ import annotations

import os
import signal

import pytest
from harness import TIMEOUT_S, TRANSFORMATIONS, Site, wait_until
from killing import Killing, check_all, check_sessions, check_states

STEPS = 5000


def numbers(site: Site) -> list[int]:
    """Return the `n` of every step in the store, in order."""
    rows = site.select(
        f"""SELECT ?n {{ {TRANSFORMATIONS} ; prov:used ?u .
            ?u prov:value ?n ; provml:ofAttribute/rdfs:label "n" }}"""
    )
    return sorted(int(row["n"]) for row in rows)


@pytest.mark.parametrize("online", [False, True])
def test_a_killed_rank_loses_nothing_that_it_captured(site: Site, online: bool):
    """Its spool has what the tracker has not; `sprov ingest` takes it from there."""
    if online:
        site.serve()
    done = site.folder / "done"
    rank = site.start("steps.py", str(STEPS), "--hang", str(done))
    wait_until(done.exists)
    os.kill(rank.pid, signal.SIGKILL)
    rank.wait()
    site.sprov("ingest")
    assert numbers(site) == list(range(STEPS))
    assert list(site.project.spool.iterdir()) == []
    assert site.verify()["sessions_not_ended"] == 1
    (row,) = site.select("SELECT ?s { ?s a provml:WorkflowExecution ; prov:startedAtTime ?t }")
    assert row["s"]


def test_the_spool_of_a_living_rank_is_left_alone(site: Site):
    done = site.folder / "done"
    rank = site.start("steps.py", "10", "--hang", str(done))
    wait_until(done.exists)
    site.sprov("ingest")
    assert rank.poll() is None
    assert len(list(site.project.spool.glob("*.spool"))) == 1


@pytest.mark.parametrize("daemon", ["tracker", "manager"])
def test_a_daemon_killed_in_mid_run_loses_and_doubles_nothing(served: Site, daemon: str):
    """Three SIGKILLs while a rank captures: each time it goes on from its watermark."""
    enough = served.folder / "enough"
    rank = served.start("steps.py", "500", "--pace", "0.0005", "--until", str(enough))
    seen = 0
    for _ in range(3):
        seen = wait_until(lambda: _more(served, seen))  # noqa: B023
        served.kill(daemon)
    enough.touch()
    out, errors = rank.communicate(timeout=TIMEOUT_S)
    assert rank.returncode == 0, errors
    served.sprov("ingest")
    assert numbers(served) == list(range(int(out)))
    report = served.verify()
    assert report["captured"] == report["journalled"] > int(out)


def test_a_manager_killed_after_the_run_gets_again_what_it_had_not_stored(served: Site):
    """Nobody sends any more, so only the tracker's own asking can notice."""
    served.run("steps.py", str(STEPS))
    served.kill("manager")
    assert numbers(served) == list(range(STEPS))
    served.verify()


def _more(site: Site, than: int) -> int:
    """Return how many steps can be seen, if there are more of them."""
    import json

    query = f"SELECT (COUNT(*) AS ?n) {{ {TRANSFORMATIONS} }}"
    found = json.loads(site.sprov("query", query, "--format", "json"))
    n = int(found["results"]["bindings"][0]["n"]["value"])
    return n if n > than else 0


def test_without_a_tracker_records_wait_for_ingest(site: Site):
    """The run says once that it is offline; ingest stores all of it; a second time adds nothing."""
    errors = site.run("steps.py", "100", "--mpi", ranks=2)
    assert errors.count("no tracker found") == 1
    assert "100 record" not in site.sprov("runs", status=4)
    site.sprov("ingest")
    assert numbers(site) == sorted([*range(100), *range(100)])
    before = site.count("?s ?p ?o")
    assert "0 record(s) stored" in site.sprov("ingest")
    assert site.count("?s ?p ?o") == before
    site.verify()


def test_a_tracker_that_is_gone_costs_a_bounded_wait_and_no_record(served: Site):
    """The endpoint says that there is one, but it is not: the end waits as set, then spools."""
    server, served.server = served.server, None
    pids = [served.endpoint.tracker_pid, served.endpoint.manager_pid]
    for pid in (server.pid, *pids):
        os.kill(pid, signal.SIGKILL)
    server.wait()
    errors = served.run("steps.py", "50", SPROV_CLOSE_TIMEOUT_S="0.2")
    assert "Traceback" not in errors
    assert len(list(served.project.spool.glob("*.log"))) == 1
    served.sprov("ingest")
    assert numbers(served) == list(range(50))


def test_ranks_daemons_and_query_workers_killed_while_somebody_looks_on(served: Site):
    """A few of each, in any order: nothing is lost, doubled or seen by half."""
    killing = Killing(served, n_ranks=2)
    order = ["tracker"] * 4 + ["manager"] * 2 + ["worker"] * 3 + ["rank"] * 3
    killing.draw.shuffle(order)
    for what in order:
        killing.go_on(300)
        killing.kill(what)
    seen = killing.end()
    check_all(served, killing.ranks)
    check_states(served, killing.ranks)
    assert (seen["half"], seen["shrunk"]) == (0, 0)
    assert seen["answered"] > 2
    check_sessions(served, killing.ranks)
