"""`sprov slurm submit`: submit a job script with provenance, as it is; or the same thing again."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from pllib import kept, notices, redaction
from pllib.errors import Error, SettingsError
from pllib.identity import digest
from pllib.launch import console_script
from pllib.project import Project, find, find_or_new
from pllib.sharing import make_folder, open_file
from slurm import batch, guard, srun_line, submission
from slurm.batch import Script, Tools
from slurm.commands import find as find_command
from slurm.options import Line
from slurm.submission import Submission

from .formats import check_project

SUBMITTED = "submitted"
"""Folder in a project of the scripts that were made, where `scontrol show job` says they are."""


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--again", metavar="RUN", help="Submit what that run's job was, again.")
@click.option("--yes", is_flag=True, help="With --again: do not ask.")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[OPTION]... SCRIPT [ARG]...")
def submit(again: str | None, yes: bool, words: tuple[str, ...]) -> None:
    """Submit a job script with provenance; it is not edited.

    Takes what `sbatch` takes, in its order, and prints what it prints.  In the job a tracker is
    started, and each `srun` step runs under `sprov run`.

    With --again, first shows what has changed since then: the script, the code, input files.
    Options that follow are added to those of then.

    \b
        sprov slurm submit --nodes 4 train.sbatch --epochs 10
        sprov slurm submit --again 4242 --time=2:00:00
    """
    sys.exit(_once_more(again, words, sure=yes) if again is not None else _first(words))


def _once_more(run: str, options: tuple[str, ...], *, sure: bool) -> int:
    from .again import ask_again

    check_project()
    project = find()
    submitted = ask_again(project, run, options, sure=sure)
    script = Script(submitted.name, kept.read(project, submitted.script))
    return _submit(submitted, _make(project, submitted, script))


def _first(words: tuple[str, ...]) -> int:
    """Submit what `sbatch` would; where it would refuse, it is to say why itself."""
    line = submission.parse(words)
    stdin = None
    try:
        stdin = None if line.command else _standard_input(line)
        script, path = submission.read_script(line, stdin or b"")
    except OSError:
        return _sbatch(words)
    if not batch.is_wrappable(script.text) or _only_asks(line):
        return _sbatch(words, stdin)
    try:
        check_project()
        project = find_or_new().create()
        made = Submission(
            script=submission.keep_script(project, script.text),
            name=script.name,
            path=path,
            options=submission.plain_options(line),
            arguments=line.command[1:],
            folder=os.getcwd(),  # noqa: PTH109
            environment=submission.settings(os.environ),
        )
        job_script = _make(project, made, script)
    except (Error, OSError) as exc:  # such as settings or a project that can't be read or written
        reason = " ".join(str(exc).split())
        notices.write(f"{reason}; the job is submitted without provenance")
        return _sbatch(words, stdin)
    return _submit(made, job_script)


def _standard_input(line: Line) -> bytes | None:
    if any(name == "wrap" for name, _ in line.options) or _only_asks(line):
        return None
    return sys.stdin.buffer.read()


def _only_asks(line: Line) -> bool:
    return any(name in ("help", "usage", "version") for name, _ in line.options)


def _make(project: Project, submitted: Submission, script: Script) -> Path:
    """Write the job script that is made around a script; return its path."""
    variables = {
        "SPROV_DIR": str(project.root),
        "SPROV_JOB_SCRIPT": submitted.script,
        "SPROV_SUBMISSION": submission.keep(project, submitted),
    }
    if submitted.again_of:
        variables["SPROV_AGAIN_OF"] = submitted.again_of
    return _write(project, script.name, batch.job_script(script, tools(), variables))


def _submit(submitted: Submission, job_script: Path) -> int:
    """Hand a job script that was made to `sbatch`; return its exit status."""
    if not Path(submitted.folder).is_dir():
        raise SettingsError(f"the folder {submitted.folder} is not there any more")
    words = [*submitted.options, str(job_script), *submitted.arguments]
    return _sbatch(words, submitted=submitted)


def tools() -> Tools:
    """Return where this installation's parts are."""
    return Tools(
        python=sys.executable,
        sprov=console_script(),
        guard=str(Path(guard.__file__).absolute()),
        srun_line=str(Path(srun_line.__file__).absolute()),
    )


def _write(project: Project, name: str, text: bytes) -> Path:
    """Write a made script where its name is the job's, which `sbatch` takes from the file."""
    folder = project.root / SUBMITTED / digest("submitted", text)
    make_folder(folder)
    path = folder / name
    temporary = folder / f".{os.getpid()}"
    fd = open_file(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    with open(fd, "wb") as file:
        if redaction.load(project.config, os.environ).document(text) != text:
            os.fchmod(fd, 0o600)
        file.write(text)
    temporary.replace(path)
    return path


def _sbatch(
    words: Sequence[str], stdin: bytes | None = None, submitted: Submission | None = None
) -> int:
    """Run `sbatch`, which prints for itself; return its exit status."""
    environ = {**os.environ, **(submitted.environment if submitted else {})}
    done = subprocess.run(
        [find_command("sbatch"), *words],
        env=environ,
        cwd=submitted.folder if submitted else None,
        input=stdin,
        check=False,
    )
    return done.returncode
