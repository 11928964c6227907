"""A job script under the guard: signals, exit status and end are as without it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import SCRIPT, TIMEOUT_S, Site, wait_until

from pllib import launch
from slurm import guard

TELLING = """
for s in HUP INT QUIT USR1 USR2 ALRM; do trap "echo $s" $s; done
trap 'echo TERM; exit 4' TERM
echo ready
while :; do sleep 0.05; done
"""


class Guarded:
    """A script under a guard, which is the leader of its process group as a batch shell is."""

    def __init__(self, folder: Path, script: str, **environ: str) -> None:
        self.node = folder / "node"
        self.node.mkdir()
        path = folder / "script"
        path.write_text(script)
        self.output = folder / "output"
        sprov = folder / "sprov"
        if not sprov.exists():
            sprov.symlink_to("/bin/true")
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", guard.__file__, str(sprov), str(self.node),
                 "/bin/bash", str(path), "a b"],
                env={**os.environ, **environ}, stdout=output, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip

    def says(self, *words: str) -> None:
        """Wait until that is all that the script has said."""
        expected = [*words]
        wait_until(lambda: self.words() == expected)

    def words(self) -> list[str]:
        return [
            word for word in self.output.read_text().split() if word.isupper() or word == "ready"
        ]

    def end(self) -> int:
        return self.process.wait(TIMEOUT_S)


@pytest.fixture
def telling(tmp_path: Path) -> Iterator[Guarded]:
    made = Guarded(tmp_path, TELLING)
    yield made
    if made.process.poll() is None:
        os.killpg(made.process.pid, signal.SIGKILL)
        made.process.wait()


def test_a_signal_to_the_batch_shell_alone_reaches_the_script(telling):
    telling.says("ready")
    said = ["ready"]
    for name in ("USR1", "INT", "QUIT", "HUP", "USR2", "ALRM", "USR1"):
        telling.process.send_signal(signal.Signals[f"SIG{name}"])
        said.append(name)
        telling.says(*said)
    telling.process.terminate()
    assert telling.end() == 4
    assert telling.words() == [*said, "TERM"]


def test_a_signal_to_all_processes_reaches_the_script_once(telling):
    """The next one, to the batch shell alone, shows that no second one was on its way."""
    telling.says("ready")
    os.killpg(telling.process.pid, signal.SIGUSR1)
    wait_until(lambda: "USR1" in telling.words())
    telling.process.send_signal(signal.SIGUSR2)
    wait_until(lambda: "USR2" in telling.words())
    assert telling.words() == ["ready", "USR1", "USR2"]
    os.killpg(telling.process.pid, signal.SIGTERM)
    assert telling.end() == 4
    assert telling.words().count("TERM") == 1


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("exit 7", 7),
        ("kill -KILL $$", -signal.SIGKILL),
        ("kill -TERM $$", -signal.SIGTERM),
        ("kill -USR1 $$", -signal.SIGUSR1),
        ("kill -SEGV $$", -signal.SIGSEGV),
        ("[ $# = 1 ] && [ \"$1\" = 'a b' ]", 0),
        ("yes | head -1; exit ${PIPESTATUS[0]}", 128 + signal.SIGPIPE),
    ],
)
def test_the_end_is_the_scripts_and_nothing_stays(tmp_path, script, status):
    made = Guarded(tmp_path, script)
    assert made.end() == status
    assert not made.node.exists()


@pytest.mark.parametrize(
    ("environ", "is_stopped"),
    [
        ({"SPROV_ENDPOINT": "7"}, True),
        ({"SPROV_MODE": "offline"}, True),
        ({}, True),
        ({"SPROV_MODE": "off"}, False),
    ],
)
def test_provenance_is_ended_unless_there_is_none(tmp_path, environ, is_stopped):
    stop = tmp_path / "sprov"
    stop.write_text('#!/bin/sh\necho "$@" > "${0%/*}/stopped"\n')
    stop.chmod(0o755)
    assert Guarded(tmp_path, "exit 3", **environ).end() == 3
    told = tmp_path / "stopped"
    assert (told.read_text() if is_stopped else told.exists()) == (is_stopped and "slurm stop\n")


def test_what_dead_ranks_left_is_collected_without_a_tracker(site: Site, tmp_path: Path):
    folder = tmp_path / "job"
    folder.mkdir()
    (folder / "rank.py").write_text("""
import os, signal, pllib
session = pllib.open()
session.used(x=1)
os.kill(os.getpid(), signal.SIGKILL)
""")
    (folder / "sprov").symlink_to(SCRIPT)
    spools = tmp_path / "spools"
    spools.mkdir(mode=0o700)
    environ = {
        "SPROV_DIR": str(site.project.root), "SPROV_MODE": "offline",
        "SPROV_SPOOL_DIR": str(spools), "SLURM_JOB_ID": "4242",
        "SLURM_JOB_NODELIST": launch.host(), "SLURMD_NODENAME": launch.host(),
    }  # fmt: skip
    made = Guarded(folder, f"{sys.executable} {folder}/rank.py; exit 5", **environ)
    assert made.end() == 5
    assert [*spools.glob("*.spool")] == []
    site.sprov("ingest")
    (row,) = site.select("SELECT ?outcome { ?s sprov:outcome ?outcome }")
    assert row["outcome"] == "killed"


def test_a_login_shell_that_sets_path_anew_still_finds_the_srun_that_records(tmp_path):
    shim = tmp_path / "node" / "bin"
    script = 'PATH=/usr/bin:/bin; type -t srun; srun "x y" "$1"'
    made = Guarded(tmp_path, f"while ! [ -x {shim}/srun ]; do :; done; {script}",
                   SPROV_SRUN_SHIM=str(shim))  # fmt: skip
    shim.mkdir()
    program = tmp_path / "program"
    program.write_text('#!/bin/sh\nprintf "<%s>" "$@"\n')
    program.chmod(0o755)
    program.rename(shim / "srun")
    assert made.end() == 0
    assert made.output.read_text() == "function\n<x y><a b>"
