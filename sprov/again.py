"""`sprov slurm submit --again RUN`: what was submitted then, once its changes since are shown."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from typing import Any

import click
import msgspec

from pllib import redaction
from pllib.errors import SettingsError
from pllib.project import Project
from pllib.redaction import Redactor
from query.engine import Engine, find_engine
from query.runs import describe_run, digest_of, find_run, list_runs
from slurm import submission
from slurm.submission import Submission

from .changed import code_changes, file_changes, package_changes, script_changes

MAX_RUNS = 20
"""Steps of a job whose files are looked at."""
Run = dict[str, Any]


def ask_again(project: Project, text: str, options: Sequence[str], *, sure: bool) -> Submission:
    """Return what is to be submitted, once its changes are shown and somebody has agreed.

    Args:
        text: The run, or a job.

    Raises:
        Error: That run was not submitted by us, or what was kept of it is gone.
        click.Abort: Nobody agreed.
    """
    engine = find_engine(project)
    runs = list_runs(engine)
    meant = _meant(engine, runs, text)
    run = describe_run(engine, meant)
    if "submission" not in run["facts"]:
        raise SettingsError(
            f"{text} is of no job that `sprov slurm submit` submitted",
            "Submit its script with that: then it is kept, and can be submitted again",
        )
    then = submission.read(project, run["facts"]["submission"])
    now = with_options(then, options, digest_of(run["run"]))
    redactor = redaction.load(project.config, os.environ)
    click.echo(_call(now, redactor), err=True)
    others = [one for one in runs if _is_step_of(one, meant)][:MAX_RUNS]
    told = [run, *(describe_run(engine, one) for one in others)]
    for line in _changes(project, engine, then, told):
        click.echo(line, err=True)
    if not sure:
        click.confirm("Submit it again?", abort=True, err=True)
    return now


def _meant(engine: Engine, runs: list[Run], text: str) -> Run:
    """Return the run that is meant; of a job, its script's, and of an array, its first task's."""
    of_scripts = [run for run in runs if text in _scripts(run["job"] or "")]
    return of_scripts[0] if of_scripts else find_run(engine, text)


def _scripts(job: str) -> tuple[str, ...]:
    """Return the names of the job, and array, whose script a run is of; none for a step's."""
    return () if "." in job or not job else (job, job.partition("_")[0])


def _is_step_of(run: Run, script: Run) -> bool:
    job = script["job"] or ""
    return bool(job) and (run["job"] or "").startswith(f"{job}.")


def with_options(then: Submission, options: Sequence[str], run: str) -> Submission:
    """Return a submission with more options, as a repetition of a run.

    Raises:
        SettingsError: There is more than options.
    """
    line = submission.parse(options)
    if line.command:
        message = f"{line.command[0]!r} is no option of sbatch"
        raise SettingsError(message, "With --again, script and arguments are those of then")
    return msgspec.structs.replace(then, options=[*then.options, *options], again_of=run)


def _call(now: Submission, redactor: Redactor) -> str:
    words = redactor.words([*now.options, now.name, *now.arguments])
    return f"in {now.folder}: sbatch {shlex.join(words)}"


def _changes(project: Project, engine: Engine, then: Submission, runs: list[Run]) -> list[str]:
    found = [
        *script_changes(project, then),
        *code_changes(project, runs[0]["facts"], then.folder),
        *package_changes(engine, runs),
        *file_changes(engine, runs),
    ]
    return found or ["nothing is known to have changed since"]
