"""When a killed run ended: at the last sign of it, whoever looked when."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from harness import Site, wait_until

from pllib.moments import nanoseconds

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
    """Online its records are with the tracker, and the spool is empty but for its time."""
    live = ["--live"] if mode == "online" else []
    if live:
        site.serve()
    process, recorded_ns = hang(site, SPROV_MODE=mode)
    if live:
        wait_until(lambda: site.count("?s a sprov:Series"))
    alive_ns = kill(process)
    site.sprov("ingest")

    (row,) = json.loads(site.sprov("runs", "--format", "json", *live))
    ended_ns = nanoseconds(row["ended"])
    assert row["state"] == "killed"
    assert recorded_ns - SECOND_NS <= ended_ns <= alive_ns
    told = json.loads(site.sprov("show", "@last", "--format", "json", *live))
    (attempt,) = told["attempts"]
    assert attempt["ended"] == row["ended"] and nanoseconds(attempt["seen"]) > alive_ns
    assert "last sign; seen to have ended" in site.sprov("show", "@last", *live)

    most_s = (alive_ns - nanoseconds(row["started"])) / SECOND_NS
    (lost,) = asked(site, "lost-time", *live)
    assert 0 < lost["seconds"] <= most_s
    (cost,) = asked(site, "cost", *live)
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
