"""Capture COUNT transformations in each rank of a job, and meet an end.

    cluster_steps.py COUNT [--mpi] [--pace SECONDS] [--until FILE] [--hang FILE] [--fail RANK]
                     [--die RANK]

--until: go on until FILE exists, however many that makes; how many it is so far is in FILE.RANK.
--hang: once all is captured, make FILE.RANK and wait for ever.  --fail, --die: that rank raises, or
is killed, when all of its own is captured.
"""

import argparse
import os
import signal
import time
from pathlib import Path

import pllib


def rank() -> int:
    return int(os.environ.get("SLURM_PROCID", "0"))


def capture(session: pllib.Session | pllib.Off, options: argparse.Namespace) -> None:
    n = 0
    while n < options.count or (options.until and not options.until.exists()):
        with session.transformation("step", used={"n": n, "rank": rank()}) as step:
            step.generated(square=n * n)
        n += 1
        if options.until:
            Path(f"{options.until}.{rank()}").write_text(f"{n:9}")  # always as long
        if options.pace:
            time.sleep(options.pace)


def meet_its_end(options: argparse.Namespace) -> None:
    if options.fail == rank():
        raise RuntimeError("as it was told to")
    if options.die == rank():
        os.kill(os.getpid(), signal.SIGKILL)
    if options.hang:
        Path(f"{options.hang}.{rank()}").touch()
        signal.pause()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("count", type=int)
    parser.add_argument("--mpi", action="store_true")
    parser.add_argument("--pace", type=float, default=0.0)
    parser.add_argument("--until", type=Path)
    parser.add_argument("--hang")
    parser.add_argument("--fail", type=int)
    parser.add_argument("--die", type=int)
    options = parser.parse_args()
    if options.mpi:
        from mpi4py import MPI

        MPI.COMM_WORLD.Barrier()
    with pllib.open(study="cluster", experiment="steps") as session:
        capture(session, options)
        meet_its_end(options)


if __name__ == "__main__":
    main()
