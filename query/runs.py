"""Runs: which there are, which one somebody means, and what one of them was.

What somebody types is looked for in this order, and the first of these that any run has decides:

1. ``@last``, and IRIs;
2. names;
3. Slurm jobs: ``4242``, ``4242_7``, ``4242.0``, and ``4242`` for all tasks of an array;
4. prefixes of digests, of four characters or more.  A number that may be a job's is none: a job
   that no run has yet must not mean the run of another.  ``run/`` before it says that it is one.
"""

from __future__ import annotations

import re
from typing import Any

from pllib.errors import QueryError
from pllib.identity import ID_BASE

from .engine import Engine
from .replies import OF_DESCRIPTION, decode_object

RUN_BASE = f"{ID_BASE}run/"
LEAST_PREFIX = 4
_MARK = "run/"
_JOB = re.compile(r"[0-9]{1,10}(\+[0-9]+)?(_[0-9]+)?(\.[0-9]+)?")
"""A job, array task or step as Slurm prints it; ids of a federation have up to 10 digits."""
_PREFIX = re.compile(rf"[0-9a-f]{{{LEAST_PREFIX},32}}")
Row = dict[str, Any]


class AmbiguousError(QueryError):
    """Several runs are meant."""

    def __init__(self, text: str, runs: list[Row]) -> None:
        super().__init__(f"{text} means {len(runs)} runs", "Say which by one of:")
        self.lines = [_candidate(run) for run in runs]


def list_runs(engine: Engine) -> list[dict[str, Any]]:
    """Return all runs, oldest first: run, study, experiment, job, ranks, started, ended, state."""
    return engine.runs()


def find_run(engine: Engine, text: str) -> dict[str, Any]:
    """Return the run that `text` means, by the order that this module's head gives.

    Raises:
        AmbiguousError: Several; it lists them all.
        QueryError: None; says what would have been one.
    """
    return choose(list_runs(engine), text)


def choose(runs: list[Row], text: str) -> Row:
    """Return the row that `text` means of `runs`, which are in order of time.

    Raises:
        AmbiguousError: Several; it lists them all.
        QueryError: None; says what would have been one.
    """
    if not runs:
        raise QueryError("there are no runs here yet", "See `sprov status`, or `sprov ingest`")
    if text == "@last":
        return runs[-1]
    for means in (_is_iri, _is_name, _is_job, _is_prefix):
        meant = [run for run in runs if means(run, text)]
        if len(meant) == 1:
            return meant[0]
        if meant:
            raise AmbiguousError(text, meant)
    raise QueryError(f"no {_kind(text)} {text}", f"{_why(text)}The latest are: {_latest(runs)}")


def ranks_in_words(run: dict[str, Any]) -> int | str:
    """Return how many ranks a run has, and of how many something was heard if not of all."""
    seen, size = run.get("ranks_seen", run["ranks"]), run["ranks"]
    return f"{seen} of {size}" if seen < size else int(size)


def digest_of(run: str) -> str:
    return run.removeprefix(RUN_BASE)


def _is_iri(run: Row, text: str) -> bool:
    return bool(run["run"] == text)


def _is_name(run: Row, text: str) -> bool:
    return bool(run["name"] == text)


def _is_job(run: Row, text: str) -> bool:
    job = run["job"] or ""
    task = job.partition(".")[0]
    return bool(text) and text in (job, task, task.partition("_")[0])


def _is_prefix(run: Row, text: str) -> bool:
    digits = text.removeprefix(_MARK)
    may_be = _PREFIX.fullmatch(digits) and (digits != text or not _JOB.fullmatch(text))
    return bool(may_be) and digest_of(run["run"]).startswith(digits)


def _kind(text: str) -> str:
    return "run of job" if _JOB.fullmatch(text) else "run is"


def _why(text: str) -> str:
    digits = text.removeprefix(_MARK)
    if _JOB.fullmatch(text) and _PREFIX.fullmatch(digits):
        return f"As a prefix of a run's digest it is {_MARK}{text}. "
    if re.fullmatch(r"[0-9a-f]+", digits) and len(digits) < LEAST_PREFIX:
        return f"A prefix of a run's digest has {LEAST_PREFIX} characters or more. "
    return ""


def _latest(runs: list[Row]) -> str:
    return ", ".join(f"{_MARK}{digest_of(run['run'])[:8]}" for run in runs[-5:])


def _candidate(run: Row) -> str:
    job = f"job {run['job']}" if run["job"] else "no job"
    words = (f"{_MARK}{digest_of(run['run'])[:12]}", run["name"] or "no name", job, run["started"])
    return "  ".join(words)


def describe_run(engine: Engine, run: dict[str, Any]) -> dict[str, Any]:
    """Return one run, as `manager.store.show` tells it, with its row of `list_runs`."""
    described = decode_object(engine.show(run["run"]), engine.place, OF_DESCRIPTION)
    return {**run, **described}
