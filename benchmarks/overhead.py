"""What provenance costs a training: the same program with it and without, in turn.

Each program is a process of its own, timed from its start to its end: importing, opening and
closing count.  A step works for about 10 ms and is one record; `sprov serve` on the same machine
takes and stores them.  The interval is that of paired differences, by Student's t.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time

from . import service, table

STEP_S = 0.010
CONFIDENCE = 0.95


def train(n_steps: int, n_products: int) -> None:
    """Be the program; print how long its capture calls took, seconds."""
    import numpy as np

    import pllib

    draw = np.random.default_rng(0)
    left, right = draw.random((96, 96)), draw.random((96, 96))
    captured = 0.0
    clock = time.perf_counter
    with pllib.open(study="overhead") as session, session.stage("training", "fit"):
        for step in range(n_steps):
            before = clock()
            with session.transformation("step", used={"batch": step, "lr": 1e-3}) as execution:
                entered = clock()
                loss = sum(float((left @ right)[0, 0]) for _ in range(n_products))
                worked = clock()
                execution.generated(loss=loss, accuracy=0.5)
            captured += entered - before + clock() - worked
    print(json.dumps(captured))


def products(step_s: float) -> int:
    """Return how many products of two matrices take so long on this machine."""
    import numpy as np

    left = np.random.default_rng(0).random((96, 96))
    taken = []
    for _ in range(2000):
        start = time.perf_counter()
        left @ left
        taken.append(time.perf_counter() - start)
    return max(1, round(step_s / statistics.median(taken)))


def seconds(options: argparse.Namespace, n_products: int, mode: str) -> tuple[float, float]:
    """Return how long a whole process took, and its capture calls in it."""
    arguments = ["--train", "--steps", str(options.steps), "--products", str(n_products)]
    command = [sys.executable, "-m", "benchmarks.overhead", *arguments]
    environ = {
        **os.environ,
        "SPROV_MODE": mode,
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    start = time.perf_counter()
    done = subprocess.run(command, env=environ, check=True, stdout=subprocess.PIPE)
    return time.perf_counter() - start, json.loads(done.stdout)


def interval(differences: list[float]) -> tuple[float, float]:
    """Return the confidence interval of the mean of paired differences."""
    from scipy import stats

    mean = statistics.mean(differences)
    error = statistics.stdev(differences) / len(differences) ** 0.5
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(differences) - 1)) * error
    return mean - half, mean + half


def measure(options: argparse.Namespace) -> list[table.Row]:
    n_products = products(STEP_S)
    shares, captured, plain = [], [], []
    with service.project() as project, service.serving(project):
        for mode in ("off", options.mode):  # caches are warm from here on
            seconds(options, n_products, mode)
        for _ in range(options.pairs):
            order = random.sample(["off", options.mode], 2)
            found = {mode: seconds(options, n_products, mode) for mode in order}
            plain.append(found["off"][0])
            shares.append(100 * (found[options.mode][0] / found["off"][0] - 1))
            captured.append(100 * found[options.mode][1] / found[options.mode][0])
    low, high = interval(shares)
    table.note(
        f"{options.pairs} pairs of {statistics.median(plain):.1f} s; paired difference "
        f"{statistics.mean(shares):.2f} %, 95 % interval {low:.2f} to {high:.2f} %"
    )
    figure = (
        f"training with a record a step of {1e3 * statistics.median(plain) / options.steps:.1f} ms"
    )
    return [
        table.Row(f"{figure}, longer by at most (95 %)", "%", high, at_most=1.0),
        table.Row(
            f"{figure}, spent in capture calls", "%", statistics.median(captured), at_most=0.1
        ),
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--mode", choices=["online", "offline"], default="online")
    parser.add_argument("--train", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--products", type=int, default=1, help=argparse.SUPPRESS)
    if (options := parser.parse_known_args()[0]).train:
        train(options.steps, options.products)
    else:
        table.run(measure, parser)
