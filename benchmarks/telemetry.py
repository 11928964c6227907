"""What sampling costs: 8 ranks on a node at 1 Hz, as a share of one core; and what a stage pays.

Each rank has two children and eight threads, as one with data loaders has, and one of the ranks
samples the node.  Counted is the time on a processor of the sampling threads alone, by the kernel,
from the first sample to the last.  A stage is begun and ended in turn with a section, which does
not say what it used.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import pllib

from . import service, table

CHILDREN, THREADS = 2, 8
SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]


def on_processor_s(thread: threading.Thread) -> float:
    """Return the time that a thread of this process has run, seconds.

    Source: proc(5), ``/proc/PID/schedstat``, nanoseconds.
    """
    told = Path(f"/proc/self/task/{thread.native_id}/schedstat").read_text()
    return int(told.split()[0]) / 1e9


def rank(options: argparse.Namespace) -> None:
    """Be one rank; print what its sampling took, seconds on a processor a second."""
    children = [subprocess.Popen(SLEEPER) for _ in range(CHILDREN)]
    for _ in range(THREADS):
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
    settings = {"telemetry_s": options.period}
    with pllib.open(study="benchmark", mode="offline", settings=settings) as session:
        time.sleep(2 * options.period)  # imports, drivers, and the first samples
        sampling = next(t for t in threading.enumerate() if t.name == "sprov-telemetry")
        before, began = on_processor_s(sampling), time.monotonic()
        time.sleep(options.seconds)
        took = on_processor_s(sampling) - before
        print(took / (time.monotonic() - began))
        if session.lost:
            raise RuntimeError(f"samples were lost: {session.lost}")
    for child in children:
        child.kill()


def share_of_a_core(options: argparse.Namespace) -> float:
    """Return what all ranks of a node took, all told."""
    with service.project():
        command = [
            sys.executable, "-m", "benchmarks.telemetry", "--rank",
            "--seconds", str(options.seconds), "--period", str(options.period),
        ]  # fmt: skip
        job = {**os.environ, "SLURM_JOB_ID": f"benchmark-{os.getpid()}"}  # they elect as one
        ranks = [
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=job)
            for _ in range(options.ranks)
        ]
        told = [process.communicate()[0] for process in ranks]
    if any(process.returncode for process in ranks):
        raise RuntimeError("a rank failed")
    return sum(map(float, told))


def stage_us(session: pllib.Session, options: argparse.Namespace) -> tuple[float, float]:
    """Return the medians of what a stage and a section take, begun and ended, microseconds."""
    taken: dict[str, list[float]] = {"stage": [], "section": []}
    for _ in range(options.stages):
        for what, execution in (
            ("stage", session.stage("training")), ("section", session.section("epoch")),
        ):  # fmt: skip
            began = time.perf_counter_ns()
            with execution:
                pass
            taken[what].append((time.perf_counter_ns() - began) / 1e3)
    return statistics.median(taken["stage"]), statistics.median(taken["section"])


def measure(options: argparse.Namespace) -> list[table.Row]:
    share = share_of_a_core(options)
    with service.project(), pllib.open(study="benchmark", mode="offline") as session:
        stage, section = stage_us(session, options)
    what = f"telemetry, {options.ranks} ranks of {1 + CHILDREN} processes, {options.period:g} s"
    return [
        table.Row(what, "% of a core", 100 * share, at_most=1.0),
        table.Row("stage begun and ended, section as floor", "us", stage, section),
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ranks", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--period", type=float, default=1.0, help="of sampling, seconds")
    parser.add_argument("--stages", type=int, default=2000)
    parser.add_argument("--rank", action="store_true", help="be one rank")
    if "--rank" in sys.argv:
        rank(parser.parse_args())
    else:
        table.run(measure, parser)
