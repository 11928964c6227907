"""A site on a disk of `disks`: it can fail, and its machine can lose its power."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path
from random import Random

import psutil
from disks import Disk, Lost
from harness import Site, wait_until


class Machine(Site):
    """The project is on the disk; the spools of ranks are not: these count as other machines."""

    def __init__(self, folder: Path, shim: Path) -> None:
        self.spools = folder / "spools"
        state = folder / "disk"
        work = folder / "work"
        for each in (self.spools, state, work):
            each.mkdir()
        super().__init__(work)
        self.disk = Disk(shim, self.project.root, state)

    def environment(self, **extra: str) -> dict[str, str]:
        spools = {"SPROV_SPOOL_DIR": str(self.spools)}
        return super().environment(**self.disk.environment, **{**spools, **extra})

    def start_command(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the command; it is ended with the site."""
        process = subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment(),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.started.append(process)
        return process

    def serve_tracker(self) -> None:
        """Serve without a manager."""
        ready = self.folder / "ready"
        ready.unlink(missing_ok=True)
        command = self.command("tracker", "serve", "--ready-file", str(ready))
        self.server = subprocess.Popen(command, cwd=self.folder, env=self.environment())
        wait_until(ready.exists)

    def cut_power(self, draw: Random) -> Lost:
        """Kill all daemons at once, and leave on the disk what a power cut leaves."""
        assert self.server is not None
        server = psutil.Process(self.server.pid)
        daemons = [server, *server.children(recursive=True)]
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for each in daemons:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(each.pid, number)
        self.server.wait()
        self.server = None
        wait_until(lambda: not any(each.is_running() for each in daemons[1:]))
        return self.disk.cut(undelete=draw.random() < 0.5)

    def sync_more(self, n_bytes: int, process: subprocess.Popen[str] | None = None) -> None:
        """Wait until syncs have been noted that make up so many bytes of notes.

        Args:
            process: Its end will do.
        """
        notes = self.disk.notes
        target = notes.stat().st_size + n_bytes
        wait_until(
            lambda: notes.stat().st_size >= target or (process and process.poll() is not None)
        )
