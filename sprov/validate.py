"""`sprov verify --shapes`: what of a run's graph is not valid, by node and reason."""

from __future__ import annotations

import dataclasses

import click

from pllib import jsontext
from query.engine import Engine
from query.progress import bar
from query.runs import find_run
from query.validation import N_STEPS, Problem, Verdict, validate

from .extras import require

SHOWN = 5
"""Nodes of one problem that are printed; JSON has them all."""


def validate_run(engine: Engine, text: str, form: str) -> None:
    """Print what is wrong of the run that `text` means; exit status 1 if anything is.

    Raises:
        QueryError: No run is meant, or a query took too long.
    """
    require("verify --shapes", "server,interchange", "pyshacl")
    engine.flush()
    run = str(find_run(engine, text)["run"])
    with bar(N_STEPS, "validate") as progress:
        verdict = validate(engine, run, progress.update)
    click.echo(_as_json(run, verdict) if form == "json" else _as_text(run, verdict))
    if verdict.problems:
        raise SystemExit(1)


def _as_json(run: str, verdict: Verdict) -> str:
    return jsontext.dumps(
        {
            "run": run,
            "nodes": verdict.n_nodes,
            "forms": verdict.n_forms,
            "problems": [dataclasses.asdict(problem) for problem in verdict.problems],
            "valid": not verdict.problems,
        }
    )


def _as_text(run: str, verdict: Verdict) -> str:
    counts = f"nodes     {verdict.n_nodes} of {verdict.n_forms} forms"
    lines = [f"run       {run}", counts, f"problems  {len(verdict.problems)}"]
    for problem in verdict.problems:
        lines.extend(_described(problem))
    return "\n".join(lines)


def _described(problem: Problem) -> list[str]:
    about = ", ".join(part for part in (problem.path, problem.source) if part)
    more = len(problem.nodes) - SHOWN
    return [
        f"problem: {problem.reason} ({about})",
        *(
            f"  {node}" + (f" with {other}" if other else "")
            for node, other in zip(problem.nodes[:SHOWN], problem.others, strict=False)
        ),
        *([f"  and {more} more"] if more > 0 else []),
    ]
