"""Every named query, on a run of the last job of `benchmarks.graphs`: half of all triples.

python -m benchmarks.catalog --triples 10000000      the run has 100,000 records
python -m benchmarks.catalog --folder FOLDER         on a store that `benchmarks.graphs` made

Each is asked twice, as `sprov ask` does without a manager; the better time counts.  Queries that
take a run should answer in a second.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from pllib.project import Project
from query.answers import ask
from query.engine import Engine
from query.named import Named, catalog
from query.runs import list_runs

from . import graphs, table

GIVEN = {
    "dataset": "parts", "version": "v19", "attribute": "accuracy", "index": "1",
    "hyperparameter": "lr", "where": "batch", "equals": "32",
    "job": "4242", "array": "4242",
}  # fmt: skip
TIMEOUT_S = 120.0
TARGET_S = 1.0
REPEATS = 2


def parameters(named: Named, runs: list[str]) -> dict[str, str]:
    """Return what to ask a query: about the last run, the last model, the first raw file."""
    known = {
        **GIVEN, "run": runs[-1], "other": runs[-2], "model": graphs.MODEL, "path": graphs.RAW,
        "file": graphs.RAW if named.lineage == "down" else graphs.MODEL,
    }  # fmt: skip
    return {each.name: known[each.name] for each in named.parameters if each.name in known}


def seconds(engine: Engine, named: Named, given: dict[str, str]) -> float:
    began = time.perf_counter()
    ask(engine, named, given)
    return time.perf_counter() - began


def of_store(project: Project, label: str) -> list[table.Row]:
    engine = Engine(project, None, TIMEOUT_S)
    runs = [str(run["run"]) for run in list_runs(engine)]
    rows = []
    for named in catalog().values():
        given = parameters(named, runs)
        took = min(seconds(engine, named, given) for _ in range(REPEATS))
        rows.append(
            table.Row(
                f"ask {named.name}, {label}",
                "s",
                took,
                at_most=TARGET_S if "run" in given else None,
            )
        )
        table.note(f"{named.name}: {took:.2f} s")
    return rows


def measure(options: argparse.Namespace) -> list[table.Row]:
    if options.folder is not None:
        return of_store(Project(options.folder / ".sprov"), options.folder.name)
    with tempfile.TemporaryDirectory() as folder:
        project = Project(Path(folder) / ".sprov").create()
        made = graphs.make(project, options.triples)
        table.note(f"{made.n_triples:,} triples, {made.n_records:,} records")
        return of_store(project, f"{options.triples:,} triples")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--triples", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path)
    table.run(measure, parser)
