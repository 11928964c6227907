"""One segment that can't be read stops nothing: it is skipped and named, and the status is 3."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from harness import TRANSFORMATIONS, Site, wait_until
from keeping import N_STEPS, fill

from pllib.delivery import ask_status
from pllib.log import HEADER_BYTES, LogReader
from pllib.project import read_endpoint
from tracker.journal import segments


@pytest.fixture
def stored(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Site:
    return fill(site, tmp_path_factory.getbasetemp() / "unreadable")


def spoil(site: Site, how: str) -> tuple[Path, int]:
    """Spoil the second segment; return its path, and how many records were in it."""
    _, path = segments(site.project.journal / "job")[1]
    with LogReader(path) as reader:
        n_records = sum(located.frame.n_records for located in reader.frames())
    path.with_suffix(".sealed").unlink(missing_ok=True)
    path.write_bytes(b"" if how == "empty" else b"x" * HEADER_BYTES)
    return path, n_records


@pytest.mark.parametrize("how", ["empty", "junk"])
def test_ingest_and_rebuild_go_on_without_a_segment(stored: Site, how: str):
    path, n_records = spoil(stored, how)
    stored.run("steps.py", "7", SPROV_MODE="offline")
    said = stored.attempt("ingest")
    assert said.returncode == 3
    assert f"segment {path} is skipped" in said.stderr
    assert stored.count(TRANSFORMATIONS) == N_STEPS + 7

    said = stored.attempt("rebuild")
    assert said.returncode == 3
    assert f"segment {path} is skipped" in said.stderr
    rest = stored.count(TRANSFORMATIONS)
    assert N_STEPS + 7 - n_records <= rest < N_STEPS + 7
    verified = stored.attempt("verify", "--format", "json")
    assert verified.returncode == 1
    assert any(path.name in line for line in json.loads(verified.stdout)["problems"])


def test_a_tracker_serves_and_says_what_it_skips(stored: Site):
    path, _ = spoil(stored, "empty")
    stored.serve("--name", "job")
    stored.run("steps.py", "7", SPROV_ENDPOINT="job")
    says = f"segment {path} is skipped"
    wait_until(lambda: says in ask_status(read_endpoint(stored.project.endpoint("job")))["trouble"])
    assert says in stored.sprov("status", SPROV_ENDPOINT="job")
    assert stored.count(TRANSFORMATIONS) == N_STEPS + 7
