"""What is submitted, kept and submitted again, with an `sbatch` that notes what it is given.

The real one, and real jobs, are in tests/cluster/test_submit.py.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from harness import SCRIPT, TIMEOUT_S, Site

from slurm import submission

NOTING = """#!/bin/sh
printf '%s\\n' "$PWD" "$@" > {folder}/given
env | grep ^SBATCH_ >> {folder}/given
cat > {folder}/stdin
echo "Submitted batch job 12"
"""


class Submitter:
    def __init__(self, site: Site) -> None:
        self.site = site
        self.folder = site.folder / "commands"
        self.folder.mkdir()
        command = self.folder / "sbatch"
        command.write_text(NOTING.format(folder=shlex.quote(str(self.folder))))
        command.chmod(0o755)
        self.work = site.folder / "work"
        self.work.mkdir()

    def __call__(
        self, *words: str, stdin: str = "", **extra: str
    ) -> subprocess.CompletedProcess[str]:
        path = f"{self.folder}:{os.environ['PATH']}"
        return subprocess.run(
            [SCRIPT, "slurm", "submit", *words], cwd=self.work, input=stdin, text=True,
            env=self.site.environment(PATH=path, **extra), capture_output=True,
            timeout=TIMEOUT_S, check=False,
        )  # fmt: skip

    @property
    def given(self) -> list[str]:
        """The folder that sbatch was called in, its arguments, and its variables."""
        return (self.folder / "given").read_text().splitlines()

    def variables(self) -> dict[str, str]:
        """Return what the script that was made exports, as its job has it."""
        text = Path(next(word for word in self.given if "/submitted/" in word)).read_text()
        lines = [line for line in text.splitlines() if line.startswith("export SPROV_")]
        pairs = (shlex.split(line)[1].split("=", 1) for line in lines)
        job = {"SLURM_JOB_ID": "12", "SLURM_CLUSTER_NAME": "c", "SPROV_SUBMITTED_JOB": "12"}
        return {**{name: value for name, value in pairs if "$" not in value}, **job}


@pytest.fixture
def submit(site: Site) -> Submitter:
    made = Submitter(site)
    (made.work / "job.sh").write_text("#!/bin/sh\nexit 3\n")
    return made


def test_options_and_arguments_reach_sbatch_as_they_are(submit):
    done = submit("-N", "2", "--comment=a b", "job.sh", "-N", "x y")
    assert done.stdout == "Submitted batch job 12\n"
    folder, *words = submit.given
    assert folder == str(submit.work)
    assert words[:3] == ["-N", "2", "--comment=a b"]
    assert words[4:] == ["-N", "x y"]
    assert Path(words[3]).name == "job.sh"
    kept = submission.read(submit.site.project, submit.variables()["SPROV_SUBMISSION"])
    assert (kept.options, kept.arguments) == (["-N", "2", "--comment=a b"], ["-N", "x y"])
    assert kept.path == str(submit.work / "job.sh")


@pytest.mark.parametrize(
    ("words", "stdin", "name", "text"),
    [
        (["--wrap", "echo $HOME"], "", "wrap", "echo $HOME\n"),
        (["-J", "x"], "#!/bin/bash\necho\n", "sbatch", "#!/bin/bash\necho\n"),
    ],
)
def test_a_script_may_be_a_command_or_come_from_standard_input(submit, words, stdin, name, text):
    assert submit(*words, stdin=stdin).returncode == 0
    made = Path(submit.given[-1])
    assert made.name == name
    assert text in made.read_text()
    assert "--wrap" not in submit.given
    assert (submit.folder / "stdin").read_text() == ""


def test_what_is_no_script_goes_to_sbatch_as_it_came(submit):
    assert submit("-N1", stdin="echo\n").returncode == 0
    assert (submit.given[1:], (submit.folder / "stdin").read_text()) == (["-N1"], "echo\n")
    submit("missing.sh", "a")
    assert submit.given[1:] == ["missing.sh", "a"]


def test_a_project_that_cannot_be_written_costs_provenance_alone(submit):
    done = submit("job.sh", "a", SPROV_DIR="/dev/null/project")
    assert (done.returncode, submit.given[1:]) == (0, ["job.sh", "a"])
    assert done.stderr.count("\n") == 1
    assert "submitted without provenance" in done.stderr


def test_an_option_that_is_not_known_is_refused(submit):
    done = submit("--plugin", "job.sh")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--name=value" in done.stderr


def test_the_same_thing_is_submitted_again_after_its_changes_are_shown(submit, site):
    data, program = submit.work / "data", submit.work / "program.py"
    data.write_text("1")
    program.write_text("print(open('data').read())")
    _git(submit.work, "init", "-q")
    _git(submit.work, "add", "-A")
    _git(submit.work, "commit", "-qm", "first")
    submit("-N2", "job.sh", "a", SBATCH_PARTITION="long")
    _run_job(submit, str(program))
    asked = submit("--again", "12", stdin="y\n")
    assert "nothing is known to have changed since" in asked.stderr
    assert submit.variables()["SPROV_AGAIN_OF"]

    (submit.work / "job.sh").write_text("#!/bin/sh\nexit 4\n")
    data.write_text("two")
    program.write_text("print(2)")
    before = submit.given
    refused = submit("--again", "12", stdin="n\n")
    for shown in ("-exit 3", "+exit 4", "not committed differ", "data: 1 bytes then, 3 now"):
        assert shown in refused.stderr
    assert (refused.returncode, submit.given) == (130, before)

    assert submit("--again", "12", "--yes", "-t", "5").returncode == 0
    folder, *words = submit.given
    assert folder == str(submit.work)
    assert (words[:3], words[4:]) == (["-N2", "-t", "5"], ["a", "SBATCH_PARTITION=long"])
    assert "exit 3" in Path(words[3]).read_text()


def _git(folder: Path, *words: str) -> None:
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


def _run_job(submit: Submitter, *words: str) -> None:
    """Do what the job does, as far as it is recorded: run a program with its variables."""
    subprocess.run(
        [SCRIPT, "run", "--", sys.executable, *words], cwd=submit.work, check=True,
        env=submit.site.environment(**submit.variables()), timeout=TIMEOUT_S, capture_output=True,
    )  # fmt: skip
    submit.site.sprov("ingest")


def test_only_what_we_submitted_can_be_submitted_again(submit, site):
    site.run("training.py", SLURM_JOB_ID="12", SLURM_CLUSTER_NAME="c", SPROV_SUBMISSION="0" * 32)
    site.sprov("ingest")
    done = submit("--again", "12")
    assert done.returncode == 2
    assert "of no job that `sprov slurm submit` submitted" in done.stderr


def test_with_again_there_are_options_alone(submit):
    submit("job.sh")
    _run_job(submit, "-c", "pass")
    done = submit("--again", "12", "other.sh")
    assert done.returncode == 2
    assert "'other.sh' is no option" in done.stderr
