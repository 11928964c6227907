"""How long a live question takes while a job records.

Ranks under mpirun record at a steady pace; `sprov query --live` asks how many records there are,
again and again.  Each answer must have all that was journalled when it was asked.  The time is the
whole command's: its start, the wait, the query.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

import pllib
from pllib.delivery import ask_status
from pllib.project import Project, read_endpoint

from . import service, table

N_RANKS = 8
COUNT = "SELECT (COUNT(*) AS ?n) { ?a a provml:DataTransformationExecution }"


def be_rank(rate: float) -> None:
    """Record `rate` a second until killed."""
    with pllib.open(study="live") as session:
        start, n = time.perf_counter(), 0
        while True:
            time.sleep(max(0.0, start + n / rate - time.perf_counter()))
            with session.transformation("paced", used={"n": n}) as execution:
                execution.generated(square=n * n)
            n += 1


def count(project: Project, *options: str) -> int:
    command = [service.command("sprov"), "query", COUNT, "--format", "csv", *options]
    done = subprocess.run(command, cwd=project.root, stdout=subprocess.PIPE, text=True, check=True)
    return int(done.stdout.split()[1])


def seconds(rate: float, n_queries: int) -> list[float]:
    """Return how long each live query took, once all ranks record."""
    with service.project() as project, service.serving(project):
        program = [sys.executable, "-m", "benchmarks.live", "--rank", "--rate", str(rate)]
        ranks = subprocess.Popen([service.command("mpirun"), "-n", str(N_RANKS), *program])
        try:
            _wait_for_ranks(project)
            found, before = [], 0
            for _ in range(n_queries):
                start = time.perf_counter()
                now = count(project, "--live")
                found.append(time.perf_counter() - start)
                if now <= before:
                    raise RuntimeError(f"{now} records, and {before} before")
                before = now
        finally:
            ranks.terminate()
            ranks.wait(30)
    return found


def _wait_for_ranks(project: Project) -> None:
    (path,) = project.endpoints.glob("*.json")
    deadline = time.monotonic() + 60
    while len(ask_status(read_endpoint(path))["ranks"]) < N_RANKS:
        if time.monotonic() > deadline:
            raise RuntimeError("not all ranks came")
        time.sleep(0.2)


def measure(options: argparse.Namespace) -> list[table.Row]:
    found = seconds(options.rate, options.queries)
    figure = f"sprov query --live, {N_RANKS} ranks x {options.rate:g} records/s"
    return [
        table.Row(f"{figure}, median of {len(found)}", "s", statistics.median(found)),
        table.Row(f"{figure}, slowest", "s", max(found), at_most=3.0),
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=float, default=12.0, help="records a second and rank")
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--rank", action="store_true", help=argparse.SUPPRESS)
    if (options := parser.parse_known_args()[0]).rank:
        be_rank(options.rate)
    else:
        table.run(measure, parser)
