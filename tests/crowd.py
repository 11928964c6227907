"""A tracker alone, and crowds of ranks that use it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
from harness import PROGRAMS, SCRIPT, TIMEOUT_S, Site, wait_until

from pllib.delivery import ask_status
from pllib.errors import UnavailableError
from pllib.project import Endpoint
from tracker.journal import read_journal


class Crowd:
    """A process that is many ranks."""

    def __init__(self, site: Site, n_clients: int) -> None:
        file = site.project.endpoints / "local.json"
        self.n_clients = n_clients
        self.n_rounds = 0
        self.process: subprocess.Popen[str] = subprocess.Popen(
            [sys.executable, str(PROGRAMS / "crowd.py"), str(file), str(n_clients)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        site.started.append(self.process)

    def send(self) -> None:
        """Have each send a frame."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.n_rounds += 1

    def hear(self) -> None:
        """Wait until all that they sent last is acknowledged."""
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == f"{self.n_clients}\n"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def keys(self) -> set[tuple[bytes, int]]:
        """Return log and number of each frame that was acknowledged."""
        logs = [b"%08d%08d" % (self.process.pid, nth) for nth in range(self.n_clients)]
        return {(log, number) for log in logs for number in range(self.n_rounds)}


@contextlib.contextmanager
def tracker(
    site: Site, *options: str, before: Callable[[], None] | None = None
) -> Iterator[psutil.Process]:
    """Have a tracker without a manager; `before` runs in its process before it is one."""
    ready = site.folder / "ready"
    ready.unlink(missing_ok=True)
    errors = site.folder / "errors"
    with errors.open("w") as stderr:
        process = subprocess.Popen(
            [SCRIPT, "tracker", "serve", "--drain-s", "0", "--ready-file", str(ready), *options],
            cwd=site.folder,
            env=site.environment(),
            preexec_fn=before,
            stderr=stderr,
        )
    try:
        wait_until(lambda: ready.exists() or process.poll() is not None)
        assert process.poll() is None, errors.read_text()
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(TIMEOUT_S)


def status(endpoint: Endpoint) -> dict[str, Any]:
    """Return a tracker's counts; empty as long as it does not answer."""
    try:
        return ask_status(endpoint)
    except UnavailableError:
        return {}


def journalled(folder: Path) -> list[tuple[bytes, int]]:
    """Return log and number of each frame of a journal that nobody writes any more."""
    return [(frame.log_id, frame.number) for _, frame in read_journal(folder)]
