"""Logs that no tracker took: in any order, any number of times, whole or broken."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from harness import TIMEOUT_S, TRANSFORMATIONS, Site

from pllib.errors import BusyError
from pllib.log import FRAME_BYTES, HEADER_BYTES, LogReader
from sprov.ingest import ingest
from sprov.keeping.holding import held

GRAPH = "CONSTRUCT { ?s ?p ?o } { ?s ?p ?o FILTER(?p NOT IN (sprov:watermark, sprov:journal)) }"


@pytest.fixture
def logs(site: Site) -> list[Path]:
    """Three programs' offline logs."""
    for _ in range(3):
        site.run("training.py")
    return sorted(site.project.spool.glob("*.log"))


def first_frame(log: Path) -> int:
    """Return where in a log the first frame with records begins."""
    with LogReader(log) as reader:
        return next(reader.frames()).offset


def graph(site: Site) -> list[str]:
    """Return the store's triples but those that say how far it is, sorted."""
    lines = site.sprov("query", GRAPH, "--format", "ntriples").splitlines()
    return sorted(line for line in lines if "/id/queue/" not in line and "seriesFile" not in line)


def test_logs_in_any_order_and_twice_give_one_graph(site: Site, logs, tmp_path_factory):
    graphs = []
    for order in itertools.permutations(logs):
        other = Site(tmp_path_factory.mktemp("other"))
        for path in (*order, order[0]):
            other.sprov("ingest", str(path))
        graphs.append(graph(other))
        assert all(path.exists() for path in logs)
    assert len(graphs) == 6
    assert all(found == graphs[0] for found in graphs)
    assert sum("LearningExperimentExecution" in line for line in graphs[0]) == 3


def test_through_a_tracker_they_give_the_same_graph(site: Site, logs, tmp_path_factory):
    site.sprov("ingest", *map(str, logs))
    with Site(tmp_path_factory.mktemp("served")) as other:
        other.serve()
        assert "handed to the running tracker" in other.sprov("ingest", *map(str, logs))
        other.count("?s ?p ?o")
        assert graph(other) == graph(site)
        other.verify()


def test_rebuild_makes_the_same_graph_from_the_journal(site: Site, logs):
    site.sprov("ingest")
    before, points = graph(site), site.sprov("metrics", "@last", "--csv")
    shutil.rmtree(site.project.store)
    shutil.rmtree(site.project.series)
    site.sprov("rebuild")
    assert graph(site) == before
    assert site.sprov("metrics", "@last", "--csv") == points
    site.verify()


def test_a_corrupt_log_gives_what_is_intact_and_stays(site: Site):
    site.run("steps.py", "5000", SPROV_FLUSH_BYTES="4096")
    (log,) = site.project.spool.glob("*.log")
    data = bytearray(log.read_bytes())
    at = first_frame(log)
    data[at + FRAME_BYTES + 100] ^= 1
    log.write_bytes(data)
    errors = site.sprov("ingest", status=3)
    assert f"bad frame at byte {at}" in errors
    assert "sprov log salvage" in errors
    assert log.exists()
    assert 4800 < site.count(TRANSFORMATIONS) < 5000
    problems = site.sprov("verify", "--format", "json", status=1)
    assert problems == ""


def test_salvage_keeps_every_intact_frame(site: Site):
    site.run("steps.py", "5000", SPROV_FLUSH_BYTES="4096")
    (log,) = site.project.spool.glob("*.log")
    data = bytearray(log.read_bytes())
    data[first_frame(log) + 10] ^= 255
    log.write_bytes(data)
    whole = site.folder / "whole.log"
    assert "1 lost" in site.sprov("log", "salvage", str(log), "-o", str(whole))
    site.sprov("ingest", str(whole))
    assert 4800 < site.count(TRANSFORMATIONS) < 5000


def test_verify_notices_a_journal_that_lost_a_frame_and_a_store_that_lost_records(site: Site):
    site.run("steps.py", "5000", SPROV_FLUSH_BYTES="4096")
    site.sprov("ingest")
    assert site.verify()["captured"] == 5003
    (journal,) = site.project.journal.glob("ingest/*.log")
    whole = journal.read_bytes()
    broken = bytearray(whole)
    broken[HEADER_BYTES + FRAME_BYTES + 50] ^= 1
    journal.write_bytes(broken)
    site.sprov("verify", status=1)
    journal.write_bytes(whole)
    site.verify()
    shutil.rmtree(site.project.store)
    shutil.rmtree(site.project.snapshots)
    site.run("steps.py", "1")
    shutil.move(site.project.journal / "ingest", site.folder / "aside")
    site.sprov("ingest")
    shutil.move(site.folder / "aside", site.project.journal / "earlier")
    site.sprov("verify", status=1)


def start_ingest(site: Site) -> subprocess.Popen[str]:
    return subprocess.Popen(
        site.command("ingest"), cwd=site.folder, env=site.environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    return process.stderr.readline()


def end(process: subprocess.Popen[str]) -> str:
    """Return what it goes on to print."""
    out, errors = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, errors
    return out


def test_a_tracker_that_is_started_again_is_waited_for(served: Site):
    """`sprov serve` stands still at first, so that the wait is seen."""
    served.run("steps.py", "5", SPROV_MODE="offline")
    assert served.server is not None
    served.server.send_signal(signal.SIGSTOP)
    try:
        os.kill(served.endpoint.tracker_pid, signal.SIGKILL)
        taking = start_ingest(served)
        expected = f"sprov: the tracker of `sprov serve`, process {served.server.pid}, does not"
        assert first_line(taking).startswith(f"{expected} answer: waiting")
    finally:
        served.server.send_signal(signal.SIGCONT)
    assert "1 log(s) with 1 frame(s) handed to the running tracker" in end(taking)
    assert served.count(TRANSFORMATIONS) == 5


def test_another_writer_of_the_store_is_waited_for(site: Site):
    site.run("steps.py", "5")
    with held(site.project.root / "store.lock") as free:
        assert free
        taking = start_ingest(site)
        said = first_line(taking)
        assert said.startswith("sprov: another process is writing the store beside ")
        assert "waiting, for 60 s at most" in said
    assert "8 record(s) stored" in end(taking)


def test_another_writer_is_not_waited_for_for_ever(site: Site, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SPROV_DIR", str(site.project.root))
    monkeypatch.setattr("sprov.ingest.BUSY_S", 0.1)
    with held(site.project.root / "store.lock"), pytest.raises(BusyError, match="`sprov stop`"):
        ingest.callback(logs=(), gone=False)  # type: ignore[misc]
