"""What the tracker costs a batch job: its start and, when it is idle, its end.

A cluster of four virtual nodes on this machine (`tests/cluster`), one job on one node and one on
four, each with so many starts and stops.  All nodes share this machine's cores.  Needs root and
Slurm.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from . import table

TESTS = Path(__file__).parents[1] / "tests"
SCRIPT = """
TIMEFORMAT="%R"
for round in $(seq {rounds}); do
    {{ time eval "$(sprov slurm start --export)"; }} 2>> started
    {{ time sprov slurm stop; }} 2>> stopped
done
"""


def taken(site: Any, n_nodes: int, rounds: int) -> tuple[float, float]:
    """Return the medians of seconds that start and stop took in a job; the first round warms up."""
    site.submit(SCRIPT.format(rounds=rounds + 1), f"-N{n_nodes}", "--ntasks-per-node=2").end()
    found = []
    for name in ("started", "stopped"):
        path = site.folder / name
        found.append(statistics.median([float(line) for line in path.read_text().split()][1:]))
        path.unlink()
    return found[0], found[1]


def measure(options: argparse.Namespace) -> list[table.Row]:
    sys.path.insert(0, str(TESTS))
    from cluster.configuration import Shape
    from cluster.jobs import SlurmSite
    from cluster.virtual import Cluster

    rows = []
    with tempfile.TemporaryDirectory() as folder, Cluster(Shape(nodes=4, cpus=2)) as cluster:
        site = SlurmSite(Path(folder), cluster)
        for n_nodes in (1, 4):
            start, stop = taken(site, n_nodes, options.rounds)
            nodes = f"{n_nodes} node{'s' if n_nodes > 1 else ''}"
            rows.append(table.Row(f"sprov slurm start, {nodes}", "s", start, at_most=3.0))
            rows.append(table.Row(f"sprov slurm stop, idle, {nodes}", "s", stop, at_most=2.0))
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    table.run(measure, parser)
