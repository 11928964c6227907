"""No text that a program, a file or a user chose drives a terminal; piped, it is exact."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Site

OBEYED = re.compile(
    "[\x00-\x08\x0b-\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
STYLE = re.compile(r"\x1b\[[0-9;]*m")
"""Of headers of tables, which are ours."""
EVIL = "e\x1b[2J\x9b31m\u202e"
PROGRAM = """
import sys, pllib
name = sys.argv[1].encode().decode("unicode_escape")
with pllib.open(study=name, experiment=name, name=name) as session:
    with session.stage("training", name, hyperparameters={name: name}) as stage:
        stage.metric(name, 0.5, step=1)
        stage.generated(made=name)
"""


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("terminal")) as site:
        program = site.folder / "evil.py"
        program.write_text(PROGRAM)
        escaped = EVIL.encode("unicode_escape").decode()
        subprocess.run(
            [sys.executable, str(program), escaped], cwd=site.folder, check=True,
            env=site.environment(SPROV_MODE="offline"),
        )  # fmt: skip
        site.sprov("ingest")
        yield site


def on_terminal(site: Site, *command: str | bytes) -> str:
    """Return what a command shows on a terminal that has its stdout and stderr."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    with os.fdopen(master, "rb", buffering=0) as screen:
        process = subprocess.Popen(
            [*site.command(), *command], cwd=site.folder, env=site.environment(),
            stdin=subprocess.DEVNULL, stdout=slave, stderr=slave,
        )  # fmt: skip
        os.close(slave)
        shown = bytearray()
        while piece := _read(screen.fileno()):
            shown += piece
        process.wait()
    return shown.decode().replace("\r\n", "\n")


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 1 << 16)
    except OSError:  # EIO: nobody has the other end any more
        return b""


LABELS = "SELECT ?label { ?thing rdfs:label ?label }"


@pytest.mark.parametrize(
    "command",
    [
        ("metrics", "@last"),
        ("metrics", "@last", "--format", "csv"),
        ("query", LABELS, "--format", "csv"),
        ("watch", "--once"),
        ("show", "@last"),
        ("metrics", "@last", "--plot"),
    ],
    ids=" ".join,
)
def test_what_a_program_chose_is_shown_and_not_obeyed(evil: Site, command: tuple[str, ...]):
    shown = STYLE.sub("", on_terminal(evil, *command))
    assert "\N{REPLACEMENT CHARACTER}[2J" in shown
    assert not OBEYED.search(shown)


def test_piped_data_is_exact(evil: Site):
    assert EVIL in evil.sprov("query", LABELS, "--format", "csv")
    assert EVIL in evil.sprov("metrics", "@last", "--format", "csv")


def test_a_message_has_one_line_whatever_a_name_in_it_holds(evil: Site, tmp_path: Path):
    """Also a name whose bytes are not UTF-8."""
    path = os.fsencode(tmp_path) + b"/a\nsprov: all is well\x1b[2J\xff.ttl"
    Path(os.fsdecode(path)).write_text("<a:b> rubbish")
    (*_, refused) = lines = on_terminal(evil, "import", path).splitlines()
    assert len(lines) <= 3
    assert refused.startswith("sprov: refused: ")
    assert "a sprov: all is well\N{REPLACEMENT CHARACTER}[2J" in refused
    (unknown,) = [line for line in on_terminal(evil, "show", path).splitlines() if line]
    assert unknown.startswith("sprov: ")
    assert not OBEYED.search(refused + unknown)


def test_a_name_that_is_not_utf_8_is_piped_as_it_is(evil: Site):
    name = b"bytes\xff.txt"
    Path(os.fsdecode(os.fsencode(evil.folder) + b"/" + name)).write_text("x")
    done = subprocess.run(
        [*evil.command(), b"identify", name, b"--format", b"csv"], cwd=evil.folder,
        env=evil.environment(), capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert name in done.stdout
    assert b"Traceback" not in done.stderr
