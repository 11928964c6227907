"""`sprov serve` as a job has it: indexes apart, a range of ports, an end that is the script's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from harness import SCRIPT, TIMEOUT_S, TRANSFORMATIONS, Site, require_ipv6, wait_until

from pllib.listening import is_daemon
from pllib.project import read_endpoint, update_endpoint
from sprov import scratch
from sprov.daemons import Daemon, running


def start(site: Site, *options: str) -> subprocess.Popen[bytes]:
    ready = site.folder / "ready"
    ready.unlink(missing_ok=True)
    command = [SCRIPT, "serve", "--ready-file", str(ready), *options]
    site.server = subprocess.Popen(command, cwd=site.folder, env=site.environment())
    wait_until(lambda: ready.exists() or site.server.poll() is not None)
    assert ready.exists()
    return site.server


def test_a_jobs_indexes_are_not_the_projects(site: Site, tmp_path: Path):
    """They go with the daemons; the journal stays, and the project's store is made from it."""
    indexes = tmp_path / "node-local" / "4242"
    start(site, "--indexes", str(indexes), "--temporary", "--bind", "lo:40110-40149")
    site.run("points.py", "10")
    assert site.count("?run a provml:LearningExperimentExecution") == 1
    live = site.sprov("metrics", "@last", "loss", "--csv")
    assert live.count("loss") == 10
    assert 40110 <= site.endpoint.tracker_port <= 40149
    assert not site.project.store.exists()
    site.stop()
    assert not indexes.exists()
    site.sprov("ingest")
    assert site.sprov("metrics", "@last", "loss", "--csv") == live


@pytest.mark.parametrize("host", ["[::1]", "[::]"])
def test_daemons_bind_ipv6_and_ranks_connect(site: Site, host: str):
    require_ipv6()
    start(site, "--bind", f"{host}:40150-40189")
    site.run("points.py", "10", SPROV_MODE="online")
    assert site.count("?run a provml:LearningExperimentExecution") == 1
    assert site.verify()["agree"]
    assert 40150 <= site.endpoint.tracker_port <= 40189
    if host == "[::1]":
        assert site.endpoint.tracker.startswith("tcp://[::1]:")
        assert site.endpoint.manager.startswith("http://[::1]:")
    assert not [*site.project.spool.iterdir()]
    site.stop()


def test_the_daemons_of_a_job_end_with_its_script_and_not_on_sigterm(site: Site):
    script = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    served = start(site, "--batch-pid", str(script.pid))
    for pid in (served.pid, site.endpoint.tracker_pid, site.endpoint.manager_pid):
        os.kill(pid, signal.SIGTERM)
    site.run("steps.py", "10")
    assert site.count(TRANSFORMATIONS) == 10
    script.communicate(b"\n")
    assert served.wait(TIMEOUT_S) == 0
    assert site.endpoint.tracker == ""


def test_a_killed_program_is_told_to_have_been_killed(site: Site):
    program = site.start("steps.py", "100000000")
    wait_until(lambda: list(site.project.spool.glob("*.spool")))
    program.kill()
    program.wait()
    site.sprov("ingest")
    assert site.count('?execution sprov:outcome "killed"') == 1
    assert list(site.project.spool.iterdir()) == []


def test_what_killed_jobs_left_is_swept(tmp_path: Path):
    for name, age_s in (("left", 2 * scratch.LEFT_S), ("recent", 0.0)):
        (tmp_path / name / "store").mkdir(parents=True)
        (tmp_path / name / "store.lock").touch()
        at = time.time() - age_s
        os.utime(tmp_path / name / "store", (at, at))
    scratch.sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["recent"]


def pids(site: Site) -> list[int]:
    return [site.endpoint.tracker_pid, site.endpoint.manager_pid]


def are_gone(processes: list[int]) -> bool:
    return not any(is_daemon(pid) for pid in processes)


def is_interrupted(pid: int) -> bool:
    """Tell whether SIGINT waits for a process.  Source: proc(5), ``ShdPnd``."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (pending,) = (line.split()[1] for line in lines if line.startswith("ShdPnd"))
    return bool(int(pending, 16) & 1 << signal.SIGINT - 1)


def test_daemons_end_with_a_serve_that_is_killed(site: Site):
    """And what they serve can be served again at once, ended, and taken in."""
    served = start(site)
    site.run("steps.py", "5")
    left = pids(site)
    served.kill()
    served.wait()
    start(site)
    assert are_gone(left)
    assert site.count(TRANSFORMATIONS) == 5
    left = pids(site)
    site.server.kill()
    site.server.wait()
    wait_until(lambda: are_gone(left))
    assert "no daemon runs here" in site.sprov("stop", status=4)
    site.sprov("ingest")
    assert site.verify()["journalled"] == site.verify()["captured"]


def test_a_daemon_is_found_by_its_name_and_through_links(site: Site, tmp_path: Path):
    """One that the endpoint file does not tell of, where the project is seen under another path."""
    (tmp_path / "home").symlink_to(site.folder)
    endpoints = tmp_path / "home" / ".sprov" / "endpoints"
    site.project.create()
    command = [SCRIPT, "tracker", "serve", "--name=4242"]
    with subprocess.Popen(command, cwd=site.folder, env=site.environment()) as tracker:
        file = site.project.endpoint("4242")
        wait_until(lambda: file.exists() and read_endpoint(file).tracker)
        file.unlink()
        assert running(endpoints / "local.json") == []
        assert running(endpoints / "4242.json") == [tracker.pid]
        tracker.terminate()


def test_stop_ends_daemons_that_outlive_their_serve(site: Site):
    """Stopped ones do not see that it is gone; nor does the endpoint file need to tell of them."""
    served = start(site)
    left = pids(site)
    for pid in left:
        os.kill(pid, signal.SIGSTOP)
    served.kill()
    served.wait()
    (site.project.endpoints / "local.json").unlink()
    stopping = subprocess.Popen([SCRIPT, "stop", "--name", "local"], env=site.environment())
    try:
        wait_until(lambda: any(map(is_interrupted, left)))
    finally:
        for pid in left:
            os.kill(pid, signal.SIGCONT)
    assert stopping.wait(TIMEOUT_S) == 0
    assert are_gone(left)


def test_a_daemon_that_is_killed_before_it_serves_is_not_restarted_at_once_for_ever(
    site: Site, capfd: pytest.CaptureFixture[str]
):
    """Each time it waits twice as long, and says so."""
    endpoint_file = site.project.endpoint("local")
    update_endpoint(endpoint_file, serve_pid=os.getpid())
    daemon = Daemon("tracker", ["sh", "-c", "kill -KILL $$"], endpoint_file)
    pauses = []
    for _ in range(3):
        daemon.process.wait()
        daemon.revive()
        pauses.append(daemon.process.pid)
        daemon._start_at = 0.001  # the pause is over
        daemon.revive()
    daemon.process.wait()
    daemon.stop()
    said = capfd.readouterr().err
    assert [line.rpartition("again in ")[2] for line in said.splitlines()] == ["1 s", "2 s", "4 s"]
    assert "tracker was ended by signal 9 before it served" in said
    assert len(set(pauses)) == 3
