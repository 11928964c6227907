"""Who was killed is closed as killed, and as finished after all when its own end turns up late."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import SCRIPT, TIMEOUT_S, Site, wait_until
from killing import FAR, Rank, transformations

from pllib.project import read_endpoint

JOBS = ("4300", "4301")


def state(site: Site) -> str:
    (row,) = json.loads(site.sprov("runs", "--format", "json"))
    assert (row["ended"] is None) == (row["state"] == "unfinished")
    return str(row["state"])


def test_an_end_that_turns_up_in_a_late_log_counts_more_than_the_kill(served: Site) -> None:
    """A rank that leaves its end in a log is killed before its spool is gone.

    Who collects finds the spool of a dead process, without an end, and says that it was killed; the
    log is on a disk that comes back later.
    """
    stop = served.folder / "stop"
    rank = Rank(served, 0, stop, SPROV_CLOSE_TIMEOUT_S="0.2", DIES_AT_UNLINK="1")
    wait_until(lambda: served.count("?a a provml:DataTransformationExecution"))
    served.stop()
    stop.touch()
    rank.process.communicate(timeout=TIMEOUT_S)
    assert rank.process.returncode == -signal.SIGKILL
    (log,) = served.project.spool.glob("*.log")
    away = log.rename(served.folder / "away.log")

    served.sprov("ingest")
    assert state(served) == "killed"
    assert list(served.project.spool.iterdir()) == []

    served.sprov("ingest", str(away))
    assert state(served) == "completed"
    assert sorted(transformations(served)) == list(range(rank.returned["T"]))
    assert served.verify()["sessions_not_ended"] == 0


class Jobs:
    """Two services of one project, each with a store of its own, as two jobs have."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.servers = [self._start(name) for name in JOBS]
        self.killed: set[int] = set()

    def _start(self, name: str) -> subprocess.Popen[bytes]:
        ready, indexes = (self.site.folder / f"{word}-{name}" for word in ("ready", "indexes"))
        command = ["serve", "--name", name, "--indexes", str(indexes), "--ready-file", str(ready)]
        started = subprocess.Popen(
            [SCRIPT, *command], cwd=self.site.folder, env=self.site.environment()
        )
        wait_until(lambda: ready.exists() or started.poll() is not None)
        return started

    def kill_tracker(self, name: str) -> None:
        path = self.site.project.endpoints / f"{name}.json"
        pid = wait_until(lambda: ({read_endpoint(path).tracker_pid} - self.killed - {0}) or None)
        self.killed |= pid
        os.kill(*pid, signal.SIGKILL)

    def stop(self) -> None:
        for server in self.servers:
            server.terminate()
        for server in self.servers:
            assert server.wait(TIMEOUT_S) == 0


@pytest.fixture
def jobs(site: Site) -> Iterator[Jobs]:
    started = Jobs(site)
    yield started
    for server in started.servers:
        if server.poll() is None:
            server.terminate()
            server.wait(TIMEOUT_S)


def test_two_jobs_at_once_into_one_project_lose_nothing(jobs: Jobs) -> None:
    """With two ranks each and one that is offline; trackers and a rank are killed now and then."""
    site, stop = jobs.site, jobs.site.folder / "stop"
    ranks = [Rank(site, n, stop, SPROV_ENDPOINT=name) for n, name in enumerate(JOBS * 2)]
    ranks.append(Rank(site, 4, stop, SPROV_MODE="offline"))
    for n in range(1, 5):
        wait_until(lambda: min(rank.returned["T"] for rank in ranks[1:]) > 60 * n)  # noqa: B023
        jobs.kill_tracker(JOBS[n % 2])
        if n == 3:
            ranks[0].kill()
    stop.touch()
    for rank in ranks[1:]:
        rank.end()
    jobs.stop()
    site.sprov("ingest")
    found = transformations(site)
    assert len(found) == len(set(found))
    for nth, rank in enumerate(ranks):
        n_there = sum(n // FAR == nth for n in found)
        assert n_there - rank.returned["T"] in ((0, 1) if rank.was_killed else (0,))
    journals = {path.name for path in Path(site.project.journal).iterdir()}
    assert journals == {*JOBS, "ingest"}
    assert site.verify()["sessions"] == len(ranks)
