"""Runs: which there are, which one somebody means, and what one of them was."""

from __future__ import annotations

import json
from typing import Any

from pllib.errors import QueryError
from pllib.identity import ID_BASE

from .engine import Engine

RUN_BASE = f"{ID_BASE}run/"


def list_runs(engine: Engine) -> list[dict[str, Any]]:
    """Return all runs, oldest first: run, study, experiment, job, ranks, started, ended, state."""
    return engine.runs()


def find_run(engine: Engine, text: str) -> dict[str, Any]:
    """Return the run that `text` means: an IRI, a prefix of its digest, a job, or ``@last``.

    Raises:
        QueryError: None, or more than one; says what would have been one.
    """
    return choose(list_runs(engine), text)


def choose(runs: list[dict[str, Any]], text: str) -> dict[str, Any]:
    """Return the row that `text` means of `runs`, which are in order of time.

    Raises:
        QueryError: None, or more than one; says what would have been one.
    """
    if not runs:
        raise QueryError("there are no runs here yet", "See `sprov status`, or `sprov ingest`")
    if text == "@last":
        return runs[-1]
    found = [run for run in runs if _means(run, text)]
    if len(found) == 1:
        return found[0]
    if found:
        raise QueryError(f"{text} means {len(found)} runs", f"One of: {_digests(found)}")
    raise QueryError(f"no run is {text}", f"The latest are: {_digests(runs[-5:])}")


def digest_of(run: str) -> str:
    return run.removeprefix(RUN_BASE)


def _means(run: dict[str, Any], text: str) -> bool:
    job = run["job"] or ""
    return (
        run["run"] == text
        or digest_of(run["run"]).startswith(text)
        or text in (job, job.partition(".")[0], run["name"])
    )


def _digests(runs: list[dict[str, Any]]) -> str:
    return ", ".join(digest_of(run["run"])[:8] for run in runs)


def describe_run(engine: Engine, run: dict[str, Any]) -> dict[str, Any]:
    """Return one run, as `manager.store.show` tells it, with its row of `list_runs`."""
    return {**run, **json.loads(engine.show(run["run"]))}
