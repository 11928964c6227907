"""How long a tracker that was killed takes to acknowledge again, with a journal to recover; and how
long one that is told to end takes.

Two journals of the same size: one whose segments but the last are compressed and summed up, as
they are a second or two after they are full, and one of raw segments alone, all of which a restart
has to read.  Nothing of either is in the page cache.  Time runs from the start of the process to
the acknowledgement of a frame.  The floor is the start of a tracker whose journal is empty.

The drain is of `sprov serve`: idle, and while ranks capture as fast as they can.
"""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from pllib.delivery import deliver
from pllib.log import LogReader, frame_key
from pllib.project import Endpoint, Project, read_endpoint
from tracker.journal import Journal, segments

from . import service, table, workload

NAME = "local"
N_RECORDS = 20_000
FRAMES_A_SYNC = 64
RANK = """
import pllib
with pllib.open(mode="online") as session:
    while True:
        with session.transformation("step", used={"n": 1, "half": 0.5}) as step:
            step.generated(square=1.0)
"""


def fill(project: Project, log: Path, n_bytes: int, *, sealed: bool) -> bytes:
    """Write a journal of so many bytes of a log's frames, over and over; return one more frame."""
    journal = Journal(project.journal / NAME, segment_bytes=16 << 20 if sealed else 64 << 20)
    with LogReader(log) as reader:
        frames = [located.frame for located in reader.frames()]
    while size(journal) < n_bytes:
        log_id = os.urandom(16)
        packed = (msgspec.structs.replace(frame, log_id=log_id).pack() for frame in frames)
        while some := list(itertools.islice(packed, FRAMES_A_SYNC)):
            journal.append([(frame_key(frame), frame) for frame in some])
            while sealed and journal.seal_next():
                pass
    journal.close()
    return msgspec.structs.replace(frames[0], log_id=os.urandom(16)).pack()


def size(journal: Journal) -> int:
    return sum(path.stat().st_size for _, path in segments(journal.folder))


def restart_s(project: Project, frame: bytes) -> float:
    """Kill a tracker, and return the seconds until the next one has acknowledged a frame."""
    process, _ = start(project)
    process.kill()
    process.wait()
    for _, path in segments(project.journal / NAME):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    begun = time.perf_counter()
    process, endpoint = start(project)
    for _ in deliver(endpoint, [frame]):
        pass
    taken = time.perf_counter() - begun
    process.kill()
    process.wait()
    return taken


def start(project: Project) -> tuple[subprocess.Popen[bytes], Endpoint]:
    ready = project.root / "ready"
    ready.unlink(missing_ok=True)
    command = [service.command("sprov"), "tracker", "serve", "--ready-file", str(ready)]
    process = subprocess.Popen(command, env={**os.environ, "SPROV_DIR": str(project.root)})
    service.wait_for(ready.exists, process, every_s=0.005)
    return process, read_endpoint(project.endpoints / f"{NAME}.json")


def restarts(options: argparse.Namespace) -> list[table.Row]:
    rows, floor = [], 0.0
    for kind, n_bytes in (("empty", 0), ("sealed", options.bytes), ("raw", options.bytes)):
        with service.project() as project:
            log = workload.capture(project, N_RECORDS)
            frame = fill(project, log, n_bytes, sealed=kind == "sealed")
            taken = [restart_s(project, fresh(frame)) for _ in range(options.rounds)]
        middle = statistics.median(taken)
        if kind == "empty":
            floor = middle
        else:
            what = f"restart with {n_bytes >> 20} MiB of journal, {kind}"
            rows.append(table.Row(what, "s", middle, floor, at_most=5.0))
    return rows


def fresh(frame: bytes) -> bytes:
    """Return a frame that no journal has yet."""
    from pllib.log import unpack_frame

    return msgspec.structs.replace(unpack_frame(frame), log_id=os.urandom(16)).pack()


def drain_s(ranks: int, *, tracker: bool) -> float:
    """Return the seconds from SIGTERM to the end of `sprov serve`, or of its tracker alone."""
    with service.project() as project, service.starting(project) as process:
        environment = {**os.environ, "SPROV_DIR": str(project.root)}
        service.wait_for(
            lambda: (service.tracker_status(project) or {"settled": False})["settled"], process
        )
        command = [sys.executable, "-c", RANK]
        started = [subprocess.Popen(command, env=environment) for _ in range(ranks)]
        n_frames = 40 * ranks
        service.wait_for(
            lambda: (service.tracker_status(project) or {"frames": 0})["frames"] >= n_frames,
            process,
        )
        pid = read_endpoint(project.endpoints / f"{NAME}.json").tracker_pid
        begun = time.perf_counter()
        if tracker:
            handle = os.pidfd_open(pid)
            os.kill(pid, signal.SIGTERM)
            select_readable(handle)
        else:
            process.terminate()
            process.wait()
        taken = time.perf_counter() - begun
        for each in started:
            each.kill()
            each.wait()
    return taken


def select_readable(handle: int) -> None:
    import select

    select.select([handle], [], [])
    os.close(handle)


def measure(options: argparse.Namespace) -> list[table.Row]:
    rows = restarts(options) if options.bytes else []
    for ranks, busy in ((0, "idle"), (2, "2 ranks capturing")):
        for tracker, what in ((True, "tracker"), (False, "sprov serve")):
            taken = [drain_s(ranks, tracker=tracker) for _ in range(options.rounds)]
            at_most = 2.0 if tracker else None
            rows.append(
                table.Row(f"SIGTERM to end, {what}, {busy}", "s", max(taken), at_most=at_most)
            )
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bytes", type=int, default=100 << 20)
    parser.add_argument("--rounds", type=int, default=3)
    table.run(measure, parser)
