"""Capture COUNT transformations, `n` from 0 up, then end, or wait to be killed.

    steps.py COUNT [--hang FILE] [--until FILE] [--mpi] [--pace SECONDS]

--hang: after the last call, make FILE and wait for ever.
--until: go on until FILE exists, however many that makes; print how many.
"""

import argparse
import os
import signal
import time
from pathlib import Path

import pllib


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("count", type=int)
    parser.add_argument("--hang", type=Path)
    parser.add_argument("--until", type=Path)
    parser.add_argument("--mpi", action="store_true")
    parser.add_argument("--pace", type=float, default=0.0)
    options = parser.parse_args()
    if options.mpi:
        from mpi4py import MPI

        MPI.COMM_WORLD.Barrier()
    done = 0
    with pllib.open(study="steps", experiment="count") as session:
        while done < options.count or (options.until and not options.until.exists()):
            with session.transformation("step", used={"n": done, "half": 0.5}) as step:
                step.generated(square=done * done, cube=done**3)
            done += 1
            if options.pace:
                time.sleep(options.pace)
        if options.hang:
            options.hang.touch()
            signal.pause()
    os.write(1, f"{done}\n".encode())  # in one piece, among those of other ranks


if __name__ == "__main__":
    main()
