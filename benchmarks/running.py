"""What `sprov run` costs: the command, the node that it runs on, and each file that it opens.

The command is `true`, with and without in turn.  Sampling is what eight wrappers on a node take of
a core together while their commands sleep.  The hook's cost is what it adds to opening and closing
empty files, each for the first time and again, in a Python of its own; the least of all rounds
counts, since others on the machine only add to it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pllib

from . import service, table

RANKS = 8
SETTLED_S = 3.0
"""After the start, whose cost is in the first figure."""
HOOK = Path(pllib.__file__).parent / "hook"
OPENING = """
import sys, time
def opened(paths):
    before = time.perf_counter()
    for path in paths:
        open(path, "rb").close()
    return (time.perf_counter() - before) / len(paths)
paths = [f"{sys.argv[1]}/{nth}" for nth in range(int(sys.argv[2]))]
print(opened(paths), min(opened(paths) for _ in range(5)))
"""


def added_seconds(rounds: int) -> float:
    """Return the median of what the wrapper adds to a command."""
    wrapper = [service.command("sprov"), "run", "--"]
    found = []
    for nth in range(rounds + 1):
        took = []
        for command in (["true"], [*wrapper, "true"]):
            start = time.perf_counter()
            subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
            took.append(time.perf_counter() - start)
        if nth:  # the first round compiles bytecode
            found.append(took[1] - took[0])
    return statistics.median(found)


def cpu_seconds(pid: int) -> float:
    """Return what all threads of a process have run.  Source: sched-stats, ``schedstat``."""
    stats = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(path.read_text().split()[0]) for path in stats) / 1e9


def sampling_share(seconds: float) -> float:
    """Return the share of a core that the wrappers of a node take."""
    command = [service.command("sprov"), "run", "--", "sleep", "600"]
    started = [subprocess.Popen(command, stderr=subprocess.DEVNULL) for _ in range(RANKS)]
    try:
        time.sleep(SETTLED_S)
        before = sum(cpu_seconds(process.pid) for process in started)
        time.sleep(seconds)
        return (sum(cpu_seconds(process.pid) for process in started) - before) / seconds
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait()


def opening_seconds(n_files: int, rounds: int) -> tuple[float, float]:
    """Return what the hook adds to an open: of a file for the first time, and again."""
    with tempfile.TemporaryDirectory() as folder, tempfile.NamedTemporaryFile() as lines:
        for nth in range(n_files):
            Path(folder, str(nth)).touch()
        command = [sys.executable, "-c", OPENING, folder, str(n_files)]
        hooked = {**os.environ, "PYTHONPATH": str(HOOK), "SPROV_OPENED": lines.name}
        found: dict[bool, list[list[float]]] = {False: [], True: []}
        for nth in range(2 * rounds):
            environ = hooked if nth % 2 else {**os.environ}
            out = subprocess.run(command, env=environ, check=True, capture_output=True, text=True)
            found[bool(nth % 2)].append([float(word) for word in out.stdout.split()])
    first, again = (
        min(times[nth] for times in found[True]) - min(times[nth] for times in found[False])
        for nth in (0, 1)
    )
    return first, again


def measure(options: argparse.Namespace) -> list[table.Row]:
    with service.project():
        added = added_seconds(options.rounds)
        share = sampling_share(options.seconds)
    first, again = opening_seconds(options.files, options.rounds)
    return [
        table.Row("sprov run true, added", "s", added, at_most=0.3),
        table.Row(f"sampling at 1 Hz, {RANKS} ranks", "% of a core", 100 * share, at_most=1.0),
        table.Row("file hook, an open of a new file", "us", 1e6 * first, at_most=5.0),
        table.Row("file hook, an open of a known file", "us", 1e6 * again, at_most=5.0),
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--files", type=int, default=5000)
    table.run(measure, parser)
