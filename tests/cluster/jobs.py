"""Batch jobs and the project that they are told to, on storage that all nodes share."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from conftest import FOREIGN
from harness import Site

from .virtual import Cluster

POLL_S = 0.1
"""Each look starts a client of Slurm, and the jobs need the processor too."""
TIMEOUT_S = 300.0
FINAL = {
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY",
    "PREEMPTED", "TIMEOUT",
}  # fmt: skip


def poll(condition: Callable[[], Any], what: str, timeout_s: float = TIMEOUT_S) -> Any:
    """Look until `condition` returns something true, and return that."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"in {timeout_s} s it did not happen: {what}"
        time.sleep(POLL_S)
    return found


class Job:
    """A submitted job; of an array, all of its tasks."""

    def __init__(self, cluster: Cluster, job_id: str, folder: Path) -> None:
        self.cluster, self.id, self.folder = cluster, job_id, folder

    @property
    def states(self) -> list[str]:
        """Slurm's word for it; for each task of an array, and each component of a het job."""
        look = ("squeue", "-h", "-r", "-t", "all", "-j", self.id, "-o", "%T")
        return self.cluster.look(*look).split()

    @property
    def output(self) -> str:
        """What its batch script printed, both streams; that of all tasks of an array."""
        files = sorted(self.folder.glob(f"slurm-{self.id}[._]*"))
        return "".join(path.read_text(errors="replace") for path in files)

    def started(self) -> Job:
        """Wait until it runs."""
        poll(lambda: "RUNNING" in self.states, f"job {self.id} runs")
        return self

    def says(self, text: str) -> Job:
        """Wait until it has printed a text."""
        poll(lambda: text in self.output, f"job {self.id} prints {text!r}")
        return self

    def made(self, name: str) -> Job:
        """Wait until a file is in its folder."""
        poll((self.folder / name).exists, f"job {self.id} makes {name}")
        return self

    def end(self, state: str | None = "COMPLETED") -> Job:
        """Wait until it has ended, in that state; in any with None."""
        poll(self.has_ended, f"job {self.id} ends")
        if state is not None:
            assert set(self.states) == {state}, f"{self.states}\n{self.output}"
        return self

    def has_ended(self) -> bool:
        states = self.states
        return bool(states) and set(states) <= FINAL

    def cancel(self, *options: str) -> None:
        self.cluster.command("scancel", *options, self.id)


class SlurmSite(Site):
    """A project on shared storage, and the jobs that are submitted in its folder."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        super().__init__(folder)
        self.cluster = cluster
        self.jobs: list[Job] = []

    def environment(self, **extra: str) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        tools = str(Path(sys.executable).parent)
        path = {"PATH": f"{tools}{os.pathsep}{clean.get('PATH', os.defpath)}"}
        mine = {"SPROV_DIR": str(self.project.root)}
        return {**clean, **path, **mine, **self.cluster.environment, **extra}

    def command(self, *arguments: str) -> list[str]:
        return self.cluster.at_login(*super().command(*arguments))

    def submit(self, script: str, *options: str, **extra: str) -> Job:
        """Submit the text of a batch script with options of sbatch, as from a login shell.

        `sprov` and `python` are this environment's; what it prints is in `slurm-ID.out`.
        """
        path = self.folder / f"job{len(self.jobs)}.sbatch"
        path.write_text(script if script.startswith("#!") else f"#!/bin/bash\n{script}")
        environment = self.environment(**extra)
        if "SPROV_DIR" not in extra:
            del environment["SPROV_DIR"]  # a job finds the project from its folder
        job_id = self.cluster.command(
            "sbatch", "--parsable", *options, str(path), cwd=self.folder, env=environment
        )
        self.jobs.append(Job(self.cluster, job_id.strip().partition(";")[0], self.folder))
        return self.jobs[-1]

    def close(self) -> None:
        try:
            for job in self.jobs:
                if not job.has_ended():
                    job.cancel()
        finally:
            super().close()
