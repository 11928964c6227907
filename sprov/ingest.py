"""`sprov ingest`: logs that no tracker took come into the journal, and from there to the store.

With a tracker running it gets the frames as a rank would send them; without one they are journalled
here.  A log goes away only when all its frames are durable in a journal and its owner is gone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from pllib import launch
from pllib.errors import Error, LogError
from pllib.log import LogReader, frame_key
from pllib.opening import SHARED_MEMORY
from pllib.project import Endpoint, Project, choose_endpoint, find, read_endpoint
from pllib.records import Closed
from pllib.sender import ask_status, deliver
from pllib.spool import is_abandoned
from tracker.journal import Journal

from .digesting import digest_unread
from .indexing import VISIBLE_TIMEOUT_S, index, open_writer
from .progress import bar

JOURNAL = "ingest"
FRAMES_A_SYNC = 64


@dataclass
class Log:
    """A log to be taken in."""

    path: Path
    disposable: bool
    """It is in a spool, so that it may go once it is journalled."""
    frames: list[bytes]
    n_records: int = 0
    trouble: str = ""


@click.command()
@click.argument("logs", nargs=-1, type=click.Path(path_type=Path))
def ingest(logs: tuple[Path, ...]) -> None:
    """Take in LOGS; without any, all of this project that nobody took, on this node.

    Logs that are named stay where they are.

    \b
        sprov ingest
        sprov ingest job-4242/*.log
    """
    project = find().create()
    found = [_read(path, named=True) for path in logs] or waiting(project)
    endpoint = running_tracker(project)
    if endpoint is not None:
        _send(found, endpoint)
        click.echo(f"{_count(found)} handed to the running tracker")
    else:
        n_records = store(project, found)
        click.echo(f"{_count(found)} journalled, {n_records} record(s) stored")
    _dispose(found)
    troubled = [log for log in found if log.trouble]
    for log in troubled:
        click.echo(f"sprov: {log.trouble}", err=True)
    if troubled:
        raise SystemExit(LogError.exit_code)


def store(project: Project, found: list[Log]) -> int:
    """Journal and store logs, and what the files hold that they speak of.

    Returns:
        How many records were stored, of these logs and of earlier ones that had not been.
    """
    journal = Journal(project.journal / JOURNAL)
    try:
        with open_writer(project.store, project.series, project.snapshots) as writer:
            _journal(found, journal)
            with bar(sum(log.n_records for log in found), "storing") as storing:
                n_records = index(project, writer, storing.update)
            if writer.flush(VISIBLE_TIMEOUT_S) and digest_unread(project, journal):
                index(project, writer)
    finally:
        journal.close()
    return n_records


def waiting(project: Project) -> list[Log]:
    """Return the logs of a project that nobody took: offline ones, and dead ranks' spools."""
    packed = sorted(project.spool.glob("*.log"))
    spools = [path for folder in spool_folders(project) for path in sorted(folder.glob("*.spool"))]
    mine = launch.process()
    found = [_read(path, named=False) for path in packed]
    for path in spools:
        try:
            if is_abandoned(path, launch.host(), mine.boot_id):
                found.append(_read(path, named=False))
        except LogError as exc:
            found.append(Log(path, False, [], trouble=str(exc)))
    return found


def spool_folders(project: Project) -> list[Path]:
    """Return where spools of this node may lie."""
    folders = [project.spool, Path(SHARED_MEMORY, f"sprov-{os.getuid()}")]
    if chosen := os.environ.get("SPROV_SPOOL_DIR"):
        folders.append(Path(chosen))
    return [folder for folder in dict.fromkeys(folders) if folder.is_dir()]


def running_tracker(project: Project) -> Endpoint | None:
    """Return the endpoint of a tracker that answers."""
    path = choose_endpoint(project, os.environ)
    if path is None or not path.exists():
        return None
    endpoint = read_endpoint(path)
    if not endpoint.tracker:
        return None
    try:
        ask_status(endpoint, timeout_s=2.0)
    except Error:
        return None
    return endpoint


def _read(path: Path, *, named: bool) -> Log:
    """Read a log's intact frames; what can't be read is told and stays in the file."""
    closed = False
    try:
        abandoned = is_abandoned(path, launch.host(), launch.boot_id())
        with LogReader(path) as reader:
            frames, n_records = [], 0
            for located in reader.frames(unsealed=True):
                frames.append(located.frame.pack())
                n_records += located.frame.n_records
                closed = closed or any(
                    isinstance(record, Closed) for record in located.frame.records()
                )
            corrupt = [str(exc) for exc in reader.corrupt]
    except OSError as exc:
        raise LogError(f"{path} can't be read: {exc.strerror}") from None
    except LogError as exc:
        if named:
            raise
        return Log(path, False, [], trouble=str(exc))
    disposable = not named and (abandoned or closed) and not corrupt
    return Log(path, disposable, frames, n_records, "; ".join(corrupt))


def _send(found: list[Log], endpoint: Endpoint) -> None:
    frames = [frame for log in found for frame in log.frames]
    with bar(len(frames), "sending") as sending:
        done = 0
        for n_done in deliver(endpoint, frames):
            sending.update(n_done - done)
            done = n_done


def _journal(found: list[Log], journal: Journal) -> None:
    for frames in _chunks([frame for log in found for frame in log.frames]):
        new = {frame_key(frame): frame for frame in frames if not journal.has(frame_key(frame))}
        if new:
            journal.append(list(new.items()))


def _chunks(frames: list[bytes]) -> Iterator[list[bytes]]:
    for start in range(0, len(frames), FRAMES_A_SYNC):
        yield frames[start : start + FRAMES_A_SYNC]


def _dispose(found: list[Log]) -> None:
    for log in found:
        if log.disposable:
            log.path.unlink(missing_ok=True)


def _count(found: list[Log]) -> str:
    return f"{len(found)} log(s) with {sum(len(log.frames) for log in found)} frame(s)"
