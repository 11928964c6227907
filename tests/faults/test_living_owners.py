"""What a process is writing is its own as long as it lives, wherever it lives."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from harness import PROGRAMS, Site, lack, wait_until

from pllib import waiting
from pllib.log import LogReader, pack_file_header

STEPS = str(PROGRAMS / "steps.py")
FORKING = """
import os, signal, sys, time
from pathlib import Path
import pllib
session = pllib.open(study="s", mode="offline")
with session.transformation("t", used={"a": 1}):
    pass
while not any(path.stat().st_size for path in Path(sys.argv[2]).glob("*.log")):
    time.sleep(0.01)  # what another thread opens in this moment is open in the child, too
child = os.fork()
if not child:
    Path(sys.argv[1]).write_text(str(os.getpid()))
    signal.pause()
while not Path(sys.argv[1]).exists():
    time.sleep(0.01)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def contained() -> list[str]:
    """What starts a command in a PID namespace of its own, as containers do."""
    command = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if subprocess.run([*command, "true"], capture_output=True).returncode:
        lack("no PID namespaces here (unshare --pid)")
    return command


def start(site: Site, command: list[str], **environment: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        command,
        cwd=site.folder,
        env=site.environment(SPROV_MODE="offline", SPROV_FLUSH_AGE_S="0.05", **environment),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    site.started.append(process)
    return process


def ingest(site: Site, *words: str) -> str:
    """Take in logs; return what is said on stderr."""
    process = start(site, site.command("ingest", *words))
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, out + errors
    return errors


def has_frames(site: Site) -> bool:
    """Tell whether a rank has written frames to its log, which it makes at its start."""
    for path in site.project.spool.glob("*.log"):
        if path.stat().st_size:
            with LogReader(path) as reader:
                return any(True for _ in reader.frames())
    return False


def runs(site: Site) -> list[tuple[str, int]]:
    found = json.loads(site.sprov("runs", "--format", "json"))
    return [(run["state"], run["ranks"]) for run in found]


def steps(site: Site) -> int:
    query = "SELECT (COUNT(*) AS ?n) { ?a a provml:DataTransformationExecution }"
    return int(site.sprov("query", query, "--format", "csv").split()[-1])


def test_a_process_in_a_container_keeps_what_it_is_writing(site: Site, contained: list[str]):
    """Its number is another's here, or nobody's; the kernel's lock says that it lives."""
    stop = site.folder / "stop"
    command = [sys.executable, STEPS, "30", "--until", str(stop), "--pace", "0.02"]
    rank = start(site, [*contained, *command])
    wait_until(lambda: has_frames(site) or rank.poll() is not None)
    (spool,) = site.project.spool.glob("*.spool")
    assert waiting.spools(site.project, {}) == []
    assert not waiting.open_log(spool).doubt
    site.sprov("ingest")
    assert spool.exists()
    assert runs(site) == [("unfinished", 1)]
    # Named, too: what is sealed is taken, and nothing else.
    before = spool.read_bytes()[:4096]
    assert "its process lives" in ingest(site, str(spool))
    assert spool.read_bytes()[:4096] == before
    # And from another container, where numbers mean something else again.
    other = [*contained, *site.command("ingest")]
    done = subprocess.run(other, cwd=site.folder, env=site.environment(), capture_output=True)
    assert done.returncode == 0, done.stderr
    assert spool.exists()
    stop.touch()
    out, errors = rank.communicate(timeout=60)
    assert rank.returncode == 0, errors
    site.sprov("ingest")
    assert runs(site) == [("completed", 1)]
    assert steps(site) == int(out)
    assert list(site.project.spool.iterdir()) == []


def test_a_process_that_was_killed_in_a_container_is_told_from_one_that_lives(
    site: Site, contained: list[str]
):
    hang = site.folder / "hang"
    rank = start(site, [*contained, sys.executable, STEPS, "30", "--hang", str(hang)])
    wait_until(lambda: hang.exists() or rank.poll() is not None)
    assert waiting.spools(site.project, {}) == []
    rank.kill()
    rank.communicate()
    wait_until(lambda: waiting.spools(site.project, {}))
    site.sprov("ingest")
    assert runs(site) == [("killed", 1)]
    assert steps(site) == 30
    assert list(site.project.spool.iterdir()) == []


@pytest.mark.parametrize("inside", [False, True])
def test_a_forked_child_that_lives_on_keeps_nothing_of_its_parent(
    site: Site, contained: list[str], inside: bool
):
    """Locks are inherited by fork, and so are mappings, which keep locks of their files alive."""
    ready = site.folder / "ready"
    command = [sys.executable, "-c", FORKING, str(ready), str(site.project.spool)]
    init = ["sh", "-c", '"$@" & wait; exec sleep 1000', "sh"]  # which outlives the parent
    started = [*contained, *init] if inside else []
    rank = start(site, [*started, *command])
    try:
        wait_until(lambda: ready.exists() and ready.read_text())
        if not inside:
            rank.wait(60)
        (spool,) = site.project.spool.glob("*.spool")
        wait_until(lambda: waiting.open_log(spool).is_abandoned)
        site.sprov("ingest")
        assert runs(site) == [("killed", 1)]
        assert list(site.project.spool.iterdir()) == []
    finally:
        if inside:
            rank.kill()
        else:
            os.kill(int(ready.read_text()), signal.SIGKILL)


def test_where_nothing_tells_nothing_is_taken_unless_somebody_says_so(
    site: Site, contained: list[str]
):
    """From another PID namespace, of a spool on a file system without locks."""
    hang = site.folder / "hang"
    rank = start(site, [*contained, sys.executable, STEPS, "30", "--hang", str(hang)])
    wait_until(lambda: hang.exists() or rank.poll() is not None)
    rank.kill()
    rank.communicate()
    (spool,) = site.project.spool.glob("*.spool")
    unlock(spool)
    said = ingest(site)
    assert str(spool) in said
    assert "another PID namespace" in said
    assert spool.exists()
    assert f"in doubt   {spool}: its process ran in another PID namespace" in site.sprov("status")
    site.sprov("ingest", "--gone")
    assert not spool.exists()
    assert "in doubt" not in site.sprov("status")
    assert runs(site) == [("killed", 1)]


def unlock(path: Path) -> None:
    """Have a spool say that its file system has no locks."""
    with LogReader(path) as reader:
        owner = msgspec.structs.replace(reader.header.owner, is_locked=False)
        header = msgspec.structs.replace(reader.header, owner=owner)
    with path.open("r+b") as file:
        file.write(pack_file_header(header))


def test_two_ingests_wait_for_each_other(site: Site):
    """The second says so, and both end well."""
    for _ in range(3):
        site.run("steps.py", "2000", SPROV_MODE="offline")
    both = [start(site, site.command("ingest")) for _ in range(4)]
    said = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0] * 4, said
    assert steps(site) == 6000
    for _, errors in said:
        assert all("waiting" in line for line in errors.splitlines() if "sprov:" in line), errors


@pytest.mark.parametrize("proc", [["--mount-proc"], []])
def test_a_number_is_of_its_namespace(contained: list[str], proc: list[str]):
    """Containers that start together have equal numbers, and without a /proc of their own /proc is
    about other processes."""
    command = [word for word in contained if word != "--mount-proc"] + proc
    lines = (
        "import os; from pllib import launch, owners; mine = launch.process()\n"
        "fields = open('/proc/self/stat').read().rsplit(')', 1)[1].split()\n"
        "ticks = int(fields[19]) / os.sysconf('SC_CLK_TCK')\n"
        "print(mine.namespace, os.stat('/proc/self/ns/pid').st_ino, mine.started == ticks)\n"
        "print(mine.pid == os.getpid(), owners.pid_namespace(), str(mine))"
    )
    done = subprocess.run([*command, sys.executable, "-c", lines], capture_output=True, text=True)
    first, second = done.stdout.splitlines()
    namespace, real, is_own = first.split()
    assert (namespace, is_own) == (real, "True")
    is_mine, judged, name = second.split()
    assert (is_mine, judged) == ("True", real if proc else "-1")
    assert name.endswith(f":{real}")
