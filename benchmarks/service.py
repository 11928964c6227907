"""A project of its own for a figure, and real daemons that serve it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from pllib.delivery import ask_status
from pllib.errors import Error
from pllib.project import Endpoint, Project, read_endpoint

DISK = Path("/var/tmp")
"""By the Filesystem Hierarchy Standard kept across reboots, so never in memory, as /tmp may be."""
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 90.0
JOB_VARIABLES = ("SPROV_", "SLURM", "PMI_", "OMPI_", "PMIX_")

Found = TypeVar("Found")


def command(name: str) -> str:
    """Return the path of a command of this Python's environment."""
    return str(Path(sys.executable).with_name(name))


@contextlib.contextmanager
def project() -> Iterator[Project]:
    """Make a project on disk, which this process and its children find; gone afterwards."""
    for name in [name for name in os.environ if name.startswith(JOB_VARIABLES)]:
        del os.environ[name]
    with tempfile.TemporaryDirectory(
        dir=DISK, prefix="sprov-benchmark-", ignore_cleanup_errors=True
    ) as folder:
        os.environ["SPROV_DIR"] = f"{folder}/.sprov"
        yield Project(Path(folder) / ".sprov").create()


@contextlib.contextmanager
def starting(of: Project) -> Iterator[subprocess.Popen[bytes]]:
    """Start `sprov serve`, and end it on the way out."""
    ready = of.root / "ready"
    arguments = [command("sprov"), "serve", "--name", "local", "--ready-file", str(ready)]
    process = subprocess.Popen(arguments, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(STOP_TIMEOUT_S)


@contextlib.contextmanager
def serving(of: Project) -> Iterator[Endpoint]:
    """Have tracker and manager running and ready."""
    with starting(of) as process:
        wait_for(lambda: (of.root / "ready").exists(), process)
        yield endpoint(of)


def endpoint(of: Project) -> Endpoint:
    return read_endpoint(of.endpoints / "local.json")


def tracker_status(of: Project) -> dict[str, int] | None:
    """Return the tracker's counts, None as long as there is none that answers."""
    try:
        found = endpoint(of)
        return ask_status(found) if found.tracker else None
    except Error:
        return None


def wait_for(
    ask: Callable[[], Found | None],
    process: subprocess.Popen[bytes],
    timeout_s: float = START_TIMEOUT_S,
    every_s: float = 0.02,
) -> Found:
    """Ask until there is an answer that is true.

    Raises:
        TimeoutError: None came, or the daemons ended.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        if found := ask():
            return found
        if process.poll() is not None or time.monotonic() > deadline:
            raise TimeoutError(f"sprov serve: {process.poll()}, no answer in {timeout_s:g} s")
        time.sleep(every_s)
