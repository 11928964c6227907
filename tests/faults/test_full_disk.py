"""A disk that is full is an error of ours, said in one line, and never one of the user's."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from harness import TIMEOUT_S, lack

from pllib.log import LogReader
from pllib.records import AnyRecord, Closed, Ended, Summary, Transformation, decode_values

SCRIPT = str(Path(sys.executable).with_name("sprov"))


def has_namespaces() -> bool:
    command = [
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "mount",
        "-t",
        "tmpfs",
        "x",
        "/mnt",
    ]
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def on_small_disk(folder: Path, kib: int, program: str) -> subprocess.CompletedProcess[str]:
    """Run a shell program in a folder that is a tmpfs of `kib` KiB, in a mount namespace."""
    script = f"mount -t tmpfs -o size={kib}k small {folder} && cd {folder} && {program}"
    namespace = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script]
    environment = {**os.environ, "SPROV_DIR": str(folder / ".sprov")}
    return subprocess.run(
        namespace, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )


@pytest.fixture(autouse=True)
def namespaces() -> None:
    if not has_namespaces():
        lack("no mount namespaces here (unshare --user --mount)")


def test_a_rank_whose_disk_is_full_goes_on_and_counts(tmp_path):
    """Growing stops at what the disk has; the block's own work is not disturbed."""
    program = textwrap.dedent(
        """
        import pllib
        with pllib.open(mode="offline") as session:
            for n in range(60000):
                with session.transformation("step", used={"n": n, "t": "x" * 100}) as step:
                    step.generated(m=n)
            lost = sum(session.lost.values())
            kept = sum(writer.n_records for writer in session._writers)
        print(lost, kept)
        """
    )
    (tmp_path / "work").mkdir()
    path = tmp_path / "program.py"
    path.write_text(program)
    done = on_small_disk(tmp_path / "work", 6000, f"{sys.executable} {path}")
    assert done.returncode == 0, done.stderr
    lost, kept = (int(word) for word in done.stdout.split())
    assert lost > 0
    assert kept > 1000
    assert lost + kept >= 60000
    assert "Traceback" not in done.stderr
    assert "spool full" in done.stderr


def test_a_program_runs_on_where_no_spool_has_space(tmp_path):
    program = "import pllib; print(pllib.open(mode='offline').status)"
    done = on_small_disk(tmp_path, 64, f'{sys.executable} -c "{program}"')
    assert (done.returncode, done.stdout) == (0, "off\n")
    (line,) = done.stderr.splitlines()
    assert "SPROV_SPOOL_DIR" in line
    assert "No space left" in line


def test_ingest_on_a_full_disk_says_so_and_keeps_the_logs(tmp_path):
    (tmp_path / "work").mkdir()
    program = tmp_path / "steps.py"
    program.write_text(
        "import pllib\n"
        "with pllib.open(mode='offline', settings={'spool_dir': '/dev/shm'}) as session:\n"
        "    for n in range(8000):\n"
        "        with session.transformation('step', used={'n': n}) as step:\n"
        "            step.generated(m=n)\n"
    )
    steps = [
        f"{sys.executable} {program}",
        "ls .sprov/spool/*.log",
        "cat /dev/zero > filler",
        f"{SCRIPT} ingest",
        "echo status $?",
        "rm filler",
        f"{SCRIPT} ingest",
        f"{SCRIPT} query 'SELECT (COUNT(*) AS ?n) {{ ?a a provml:DataTransformationExecution }}'",
    ]
    done = on_small_disk(tmp_path / "work", 120_000, "; ".join(steps))
    assert "status 0" not in done.stdout
    assert "Traceback" not in done.stderr
    assert "8000" in done.stdout.split(), done.stdout + done.stderr


FULL_AND_BACK = """
import json, os, sys, time
import pllib

def fill(path):
    with open(path, "wb", buffering=0) as file:
        try:
            while file.write(bytes(16384)) == 16384: pass
        except OSError: pass

def capture(session, count):
    global n
    for _ in range(count):
        with session.transformation("step", used={"n": n, "t": "x" * 100}): n += 1

def kept(session):
    before = sum(session.lost.values())
    capture(session, 1)
    return sum(session.lost.values()) == before

def until(condition):
    began = time.monotonic()
    while not condition():
        assert time.monotonic() < began + 60, "not within 60 s"
        time.sleep(0.02)

n = 0
with pllib.open(mode="offline", settings=json.loads(sys.argv[1])) as session:
    EVENTS
    path = session.spool_path
print(json.dumps([n, sum(session.lost.values()), path.exists()]))
"""


