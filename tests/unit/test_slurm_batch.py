"""The job script that is made around a script: what sbatch reads of it, and what a shell does."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from string import ascii_letters

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from slurm import batch
from slurm.batch import Script, Tools

GOLDEN = Path(__file__).parents[1] / "data" / "slurm" / "made.sbatch"
TOOLS = Tools(
    python="/opt/sprov/bin/python",
    sprov="/opt/my sprov/bin/sprov",
    guard="/opt/sprov/slurm/guard.py",
    srun_line="/opt/sprov/slurm/srun_line.py",
)
VARIABLES = {"SPROV_DIR": "/home/ada/it's work/.sprov", "SPROV_JOB_SCRIPT": "0" * 32}
SCRIPT = b"""#!/bin/bash -l
#SBATCH --nodes=2
# Trains.

#SBATCH hetjob
#SBATCH --nodes=1 --comment="a 'b'"
module load gcc
#SBATCH --never=read
srun python train.py "$@" """


def made(text: bytes, name: str = "train.sbatch", tools: Tools = TOOLS) -> bytes:
    return batch.job_script(Script(name, text), tools, VARIABLES)


def test_the_made_script_is_what_was_agreed():
    assert made(SCRIPT) == GOLDEN.read_bytes(), "look at the difference, then keep it"


def test_directives_are_where_sbatch_reads_them():
    head = made(SCRIPT).partition(b"# Made by")[0]
    assert head == b"#!/bin/sh\n" + SCRIPT.partition(b"\n")[2].partition(b"module")[0]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"#!/bin/bash\n", ["/bin/bash"]),
        (b"#! /bin/bash -l \necho", ["/bin/bash", "-l"]),
        (b"#!/usr/bin/env python3 -u\n", ["/usr/bin/env", "python3 -u"]),
        (b"echo", None),
        (b"#!\n", None),
        (b"", None),
    ],
)
def test_the_interpreter_has_one_argument_as_the_kernel_gives_it(text, found):
    assert batch.interpreter(text) == found


EACH_LETTER = b"".join(letter.encode() + b"\xe9\n" for letter in ascii_letters)


@pytest.mark.parametrize(
    "text",
    [b"echo\n", b"#!/bin/sh\r\necho\r\n", b"#!/bin/sh\n\0", b"", b"#!/bin/sh\n" + EACH_LETTER],
)
def test_what_sbatch_refuses_is_left_to_it(text):
    assert not batch.is_wrappable(text)


LINES = st.lists(
    st.binary(max_size=20).filter(lambda line: b"\0" not in line and b"\n" not in line), max_size=8
)


@settings(max_examples=30, deadline=None)
@given(LINES)
@example([letter.encode() + b"\xe9t\xe9" for letter in ascii_letters[:-1]])
def test_the_script_that_runs_is_the_one_that_was_submitted(tmp_path_factory, lines):
    """Without sprov on the node, the script runs all the same: here, `cat` prints it."""
    folder = tmp_path_factory.mktemp("node")
    text = b"".join(line + b"\n" for line in [b"#!/bin/cat", *lines])
    done = subprocess.run(
        ["/bin/sh", "-s"], input=made(text), env={"TMPDIR": str(folder), "PATH": "/bin:/usr/bin"},
        capture_output=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, text)
    assert b"goes on without provenance" in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_arguments_and_exit_status_are_the_scripts(tmp_path):
    script = tmp_path / "made"
    script.write_bytes(made(b'#!/bin/bash\nprintf "<%s>" "${0##*/}" "$@"\nexit 7\n'))
    done = subprocess.run(
        ["/bin/sh", script, "a  b", "*", "'"], capture_output=True, text=True, check=False,
        env={"TMPDIR": str(tmp_path), "PATH": "/bin:/usr/bin"},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (7, "<train.sbatch><a  b><*><'>")


def test_a_name_that_is_no_plain_file_name_is_not_written_to_the_node():
    text = made(b"#!/bin/sh\n", name="a b;c")
    assert b"a b;c" not in text
    assert b"$sprov_job/job\n" in text


def test_values_reach_the_shell_quoted():
    line = next(line for line in made(SCRIPT).decode().splitlines() if "SPROV_DIR" in line)
    assert shlex.split(line) == ["export", f"SPROV_DIR={VARIABLES['SPROV_DIR']}"]
