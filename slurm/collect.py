"""`sprov slurm collect`: on a node, hand on what dead ranks left in their spools.

`sprov slurm stop` runs it once on each node of the job.  It is not for people: it prints one line
of JSON, a `Collected`.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator

import click
import msgspec

from pllib import launch, waiting
from pllib.delivery import ask_status
from pllib.errors import Error, LogError, UnavailableError
from pllib.listening import is_daemon
from pllib.project import Endpoint, Project, choose_endpoint, find, read_endpoint

from .over import over_jobs

ANSWER_S = 3.0
"""A tracker that does not is not waited for again: what it is not given is put into the project."""


class Collected(msgspec.Struct):
    """What was found on a node."""

    node: str
    logs: int = 0
    frames: int = 0
    killed: int = 0
    """Sessions that never closed and whose processes are gone."""
    packed: int = 0
    """Logs that no tracker took, so that they wait in the project."""
    trouble: list[str] = []


@click.command()
@click.option("--offline", is_flag=True, help="No tracker answers, so do not try.")
def collect(offline: bool) -> None:
    """Hand over the records of dead ranks on this node, and tell that they were killed."""
    signal.signal(signal.SIGTERM, lambda *_: None)  # of a job that is cancelled: so much is left
    project = find()
    found = collect_here(project, None if offline else running_endpoint(project))
    sys.stdout.write(msgspec.json.encode(found).decode() + "\n")


def running_endpoint(project: Project) -> Endpoint | None:
    """Return the endpoint that ranks of this job use, if its tracker answers."""
    path = choose_endpoint(project, os.environ)
    try:
        endpoint = read_endpoint(path) if path is not None else Endpoint()
        if endpoint.host == launch.host() and not is_daemon(endpoint.tracker_pid):
            return None
        return endpoint if endpoint.tracker and ask_status(endpoint, ANSWER_S) else None
    except Error:
        return None


def collect_here(project: Project, endpoint: Endpoint | None) -> Collected:
    """Take the abandoned spools of a project on this node to its tracker, else into the project.

    A spool goes away when its records are durable elsewhere and its end is told.
    """
    found = Collected(launch.host())
    taken = []
    for log in _spools(project):
        try:
            if not log.trouble:
                endpoint = _take(project, log, endpoint, found)
                taken.append(log)
        except OSError as exc:
            log.trouble = f"{log.path} stays there, as {project.spool} says: {exc.strerror}"
        except Error as exc:
            log.trouble = str(exc)
        if log.trouble:
            found.trouble.append(log.trouble)
    try:
        found.killed = waiting.tell_killed(project, taken, endpoint, timeout_s=ANSWER_S)
    except OSError as exc:
        found.trouble.append(f"{project.spool} can't be written: {exc.strerror}")
        return found
    waiting.dispose(project, taken)
    found.logs, found.frames = len(taken), sum(log.n_frames for log in taken)
    return found


def _spools(project: Project) -> list[waiting.Log]:
    """Return those of this job and of jobs that are over.

    Those of jobs that go on are left to them: in containers their ranks may have pids of their own.
    """
    is_over = over_jobs()
    mine = ("", os.environ.get("SLURM_JOB_ID"))
    found = waiting.spools(project, os.environ)
    return [
        log for log in found if log.owner.job in mine or is_over(log.owner.job, log.owner.cluster)
    ]


def _take(
    project: Project, log: waiting.Log, endpoint: Endpoint | None, found: Collected
) -> Endpoint | None:
    """Hand on one spool; return the endpoint, or None once it does not answer."""
    if endpoint is not None:
        try:
            waiting.send(endpoint, log.frames(), ANSWER_S)
            return endpoint
        except (LogError, UnavailableError):
            pass  # what it did take is the same when it comes again
    waiting.pack(project, log.log_id.hex(), log.frames())
    found.packed += 1
    return None


def parse(output: str) -> Iterator[Collected]:
    """Yield what nodes printed; whatever else is in between is passed over."""
    for line in output.splitlines():
        try:
            yield msgspec.json.decode(line, type=Collected)
        except msgspec.DecodeError:
            continue
