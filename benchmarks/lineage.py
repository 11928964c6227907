"""How long a lineage takes: 5,000 files that one model comes from, across the files of 20 jobs.

The trace is what a query process does for it: the walk over a snapshot, and what it tells of the
nearest 500 files.  The command is all that a user waits for, without a daemon: Python starts, finds
the file, opens the snapshot in a child and prints the tree.  Each is the median of several, the
first left out, since that reads the store from disk.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pyoxigraph as ox

from manager.store.described import Trace, lineage
from manager.store.lineage import trace
from manager.store.show import Show, show
from manager.store.snapshots import open_snapshot
from manager.store.walk import Direction
from manager.vocabulary import term
from pllib.project import Project
from query.engine import Engine
from query.runs import find_run
from query.targets import find_target

from . import graphs, service, table

N_TIMES = 5
N_TOLD = 500


def median_s(call: Callable[[], object]) -> float:
    taken = []
    for _ in range(N_TIMES + 1):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[1:])


def command_s(project: Project, *arguments: str) -> float:
    """Return the seconds that a command of `sprov` takes."""
    command = [service.command("sprov"), *arguments]
    found = {**os.environ, "SPROV_DIR": str(project.root)}
    return median_s(
        lambda: subprocess.run(command, env=found, check=True, stdout=subprocess.DEVNULL)
    )


def bare_s(store: ox.Store, target: str) -> float:
    """Return the seconds of one property path to the same entities: no edges, no rule of time."""
    step = f"{term('prov:wasGeneratedBy')}/{term('provml:isPartOf')}*/{term('prov:used')}"
    content = term("prov:specializationOf")
    query = f"SELECT DISTINCT ?e {{ <{target}> ({step}|{content}/^{content})* ?e }}"

    def ask() -> int:
        found = store.query(query)
        assert isinstance(found, ox.QuerySolutions)
        return sum(1 for _ in found)

    return median_s(ask)


def traced(store: ox.Store, target: str, direction: Direction) -> list[table.Row]:
    found = trace(store, [target], direction)
    size = f"{len(found.entities):,} entities {direction}"
    walk = median_s(lambda: trace(store, [target], direction))
    asked = Trace(target, direction, limit=N_TOLD)
    told = median_s(lambda: lineage(store, asked, [target]))
    most = 0.3 if direction == "up" else None
    return [
        table.Row(f"lineage, walk of {size}", "s", walk, at_most=most),
        table.Row(f"lineage, walk and nearest {N_TOLD} told", "s", told),
    ]


def measure(options: argparse.Namespace) -> list[table.Row]:
    with service.project() as made:
        project = made if options.folder is None else Project(options.folder / ".sprov")
        if options.folder is None:
            graphs.make(project, options.triples)
        engine = Engine(project, None)
        model = find_target(engine, graphs.MODEL).iri
        raw = find_target(engine, graphs.RAW).iri
        run = find_run(engine, "@last")["run"]
        store = open_snapshot(project.snapshots)
        table.note(f"{len(store):,} triples in the store")
        return [
            *traced(store, model, "up"),
            table.Row("lineage, one bare property path up", "s", bare_s(store, model)),
            *traced(store, raw, "down"),
            table.Row(
                "sprov lineage, whole command", "s", command_s(project, "lineage", graphs.MODEL)
            ),
            table.Row("show of a run, in the store", "s", median_s(lambda: show(store, Show(run)))),
            table.Row("sprov show, whole command", "s", command_s(project, "show", "@last")),
        ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--triples", type=int, default=10_500_000)
    parser.add_argument("--folder", type=Path, help="where `benchmarks.graphs` made a store")
    table.run(measure, parser)
