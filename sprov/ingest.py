"""`sprov ingest`: logs that no tracker took come into the journal, and from there to the store.

With a tracker running it gets the frames as a rank would send them; without one they are journalled
here.  A log goes away only when all its frames are durable in a journal and its owner is gone.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import click

from pllib import launch, notices, waiting
from pllib.connection import KeyRefusedError
from pllib.delivery import ask_status
from pllib.errors import BusyError, Error, LogError, UnavailableError
from pllib.listening import is_daemon
from pllib.log import frame_key
from pllib.notices import warn
from pllib.project import (
    Endpoint,
    ForeignEndpointError,
    Project,
    choose_endpoint,
    find,
    known_endpoint,
    read_endpoint,
)
from pllib.settings import Serving, load_section
from pllib.sharing import open_file
from pllib.waiting import Log
from query.progress import bar
from slurm.over import over_jobs
from tracker.journal import Journal, OnUnreadable, Unreadable, refuse_unreadable
from tracker.quota import Quota

from .digesting import digest_unread
from .indexing import VISIBLE_TIMEOUT_S, index, open_writer, tell_skipped
from .left import originals_logs

JOURNAL = "ingest"
FRAMES_A_SYNC = 64
BUSY_S = 60.0
"""How long others that write the store are waited for; `sprov serve` pauses for up to 10 s before
it starts a daemon again that was killed."""
QUIET_S, POLL_S = 1.0, 0.1
"""A wait that is longer is told."""


@click.command()
@click.option(
    "--gone", is_flag=True, help="Treat processes as ended where nobody can tell from here."
)
@click.argument("logs", nargs=-1, type=click.Path(path_type=Path))
def ingest(logs: tuple[Path, ...], gone: bool) -> None:
    """Take in LOGS; without any, all of this project that nobody took, on this node.

    Logs that are named stay where they are.  The last records of processes that live, or may live,
    are left to them.  Another process that writes the store is waited for, a minute at most.

    \b
        sprov ingest
        sprov ingest job-4242/*.log
    """
    project = find().create()
    named = waiting.named(project, logs, os.environ, gone=gone) if logs else None
    skipped: list[Unreadable] = []
    found, n_records = _take_in(project, named, skipped.append, gone=gone)
    if n_records is None:
        click.echo(f"{_count(found)} handed to the running tracker")
    else:
        click.echo(f"{_count(found)} journalled, {n_records} record(s) stored")
    troubled = [log for log in found if log.trouble]
    for log in troubled:
        notices.write(log.trouble)
    tell_skipped(skipped)
    if troubled:
        raise SystemExit(LogError.exit_code)


class Patience:
    """How long others are waited for in all; the first wait that is long is told."""

    def __init__(self, most_s: float) -> None:
        self._most_s = most_s
        self._began = time.monotonic()
        self._is_told = False

    def wait(self, reason: str) -> bool:
        """Wait a moment; return whether it may be tried again."""
        waited_s = time.monotonic() - self._began
        if waited_s > QUIET_S and not self._is_told:
            notices.write(f"{reason}: waiting, for {self._most_s:g} s at most")
            self._is_told = True
        time.sleep(POLL_S)
        return waited_s < self._most_s


def _take_in(
    project: Project, named: list[Log] | None, on_unreadable: OnUnreadable, *, gone: bool
) -> tuple[list[Log], int | None]:
    """Hand logs to the running tracker, or store them here, as `store` does.

    Returns:
        The logs, and how many records were stored here; None if there is a tracker.
    """
    patience = Patience(BUSY_S)
    while True:
        if (endpoint := awaited_tracker(project, patience)) is not None:
            send = partial(waiting.send, endpoint)
            return take_all(project, named, send, endpoint, gone=gone), None
        try:
            return store(project, named, on_unreadable, gone=gone)
        except BusyError as exc:  # a tracker may have been started since that was asked
            if not patience.wait(exc.message):
                raise


def store(
    project: Project,
    named: list[Log] | None = None,
    on_unreadable: OnUnreadable = refuse_unreadable,
    *,
    gone: bool = False,
) -> tuple[list[Log], int]:
    """Journal and store logs, and what the files hold that they speak of.

    Others that do so in this project are waited for.

    Args:
        on_unreadable: Called with a segment that can't be read; when it returns, that is skipped.
        gone: Also spools of which nobody can tell whether their processes live.

    Returns:
        The logs, and how many records were stored, of these and of earlier ones that had not been.
    """
    with _alone(project):
        return _store(project, named, on_unreadable, gone=gone)


@contextlib.contextmanager
def _alone(project: Project) -> Iterator[None]:
    fd = open_file(project.root / "ingest.lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        notices.write(f"another process takes logs into {project.root}: waiting")
        fcntl.flock(fd, fcntl.LOCK_EX)
    except OSError:  # a file system without locks; the journal has a lock of its own
        pass
    try:
        yield
    finally:
        os.close(fd)


def _store(
    project: Project, named: list[Log] | None, on_unreadable: OnUnreadable, *, gone: bool
) -> tuple[list[Log], int]:
    _check_quota(project)
    journal = Journal(project.journal / JOURNAL)
    try:
        with open_writer(project.store, project.series, project.snapshots) as writer:
            found = take_all(project, named, partial(append, journal), gone=gone)
            with bar(sum(log.n_records for log in found), "storing") as storing:
                n_records = index(project, writer, storing.update, on_unreadable=on_unreadable)
            if writer.flush(VISIBLE_TIMEOUT_S) and digest_unread(project, journal):
                index(project, writer, on_unreadable=lambda segment: None)  # told above
    finally:
        journal.close()
    return found, n_records


def _check_quota(project: Project) -> None:
    """See that the project may grow.

    Raises:
        UnavailableError: Its quota is used up.
    """
    quota = Quota(project.root, load_section(Serving, project.config, os.environ).quota_bytes)
    quota.measure()
    try:
        quota.check()
    except OSError as exc:
        raise UnavailableError(str(exc.strerror), "What waits stays where it is") from exc


def take_all(
    project: Project,
    named: list[Log] | None,
    hand_over: Callable[[Iterator[bytes]], None],
    endpoint: Endpoint | None = None,
    *,
    gone: bool = False,
) -> list[Log]:
    """Hand over the logs that are named, or all that nobody took, and delete what is done then.

    Spools come first: what there is to tell of their ends may become a packed log.

    Args:
        gone: Also spools of which nobody can tell whether their processes live.

    Raises:
        Error: They were not taken; what is left stays where it is.
    """
    if named is not None:
        _take(named, hand_over)
        _tell_left([log for log in named if log.is_spool and not log.is_abandoned])
        return named
    is_over = over_jobs()
    spools, doubtful = waiting.judged(project, os.environ, is_over, gone=gone)
    _take(spools, hand_over)
    _tell_left(doubtful)
    for line in originals_logs(project, is_over):
        notices.write(line)
    waiting.tell_killed(project, spools, endpoint)
    packed = waiting.packed(project, is_over)
    _take(packed, hand_over)
    waiting.dispose(project, [*spools, *packed])
    return [*spools, *packed]


def _tell_left(logs: list[Log]) -> None:
    for log in logs:
        why = log.doubt or "its process lives"
        advice = "; if it has ended, add --gone" if log.doubt else ""
        notices.write(f"{log.path}: {why}; its last records are left to it{advice}")


def _take(logs: list[Log], hand_over: Callable[[Iterator[bytes]], None]) -> None:
    with bar(len(logs), "taking in") as taking:
        for log in logs:
            if not log.trouble:
                try:
                    hand_over(log.frames())
                except LogError as exc:  # what is wrong with one log keeps none of the others here
                    log.trouble = str(exc)
            taking.update(1)


def append(journal: Journal, frames: Iterable[bytes]) -> None:
    """Append the frames that a journal has not.

    Raises:
        OSError: The disk is full or failed.
    """
    source = iter(frames)
    while chunk := list(islice(source, FRAMES_A_SYNC)):
        new = {frame_key(frame): frame for frame in chunk if not journal.has(frame_key(frame))}
        if new:
            journal.append(list(new.items()))


def awaited_tracker(project: Project, patience: Patience) -> Endpoint | None:
    """Return what `running_tracker` does, and wait for one that `sprov serve` here starts again."""
    while True:
        if (endpoint := running_tracker(project)) is not None:
            return endpoint
        serve_pid = _serve_pid(project)
        if not serve_pid or not patience.wait(
            f"the tracker of `sprov serve`, process {serve_pid}, does not answer"
        ):
            return None


def _serve_pid(project: Project) -> int:
    """Return the process of this node that starts the project's tracker again; 0 if none does."""
    path = choose_endpoint(project, os.environ)
    if path is None:
        return 0
    endpoint = known_endpoint(path)
    is_here = endpoint.host in ("", launch.host()) and not endpoint.indexes
    return endpoint.serve_pid if is_here and is_daemon(endpoint.serve_pid) else 0


def running_tracker(project: Project) -> Endpoint | None:
    """Return the endpoint of a tracker that answers and whose manager keeps the project's store.

    Raises:
        KeyRefusedError: It is there, but not for us.
    """
    path = choose_endpoint(project, os.environ)
    if path is None or not path.exists():
        return None
    try:
        endpoint = read_endpoint(path)
    except ForeignEndpointError as exc:
        warn(Exception.__str__(exc))
        return None
    if not endpoint.tracker or endpoint.indexes:  # a job's have a store of their own
        return None
    try:
        ask_status(endpoint, timeout_s=2.0)
    except KeyRefusedError:
        if endpoint.host_of("tracker") != launch.host() or is_daemon(endpoint.tracker_pid):
            raise
        warn(f"{path} is stale: its tracker is gone, and another answers at {endpoint.tracker}")
        return None
    except Error:
        return None
    return endpoint


def _count(found: list[Log]) -> str:
    return f"{len(found)} log(s) with {sum(log.n_frames for log in found)} frame(s)"
