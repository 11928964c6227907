"""How long `sprov` takes to start, and to answer a small query on a store without daemons.

Medians of processes started in turn.  The floors are Python alone, and Python with the two
libraries that a query needs.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

from . import service, table, workload

TRIPLES_A_RECORD = 47
RUNS = "SELECT ?run ?program { ?run a provml:LearningExperimentExecution ; sprov:program ?program }"


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def measure(options: argparse.Namespace) -> list[table.Row]:
    sprov = service.command("sprov")
    commands = {
        "help": [sprov, "--help"],
        "query": [sprov, "query", RUNS],
        "python": [sys.executable, "-c", "pass"],
        "libraries": [sys.executable, "-c", "import pyoxigraph, click"],
    }
    with service.project() as project:
        workload.capture(project, options.triples // TRIPLES_A_RECORD + 1)
        subprocess.run([sprov, "ingest"], check=True, capture_output=True)
        taken: dict[str, list[float]] = {name: [] for name in commands}
        for nth in range(options.rounds + 1):
            for name, command in commands.items():
                took = seconds(command)
                if nth:  # the first round compiles bytecode and reads what is not cached
                    taken[name].append(took)
    middle = {name: statistics.median(times) for name, times in taken.items()}
    query = f"sprov query, {options.triples:,} triples"
    return [
        table.Row("sprov --help", "s", middle["help"], middle["python"], at_most=0.25),
        table.Row(query, "s", middle["query"], middle["libraries"], at_most=0.5),
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--triples", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=9)
    table.run(measure, parser)
