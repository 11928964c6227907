"""What a capture costs while the disk under spool and project is full, and what becomes of it.

The disk is a tmpfs of its own in a mount namespace.  A rank captures while there is space, while a
file takes all of it, and when that is gone again; at last all that was kept is counted in its log.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pllib
from pllib.log import LogReader
from pllib.records import Transformation

from . import table

DISK_BYTES = 48 << 20
AGAIN_TIMEOUT_S = 60.0
NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount", "--propagation", "private", "--")


def capture(session: Any, n_calls: int, first: int) -> list[int]:
    """Return the nanoseconds of each of so many calls."""
    taken = []
    text = "x" * 200
    for n in range(first, first + n_calls):
        began = time.perf_counter_ns()
        with session.transformation("step", used={"n": n, "text": text}) as step:
            step.generated(square=n * n)
        taken.append(time.perf_counter_ns() - began)
    return taken


def fill(path: Path) -> None:
    """Take all the space that the disk has."""
    block = bytes(64 << 10)
    with path.open("wb", buffering=0) as file:
        try:
            while file.write(block) == len(block):
                pass
        except OSError:
            return


def until_kept(session: Any, first: int) -> tuple[float, int]:
    """Capture until a record is kept again; return the seconds, and how many were captured."""
    began = time.monotonic()
    n_captured = 0
    while time.monotonic() - began < AGAIN_TIMEOUT_S:
        lost = sum(session.lost.values())
        capture(session, 1, first + n_captured)
        n_captured += 1
        if sum(session.lost.values()) == lost:
            return time.monotonic() - began, n_captured
        time.sleep(0.01)
    raise TimeoutError(f"nothing was kept within {AGAIN_TIMEOUT_S:g} s of space coming back")


def kept_in(folder: Path) -> int:
    """Return how many transformations the logs in a folder hold."""
    n_kept = 0
    for path in folder.glob("*.log"):
        with LogReader(path) as reader:
            for located in reader.frames():
                n_kept += sum(isinstance(r, Transformation) for r in located.frame.records())
            if reader.corrupt or reader.torn:
                raise RuntimeError(f"{path}: {reader.corrupt} {reader.torn}")
    return n_kept


def inside(folder: Path, n_calls: int) -> dict[str, Any]:
    """Run on the small disk that is mounted on `folder`."""
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "small", str(folder)], check=True
    )
    os.environ["SPROV_DIR"] = str(folder / ".sprov")
    filler = folder / "filler"
    taken: dict[str, Any] = {}
    with pllib.open(study="benchmark", mode="offline") as session:
        taken["space"] = capture(session, n_calls // 10, 0)
        n_captured = n_calls // 10
        fill(filler)
        while not session.lost:
            n_captured += len(capture(session, 1000, n_captured))
        taken["full"] = capture(session, n_calls, n_captured)
        n_captured += n_calls
        filler.unlink()
        taken["again_s"], n_more = until_kept(session, n_captured)
        n_captured += n_more + n_calls // 10
        taken["after"] = capture(session, n_calls // 10, n_captured - n_calls // 10)
        spool = session.spool_path
    lost = session.lost["spool full"]
    taken["lost"], taken["kept"] = lost, kept_in(spool.parent)
    if taken["kept"] + lost != n_captured or spool.exists():
        raise RuntimeError(f"captured {n_captured}, kept {taken['kept']}, lost {lost}")
    return taken


def measure(options: argparse.Namespace) -> list[table.Row]:
    with tempfile.TemporaryDirectory(prefix="sprov-full-") as folder:
        arguments = [__spec__.name, "--calls", str(options.calls), "--in", folder]
        command = [*NAMESPACE, sys.executable, "-m", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    taken = json.loads(done.stdout)
    table.note(f"{taken['kept']} transformations kept and counted in the log, {taken['lost']} lost")
    rows = []
    for when in ("space", "full", "after"):
        us = sorted(ns / 1e3 for ns in taken[when])
        rows.append(table.Row(f"capture, disk {when}, median", "us", statistics.median(us)))
        p99 = us[len(us) * 99 // 100]
        rows.append(table.Row(f"capture, disk {when}, p99", "us", p99, at_most=1000.0))
        rows.append(table.Row(f"capture, disk {when}, longest", "us", us[-1]))
    rows.append(
        table.Row(
            "capture, disk full, kept again after", "s", taken["again_s"], at_most=AGAIN_TIMEOUT_S
        )
    )
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=300_000, help="while the disk is full")
    parser.add_argument("--in", dest="folder", type=Path, help=argparse.SUPPRESS)
    chosen, _ = parser.parse_known_args()
    if chosen.folder is not None:
        print(json.dumps(inside(chosen.folder, chosen.calls)))
    else:
        table.run(measure, parser)
