"""How long after its capture a record can be seen by a query.

Four ranks under mpirun record at a steady pace, each record with its number and the wall time of
its capture; a poller asks the query engine over HTTP which numbers are there.  A record counts as
visible when the first answer has arrived that has it, or a later one of its rank: the pause between
polls and the query itself are part of the latency.
"""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import sys
import time

import pllib
from query.engine import Engine, find_engine

from . import service, table
from .workload import USED

N_RANKS = 4
RANK_STRIDE = 10_000_000
"""Record `n` of rank `r` says `r * RANK_STRIDE + n`."""
POLL_S = 0.05
LOOK_AHEAD = 2000
"""How far beyond the newest number of each rank one poll asks."""
STEP = 10
"""It asks for every tenth.  Asking for 1,000 numbers of each rank took 44 ms a poll, 125 ms with
other load, of the two cores that the daemons need, and p99 went from 1.4 s to 5.8 s.  So a record
may count as visible up to 10 records, 40 ms, late; never early."""
GENERATED = [f"made_value_{nth:05d}" for nth in range(8)]
SEEN = "SELECT ?v { VALUES ?v { %s } ?e prov:value ?v }"
CAPTURED = """
SELECT ?number ?at_ns {
  ?n provml:ofAttribute/rdfs:label "number" ; prov:value ?number ; prov:wasGeneratedBy ?t .
  ?a provml:ofAttribute/rdfs:label "captured_ns" ; prov:value ?at_ns ; prov:wasGeneratedBy ?t .
}
"""


def be_rank(rate: float, seconds: float) -> None:
    """Record `rate` a second, each at its time, whatever the last one took."""
    draw = random.Random()
    with pllib.open(study="freshness", settings={"close_timeout_s": 30.0}) as session:
        start = time.perf_counter()
        for n in range(int(rate * seconds)):
            time.sleep(max(0.0, start + n / rate - time.perf_counter()))
            used = {name: draw.random() for name in USED}
            with session.transformation("paced", used=used) as execution:
                execution.generated(
                    number=session.rank * RANK_STRIDE + n,
                    captured_ns=time.time_ns(),
                    **{name: draw.random() for name in GENERATED},
                )


def poll(engine: Engine, newest: list[int]) -> None:
    """Ask for the newest number of each rank."""
    wanted = (
        str(rank * RANK_STRIDE + n)
        for rank, last in enumerate(newest)
        for n in range(last + 1, last + 1 + LOOK_AHEAD, STEP)
    )
    for row in engine.select(SEEN % " ".join(wanted)):
        rank, n = divmod(int(row["v"]), RANK_STRIDE)
        newest[rank] = max(newest[rank], n)


def watch(engine: Engine, ranks: subprocess.Popen[bytes], n_each: int) -> dict[int, int]:
    """Poll until all is visible; return when each number was first, nanoseconds since 1970."""
    newest, visible = [-1] * N_RANKS, {}
    polls = []
    while min(newest) < n_each - 1:
        before, start = list(newest), time.perf_counter()
        poll(engine, newest)
        now_ns = time.time_ns()
        polls.append(time.perf_counter() - start)
        for rank, last in enumerate(newest):
            for n in range(before[rank] + 1, last + 1):
                visible[rank * RANK_STRIDE + n] = now_ns
        if ranks.poll():
            raise RuntimeError(f"the ranks ended with {ranks.returncode}")
        time.sleep(max(0.0, POLL_S - polls[-1]))
    table.note(
        f"{len(polls)} polls, median {statistics.median(polls) * 1e3:.0f} ms, "
        f"longest {max(polls) * 1e3:.0f} ms"
    )
    return visible


def latencies_s(rate: float, seconds: float) -> list[float]:
    with service.project() as project, service.serving(project):
        engine = find_engine(project)
        program = [sys.executable, "-m", "benchmarks.freshness", "--rank"]
        arguments = ["--rate", str(rate), "--seconds", str(seconds)]
        mpirun = [service.command("mpirun"), "-n", str(N_RANKS)]
        ranks = subprocess.Popen([*mpirun, *program, *arguments])
        try:
            visible = watch(engine, ranks, int(rate * seconds))
            if ranks.wait(60):
                raise RuntimeError(f"the ranks ended with {ranks.returncode}")
        finally:
            ranks.terminate()
            ranks.wait(30)
        captured = {int(r["number"]): int(r["at_ns"]) for r in engine.select(CAPTURED)}
    if captured.keys() != visible.keys():
        raise RuntimeError(f"{len(captured)} records in the store, {len(visible)} were seen")
    return [(visible[number] - at_ns) / 1e9 for number, at_ns in captured.items()]


def measure(options: argparse.Namespace) -> list[table.Row]:
    found = latencies_s(options.rate, options.seconds)
    shares = statistics.quantiles(found, n=100)
    table.note(f"{len(found)} records; longest {max(found):.2f} s")
    figure = f"capture to visible, {N_RANKS} x {options.rate:g} records/s"
    return [
        table.Row(f"{figure}, p50", "s", shares[49]),
        table.Row(f"{figure}, p99", "s", shares[98], at_most=2.0),
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=float, default=250.0, help="records a second and rank")
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--rank", action="store_true", help=argparse.SUPPRESS)
    if (options := parser.parse_known_args()[0]).rank:
        be_rank(options.rate, options.seconds)
    else:
        table.run(measure, parser)
