"""A process that reads queries gives up what it never needs, or says why it can't."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from apt import provide_tools
from harness import Site, lack
from hostile_queries import HONEST, fill

from manager.store.sandbox import Limits, ended

CONFINED = """
import json, os, signal, socket, subprocess, sys, threading
from manager.store.sandbox import Confinement, Limits
told = os.dup(1)
pair = socket.socketpair()
confined = Confinement()
confined.allow(Limits(60.0, 64 << 20, 0, 0))
found = {"missing": confined.missing}
def tried(name, call):
    try:
        found[name] = ["did", str(call())]
    except BaseException as exc:
        found[name] = [type(exc).__name__, getattr(exc, "errno", None)]
folder, *names = sys.argv[1:]
for name, call in {
    "socket": lambda: socket.socket(),
    "send": lambda: pair[0].sendmsg([b"x"]),
    "fork": os.fork,
    "exec": lambda: os.execv("/bin/true", ["true"]),
    "program": lambda: subprocess.run(["/bin/true"]),
    "write": lambda: open(f"{folder}/kept", "a"),
    "create": lambda: open(f"{folder}/new", "x"),
    "truncate": lambda: os.truncate(f"{folder}/kept", 0),
    "unlink": lambda: os.unlink(f"{folder}/kept"),
    "rename": lambda: os.rename(f"{folder}/kept", f"{folder}/other"),
    "mkdir": lambda: os.mkdir(f"{folder}/inner"),
    "link": lambda: os.symlink("kept", f"{folder}/link"),
    "chmod": lambda: os.chmod(f"{folder}/kept", 0o777),
    "parent": lambda: os.kill(os.getppid(), 0),
    "thread": lambda: [each.start() or each.join() for each in [threading.Thread(
        target=tried, args=("socket in a thread", lambda: socket.socket()))]],
    "read": lambda: open(f"{folder}/kept").read(),
    "itself": lambda: os.kill(os.getpid(), 0),
    "little memory": lambda: len(b"x" * (32 << 20)),
    "much memory": lambda: len(b"x" * (400 << 20)),
}.items():
    if name in names or not names:
        tried(name, call)
with open("/proc/self/status") as file:
    lines = [line.partition(":") for line in file]
found["status"] = {name: value.strip() for name, _, value in lines}
os.write(told, json.dumps(found).encode())
"""
SPINNING = """
import time
from manager.store.sandbox import Confinement, Limits
confined = Confinement()
for seconds in (1.1, 1.1, 60):
    confined.allow(Limits(0.5, 1 << 30, 0, 0))
    print(seconds, flush=True)
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass
"""
EPERM = ["PermissionError", 1]
ALLOWED = ("thread", "read", "itself", "little memory")


def confined(folder: Path, *names: str, before: Sequence[str] = ()) -> dict[str, Any]:
    """Return what a confined process found that it can do: all, or these."""
    (folder / "kept").write_text("text")
    command = [*before, sys.executable, "-c", CONFINED, str(folder), *names]
    done = subprocess.run(command, capture_output=True, check=True)
    assert [each.name for each in folder.iterdir()] == ["kept"]
    assert (folder / "kept").read_text() == "text"
    return dict(json.loads(done.stdout))


def test_a_confined_process_reads_and_computes_and_nothing_else(tmp_path: Path):
    found = confined(tmp_path)
    status = found.pop("status")
    assert found.pop("missing") == ""
    assert found.pop("much memory")[0] == "MemoryError"
    assert {found.pop(name)[0] for name in ALLOWED} == {"did"}
    assert found == dict.fromkeys(found, EPERM)
    assert len(found) == 15
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


def test_where_calls_are_not_filtered_limits_hold_and_it_is_said(tmp_path: Path):
    if absent := provide_tools("setarch", packages=("util-linux",)):
        lack(absent)
    found = confined(tmp_path, "much memory", "socket", "write", before=["setarch", "i686"])
    assert "not filtered on i686" in found["missing"]
    assert found["much memory"][0] == "MemoryError"
    assert found["socket"][0] == found["write"][0] == "did"


def test_status_tells_whether_queries_are_confined(site: Site):
    fill(site.project)
    site.serve()
    assert "not asked yet" in site.sprov("status")
    site.sprov("query", HONEST)
    assert json.loads(site.sprov("status", "--format", "json"))["manager"]["query_processes"] == (
        "confined"
    )


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (-signal.SIGABRT, "64 MiB of memory"),
        (-signal.SIGXCPU, "2 s of CPU time"),
        (-signal.SIGSEGV, "SIGSEGV"),
        (-signal.SIGKILL, "SIGKILL"),
        (3, "exit status 3"),
    ],
)
def test_how_a_process_ended_is_told(status: int, says: str):
    what, help_ = ended(status, Limits(2.0, 64 << 20, 0, 0))
    assert says in what
    assert help_


def test_a_query_process_has_its_time_of_the_processor_for_each_query():
    """The second query has as much as the first one, and one too long is the end."""
    command = [sys.executable, "-c", SPINNING]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGXCPU
    assert done.stdout.split() == ["1.1", "1.1", "60"]
