"""Job templates: what is listed, what is printed, and how a command gets in."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from harness import TIMEOUT_S
from hypothesis import example, given
from hypothesis import strategies as st

from pllib.errors import SettingsError
from slurm.template import fill, names, program, read, template, title

ROOT = Path(__file__).parents[2]
WITH_PROGRAM = [name for name in names() if name != "site-tracker"]
PAGES = {"site-job": "site-tracker"}
"""Templates that are explained on the page of another one."""
SRUN = """#!/bin/sh
while case $1 in --*) true ;; *) false ;; esac; do shift; done
exec "$@"
"""
"""What srun does for one rank: leave its options out, and run the command."""
SHOW = "import json, sys; json.dump(sys.argv[1:], open('words', 'w'))"


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(template, arguments)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with srun and without sprov in its bin/."""
    folder = tmp_path_factory.mktemp("machine")
    (folder / "bin").mkdir()
    for name, text in {"srun": SRUN, "scancel": "#!/bin/sh\n"}.items():
        (folder / "bin" / name).write_text(text)
        (folder / "bin" / name).chmod(0o755)
    (folder / "bin" / "python3").symlink_to(sys.executable)
    return folder


def run(machine: Path, text: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run a job script as the only rank of a job on that machine."""
    job = {
        "SLURM_JOB_ID": "1",
        "SLURM_PROCID": "0",
        "SLURM_JOB_NUM_NODES": "3",
        "SLURM_NTASKS_PER_NODE": "2",
        "SLURM_ARRAY_JOB_ID": "1",
        "SLURM_ARRAY_TASK_ID": "1",
    }
    environment = {**job, "PATH": f"{machine / 'bin'}:/usr/bin:/bin", **extra}
    return subprocess.run(
        ["bash", "-c", text],
        cwd=machine,
        env=environment,
        text=True,
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def test_the_list_has_every_template_with_its_title():
    lines = invoke().output.splitlines()
    assert [line.split()[0] for line in lines] == names()
    assert all(title(name) in line for name, line in zip(names(), lines, strict=True))
    assert invoke("--list").output.splitlines() == lines
    assert json.loads(invoke("--format", "json").output) == [
        {"name": name, "title": title(name)} for name in names()
    ]


@pytest.mark.parametrize("name", names())
def test_a_template_is_a_bash_script_that_ends_at_errors(name):
    text = invoke(name).output
    assert text == read(name)
    assert text.startswith(f"#!/bin/bash\n# {name}: ")
    assert "\nset -euo pipefail\n" in text
    assert max(len(line) for line in text.splitlines() if not line.startswith("srun ")) <= 100
    checked = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True, check=True)
    assert checked.stderr == ""


@pytest.mark.parametrize("name", names())
def test_directives_come_before_the_first_command(name):
    """sbatch stops reading them there, without a word."""
    first = next(
        at for at, line in enumerate(read(name).splitlines()) if line and line[0] not in "#"
    )
    assert "#SBATCH" not in "\n".join(read(name).splitlines()[first:])


@pytest.mark.parametrize("name", names())
def test_every_template_has_a_page_that_the_index_names(name):
    page = ROOT / "docs/how-to" / f"{PAGES.get(name, name)}.md"
    assert f"sprov slurm template {name}" in page.read_text()
    assert f"({page.name})" in (ROOT / "docs/how-to/README.md").read_text()


@pytest.mark.parametrize("name", ["small-job", "dedicated-node", "het-job", "array-sweep"])
def test_the_lines_that_a_page_shows_are_those_of_its_template(name):
    (block,) = re.findall(
        r"```bash\n(.*?)```", (ROOT / f"docs/how-to/{name}.md").read_text(), re.DOTALL
    )
    shown = [re.split(r"  +#|python train.py", line)[0] for line in block.splitlines() if line]
    assert len(shown) >= 4
    assert [line for line in shown if line not in read(name)] == []


@pytest.mark.parametrize("name", WITH_PROGRAM)
def test_the_program_runs_where_sprov_is_missing(name, machine):
    text = fill(name, f"python3 -c {shlex.quote(SHOW)} ran {name}")
    done = run(machine, text)
    assert done.returncode == 0, done.stderr
    assert json.loads((machine / "words").read_text()) == ["ran", name]


@pytest.mark.parametrize("name", WITH_PROGRAM)
def test_the_programs_exit_status_is_the_jobs(name, machine):
    assert run(machine, fill(name, "sh -c 'exit 7'")).returncode == 7


def test_a_template_without_a_program_takes_no_command():
    with pytest.raises(SettingsError, match="runs no program of yours"):
        fill("site-tracker", "python3 train.py")


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)


@given(st.lists(TEXT, max_size=4))
@example(["$(touch pwned)", "`touch pwned`", "a\nb", "'", '"', "\\", "!!", "~", "*", "#", ""])
@example(["; touch pwned", "a=b", "$HOME", "é", "\\1", "\r"])
def test_words_reach_the_program_as_they_are(machine, words):
    (machine / "words").unlink(missing_ok=True)
    command = shlex.join(["python3", "-c", SHOW, *words])
    done = run(machine, fill("small-job", command))
    assert done.returncode == 0, done.stderr
    assert json.loads((machine / "words").read_text()) == words
    assert not (machine / "pwned").exists()


@given(TEXT)
@example("$(touch pwned)")
@example("'; touch pwned; '")
def test_whatever_the_command_is_the_job_script_only_splits_it(machine, command):
    """What the script's own shell makes of the line are the very words meant for the rank."""
    try:
        line = program(command)
    except SettingsError:
        return
    printed = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {line}"], cwd=machine, capture_output=True, check=True
    )
    words = printed.stdout.decode().split("\0")[:-1]
    assert words == shlex.split(command) or words == ["bash", "-c", command]
    assert not (machine / "pwned").exists()


@pytest.mark.parametrize(
    ("command", "printed"),
    [
        ('echo "$X" | cat', "seven"),
        ("X=eight; echo $X", "eight"),
        ("X=nine env | grep ^X=", "X=nine"),
        ("echo $((3 + 4))", "7"),
    ],
)
def test_what_needs_a_shell_is_done_by_one_in_each_rank(command, printed, machine):
    assert program(command) != command
    done = run(machine, fill("small-job", command), X="seven")
    assert done.stdout.split() == [printed], done.stderr


def test_what_needs_no_shell_is_left_as_it_is(machine):
    command = "python3 -c 'print(\"$X\")'"
    assert program(command) == command
    done = run(machine, fill("small-job", command), X="seven")
    assert done.stdout.split() == ["$X"], done.stderr


@pytest.mark.parametrize("command", ["", "  ", "echo 'a", 'echo "', "echo \\", "a\0b", "--uid=0 a"])
def test_a_command_that_is_none_is_refused(command):
    with pytest.raises(SettingsError):
        program(command)


def test_an_unknown_name_is_told_which_there_are():
    with pytest.raises(SettingsError, match=re.escape(", ".join(names()))):
        read("../template")


def test_a_file_that_is_there_is_kept(tmp_path):
    path = tmp_path / "my job.sbatch"
    assert "sbatch '" in invoke("offline", "-o", str(path)).output
    path.write_text("edited")
    assert isinstance(invoke("offline", "-o", str(path)).exception, SettingsError)
    assert path.read_text() == "edited"


def test_a_file_or_command_without_a_name_is_refused():
    assert isinstance(invoke("-o", os.devnull).exception, SettingsError)
    assert isinstance(invoke("--command", "true").exception, SettingsError)
