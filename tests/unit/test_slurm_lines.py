"""Where the command begins on a line of srun or sbatch, and when a step is left as it is."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm.options import SBATCH, SRUN, Unknown, split
from slurm.srun_line import of_another_job, wrap

SPROV = "/opt/sprov/bin/sprov"


def wrapped(line: str) -> str:
    words, reason = wrap(shlex.split(line), SPROV, "/nowhere")
    assert not reason
    return shlex.join(words).replace(SPROV, "sprov")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("prog", "sprov run -- prog"),
        ("-n8 python train.py -n 3", "-n8 sprov run -- python train.py -n 3"),
        ("-N 2 --ntasks 4 prog", "-N 2 --ntasks 4 sprov run -- prog"),
        ("-N2 --mpi=pmi2 -l ./prog a", "-N2 --mpi=pmi2 -l sprov run -- ./prog a"),
        ("-lu -c 4 prog", "-lu -c 4 sprov run -- prog"),
        ("-lun 4 prog", "-lun 4 sprov run -- prog"),
        ("--exclusive prog", "--exclusive sprov run -- prog"),
        ("--overlap --jobid=7 prog", "--overlap --jobid=7 sprov run -- prog"),
        ("-K1 -k --immediate prog", "-K1 -k --immediate sprov run -- prog"),
        ("--ntasks-per-n 2 prog", "--ntasks-per-n 2 sprov run -- prog"),
        ("--from-a-plugin=x prog", "--from-a-plugin=x sprov run -- prog"),
        ("-n2 -- prog --pty", "-n2 -- sprov run -- prog --pty"),
        ("-n1 a x : -n2 b y", "-n1 sprov run -- a x : -n2 sprov run -- b y"),
        ("--het-group=0 a : --het-group=1 -n2", "--het-group=0 sprov run -- a : --het-group=1 -n2"),
        ("--export=A=b --signal=USR1@9 prog", "--export=A=b --signal=USR1@9 sprov run -- prog"),
    ],
)  # fmt: skip
def test_the_command_runs_under_sprov(line, expected):
    assert wrapped(line) == expected


@pytest.mark.parametrize(
    "line",
    [
        "", "--version", "-V", "--help", "--usage", "--test-only prog", "sprov run -- prog",
        "/opt/sprov/bin/sprov slurm collect", "-N2 hydra_bstrap_proxy --x", "/usr/bin/orted -mca a",
    ],
)  # fmt: skip
def test_what_starts_no_program_of_the_users_is_left_alone_silently(line):
    assert wrap(shlex.split(line), SPROV) == (shlex.split(line), "")


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("--from-a-plugin prog", "--from-a-plugin"), ("-y prog", "-y"), ("--node 3 prog", "--node"),
        ("--multi-prog a.conf", "multi-prog"), ("--bcast=/tmp/x prog", "bcast"),
        ("--pty bash", "pty"), ("--container-image=x prog", "container-image"),
        ("a : --pty b", "pty"),
    ],
)  # fmt: skip
def test_in_doubt_a_step_is_left_alone_with_a_reason(line, word):
    words, reason = wrap(shlex.split(line), SPROV)
    assert words == shlex.split(line)
    assert word in reason


def test_a_command_in_the_working_folder_comes_before_one_in_path(tmp_path):
    program = tmp_path / "prog"
    program.write_text("#!/bin/sh\n")
    assert wrap(["prog"], SPROV, str(tmp_path))[0][-1] == "prog"
    program.chmod(0o755)
    assert wrap(["prog"], SPROV, str(tmp_path))[0][-1] == "./prog"
    assert wrap(["-D", str(tmp_path), "prog"], SPROV, "/")[0][-1] == "./prog"


FLAGS = st.sampled_from([["-l"], ["-u"], ["--overlap"], ["--exclusive=user"], ["-K0"], ["--x11"]])
VALUES = st.text("abc:=-, /'", min_size=1, max_size=6).filter(lambda text: text != ":")
VALUED = st.tuples(
    st.sampled_from(["-n", "-N", "-w", "--ntasks", "--nodelist", "--mem", "--export"]), VALUES
).map(list)
ATTACHED = st.tuples(st.sampled_from(["-n", "-w", "--mem=", "--any="]), VALUES).map(
    lambda pair: ["".join(pair)]
)
COMMAND = st.lists(VALUES, min_size=1, max_size=4).filter(
    lambda words: words[0][0] != "-" and "/" not in words[0][-1:]
)


@given(st.lists(FLAGS | VALUED | ATTACHED, max_size=6), COMMAND)
def test_the_command_is_found_behind_any_options(options, command):
    words = [word for option in options for word in option]
    line = split([*words, *command], SRUN)
    assert line.command == command
    assert [word for each in line.words for word in each] == words
    assert len(line.options) == len(line.words) == len(options)


@given(st.lists(st.text(max_size=8) | st.sampled_from([":", "--", "-n", "a"]), max_size=6))
def test_no_line_loses_a_word(words):
    found, _ = wrap(words, SPROV, "/nowhere")
    kept = [w for w in found if w not in (SPROV, "run", "--")]
    assert kept == [w for w in words if w not in (SPROV, "run", "--")]


@pytest.mark.parametrize(
    ("line", "script"),
    [
        ("-N2 -W job.sh a -N 3", ["job.sh", "a", "-N", "3"]),
        ("--array=1-3 --parsable -J x job.sh", ["job.sh"]),
        ("-N1 : -N2 --wrap 'a b'", []),
        ("-N1 : -N2 job.sh", ["job.sh"]),
    ],
)
def test_the_script_of_sbatch(line, script):
    assert split(shlex.split(line), SBATCH).command == script


def test_an_option_that_may_take_the_script_for_its_value_is_unknown():
    with pytest.raises(Unknown, match="--from-a-plugin"):
        split(["--from-a-plugin", "job.sh"], SBATCH)


def test_a_job_that_is_submitted_from_a_job_has_nothing_of_its_provenance():
    environ = {
        "SPROV_DIR": "/p/.sprov", "SPROV_ENDPOINT": "42", "SPROV_SUBMISSION": "x", "HOME": "/h",
        "PYTHONPATH": "/site/pllib/hook:/mine", "PATH": "/bin",
    }  # fmt: skip
    assert of_another_job(environ) == {
        "SPROV_DIR": "/p/.sprov", "HOME": "/h", "PYTHONPATH": "/mine", "PATH": "/bin",
    }  # fmt: skip
    assert "PYTHONPATH" not in of_another_job({"PYTHONPATH": "/site/pllib/hook"})
