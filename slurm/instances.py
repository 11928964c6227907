"""Which job of this number it is: numbers come back when a site resets its controller.

Two jobs of one number, neither of them a requeue, have different batch scripts running.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from pllib import launch
from pllib.log import new_file
from pllib.sharing import make_folder

from .job import job_facts

FILE = "job.json"


class Instance(msgspec.Struct, frozen=True):
    nth: int
    """1 for the first job of this number."""
    restart: int
    batch: str
    """The batch script's process; empty where there is none."""
    job: str = ""
    """As `squeue` prints it: 4242_7 of an array, where the folder has the task's own number."""


def batch_process(environ: Mapping[str, str]) -> launch.Process | None:
    """Return the process of the batch script, if it is on this node and in sight."""
    pid = environ.get("SLURM_TASK_PID", "")
    try:
        return launch.process(int(pid)) if pid.isdigit() else None
    except ProcessLookupError:  # a container has pids of its own
        return None


def read(folder: Path) -> Instance | None:
    """Return what was noted of a job last, if anything that can be read."""
    try:
        return msgspec.json.decode((folder / FILE).read_bytes(), type=Instance)
    except (OSError, msgspec.DecodeError):
        return None


def note(folder: Path, environ: Mapping[str, str]) -> Instance:
    """Note that a job, or a requeue of it, has begun.

    Args:
        folder: The job's journal; made if it is missing.

    Raises:
        OSError: It can't be written.
    """
    process = batch_process(environ)
    restart = environ.get("SLURM_RESTART_COUNT", "")
    facts = job_facts(environ)
    name = launch.job_name(facts) if "job_id" in facts else ""
    mine = Instance(1, int(restart) if restart.isdigit() else 0, str(process or ""), name)
    before = read(folder)
    if before is not None:
        is_other = mine.batch != before.batch or before.restart > 0
        came_back = not mine.restart and is_other
        mine = msgspec.structs.replace(mine, nth=before.nth + came_back)
    make_folder(folder)
    with new_file(folder / FILE) as fd:
        os.write(fd, msgspec.json.encode(mine))
    os.close(fd)
    return mine