def run_while_full(folder: Path, kib: int, events: str, settings: dict[str, object]) -> list[int]:
    """Run a program whose disk fills; return its calls, those lost, and whether a spool is left.

    Its logs are copied to `folder/spool`.
    """
    (folder / "work").mkdir()
    path = folder / "program.py"
    path.write_text(
        FULL_AND_BACK.replace("EVENTS", textwrap.indent(textwrap.dedent(events), "    ").strip())
    )
    logs = "cp -r .sprov/spool .."
    command = f"{sys.executable} {path} {shlex.quote(json.dumps(settings))} && {logs}"
    done = on_small_disk(folder / "work", kib, command)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def read_logs(folder: Path) -> list[AnyRecord]:
    found: list[AnyRecord] = []
    for log in folder.glob("*.log"):
        with LogReader(log) as reader:
            found += [r for located in reader.frames() for r in located.frame.records()]
            assert (reader.corrupt, reader.torn) == ([], 0)
    return found


def full_and_back(folder: Path, kib: int, events: str, settings: dict[str, object]) -> list[int]:
    """Run a program whose disk fills and empties; return its calls, those lost, those in logs."""
    n_calls, n_lost, is_left = run_while_full(folder, kib, events, settings)
    assert not is_left
    records = read_logs(folder / "spool")
    found = [decode_values(r.used)[0] for r in records if isinstance(r, Transformation)]
    assert len(found) == len(set(found))
    return [n_calls, n_lost, len(found)]


def test_captures_are_kept_again_once_a_full_disk_has_space(tmp_path):
    """Without a restart; and all that was kept before and meanwhile is in the log."""
    events = """
        fill("filler")
        while not session.lost:
            capture(session, 100)
        capture(session, 20000)
        os.truncate("filler", os.path.getsize("filler") - (4 << 20))
        until(lambda: kept(session))
        n_lost = sum(session.lost.values())
        while sum(session.lost.values()) < n_lost + 2:
            capture(session, 100)
        os.unlink("filler")
        until(lambda: kept(session))
        capture(session, 1000)
    """
    n_calls, n_lost, n_found = full_and_back(tmp_path, 24_000, events, {})
    assert n_lost > 10_000
    assert n_found == n_calls - n_lost


def test_a_project_on_a_full_disk_costs_nothing_while_the_spool_has_room(tmp_path):
    """The outbox goes on where it was cut back to, once there is space."""
    events = """
        capture(session, 1000)
        until(lambda: not session._sender.unacked and session._sender.n_frames)
        fill("filler")
        capture(session, 20000)
        until(lambda: session._sender.trouble)
        os.unlink("filler")
        capture(session, 1000)
        until(lambda: not session._sender.unacked)
    """
    settings = {"spool_dir": f"/dev/shm/{tmp_path.parent.name}-{tmp_path.name}"}
    n_calls, n_lost, n_found = full_and_back(tmp_path, 24_000, events, settings)
    shutil.rmtree(str(settings["spool_dir"]))
    assert n_lost == 0
    assert n_found == n_calls == 22_000


def test_a_session_says_its_end_on_a_disk_that_stays_full(tmp_path):
    """Its log has room for that from the start; the spool in memory goes with the job.

    While nothing can be moved, what is captured goes on in the chunk that there is.
    """
    events = """
        from pllib import sender
        sender.OFFLINE_AGE_S = 0.01
        capture(session, 10)
        session.metric("loss", 1.0, step=1)
        until(lambda: session._sender.n_frames and not session._sender.unacked)
        fill("filler")
        until(lambda: capture(session, 1) or session._sender.trouble)
        ticks = set()
        until(lambda: capture(session, 1) or ticks.add(session._tick_at) or len(ticks) > 20)
        assert len(session._sender.unacked) <= 2, session._sender.unacked
    """
    spool = Path(f"/dev/shm/{tmp_path.parent.name}-{tmp_path.name}")
    settings = {"spool_dir": str(spool), "flush_age_s": 0.01}
    n_calls, n_lost, is_left = run_while_full(tmp_path, 2_000, events, settings)
    shutil.rmtree(spool)
    records = read_logs(tmp_path / "spool")
    (closed,) = (record for record in records if isinstance(record, Closed))
    assert (n_lost, is_left, closed.lost) == (0, True, {})
    assert closed.n_records >= n_calls > 30
    n_kept = sum(isinstance(record, Transformation) for record in records)
    assert n_kept >= 10
    assert [type(record) for record in records if isinstance(record, (Ended, Summary))] == [
        Summary,
        Ended,
    ]
