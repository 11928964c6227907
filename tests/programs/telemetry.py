"""Hold memory, use a processor and write a file, and write down what that came to.

telemetry.py '{"name": "one", "mib": 200, "cpu_s": 0.5, "file_mib": 10, "child": false,
               "until": null, "mpi": false}'

With `child`, a forked child lives until the file `until` is there; so does the program itself.
"""

import json
import os
import resource
import sys
import threading
import time
from pathlib import Path

import pllib


def wait_for(path: str | None) -> None:
    while path is not None and not Path(path).exists():
        time.sleep(0.02)


def fork_a_child(until: str) -> int:
    pid = os.fork()
    if pid == 0:
        wait_for(until)
        os._exit(0)
    return pid


def moved() -> tuple[int, int]:
    lines = Path("/proc/self/io").read_text().split()
    return int(lines[1]), int(lines[3])


def use(options: dict) -> dict[str, object]:
    """Do it; return what it came to, by this process's own clocks."""
    held = bytearray(options["mib"] << 20)
    for at in range(0, len(held), 4096):
        held[at] = 1
    began = time.process_time()
    while time.process_time() - began < options["cpu_s"]:
        pass
    with open("used.bin", "wb") as file:
        file.write(held[: options["file_mib"] << 20])
    return {"used_cpu_s": time.process_time() - began, "held": held}


def main() -> None:
    options = json.loads(sys.argv[1])
    if options.get("mpi"):
        from mpi4py import MPI  # noqa: F401
    with pllib.open(study="telemetry", name=options["name"]) as session:
        while session.sampler is not None and not session.sampler.n_samples:
            time.sleep(0.005)
        with session.stage("training", "fit"):
            told = use(options)
        with session.stage("evaluation", "idle"):
            pass
        held = told.pop("held")
        threads = [thread.name for thread in threading.enumerate()]
        pids = [os.getpid()]
        if options.get("child"):
            pids.append(fork_a_child(options["until"]))
        Path(f"{options['name']}-{session.rank}.pids").write_text(json.dumps(pids))
        wait_for(options.get("until"))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    told |= {
        "moved": moved(), "cpu_s": time.process_time(), "max_rss_bytes": most, "held": len(held),
        "threads": threads, "lost": dict(session.lost), "pids": pids,
        "imported": sorted(sys.modules.keys() & {"psutil", "pynvml", "pllib.telemetry"}),
    }  # fmt: skip
    Path(f"{options['name']}-{session.rank}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main()
