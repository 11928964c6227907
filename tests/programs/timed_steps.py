"""Capture a step every so often until a file is there; tell what that was like.

    timed_steps.py FILE PACE_S [BYTES]

BYTES: length of a text in each step.  Prints JSON: ``captured``, ``lost``, and how long the calls
took, ``p99_us`` and ``longest_us``.
"""

import json
import sys
import time
from pathlib import Path

import pllib


def main() -> None:
    until, pace_s = Path(sys.argv[1]), float(sys.argv[2])
    text = "x" * int(sys.argv[3]) if len(sys.argv) > 3 else ""
    taken = []
    with pllib.open(study="timed") as session:
        while not until.exists():
            began = time.perf_counter_ns()
            with session.transformation("step", used={"n": len(taken), "text": text}):
                pass
            taken.append(time.perf_counter_ns() - began)
            time.sleep(pace_s)
    us = sorted(ns / 1e3 for ns in taken)
    told = {
        "captured": len(us),
        "lost": sum(session.lost.values()),
        "p99_us": round(us[len(us) * 99 // 100]),
        "longest_us": round(us[-1]),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
