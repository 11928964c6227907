"""Ask Slurm once for many who want to know: jobs that end together all ask at the same moment.

Whoever wants to know writes down of which jobs, then waits for a lock.  Who has it asks for all
that are written down, and leaves the answer in a file; those behind find their own jobs in it and
ask nobody.  Between two calls there is a pause, longer where the last one took long or failed.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Sequence
from typing import IO, TYPE_CHECKING

import msgspec

from pllib.errors import UnavailableError
from pllib.records import FINAL_STATES, Accounted
from pllib.sharing import open_file

from .accounting import Answer, Database, names
from .commands import SlurmError, UnreachableError

if TYPE_CHECKING:
    from pathlib import Path

    from pllib.project import Project

LEAST_PAUSE_S, MOST_PAUSE_S = 1.0, 60.0
PAUSE_OF_DURATION = 10.0
"""A pause is this many times as long as the last call took: at most a tenth of the time we ask."""
MOST_PAUSE_AFTER_FAILURES_S = 300.0
LOCK_TIMEOUT_S = 600.0
LEAST_POLL_S, MOST_POLL_S = 0.02, 1.0


class Last(msgspec.Struct):
    """The last call: when it was, and what came of it."""

    began_ns: int = 0
    may_ask_ns: int = 0
    """No call is made before."""
    failures: int = 0
    """Calls since the last that was answered."""
    error: str = ""
    cluster: str = ""
    database: Database = "on"
    jobs: list[str] = []
    """Which were asked for."""
    records: list[Accounted] = []
    missing: list[str] = []
    observed: dict[str, str] = {}
    """State in which a job that is not over was told, by its name and restart."""
    forgotten: list[str] = []
    """Jobs that Slurm knows nothing of any more."""


class Shared(msgspec.Struct, frozen=True):
    """An answer, and whether this process got it from Slurm: if so it is to tell the others."""

    last: Last
    fresh: bool
    news: list[Accounted] = []
    """Records that nobody told yet."""


Ask = Callable[[Sequence[str], str], Answer]


def shared_answer(
    project: Project, jobs: Sequence[str], ask: Ask, find_cluster: Callable[[], str]
) -> Shared:
    """Return what Slurm says of jobs, asked now or by another process since this was called.

    Raises:
        SlurmError: Nobody could be asked, or it failed so lately that it is too early to try again.
        UnavailableError: Another process has been asking for ten minutes.
    """
    called_ns = time.time_ns()
    wanted = _file(project, "wanted")
    _append(wanted, jobs)
    with open(open_file(_file(project, "lock"), os.O_RDWR | os.O_CREAT), "rb") as lock:
        poll_s, deadline = LEAST_POLL_S, time.monotonic() + LOCK_TIMEOUT_S
        while not _lock(lock):
            if found := _answered(read_last(project), jobs, called_ns):
                return found
            if time.monotonic() > deadline:
                raise UnavailableError(f"{_file(project, 'lock')} is held by another process")
            time.sleep(poll_s)
            poll_s = min(poll_s * 1.5, MOST_POLL_S)
        last = read_last(project)
        if found := _answered(last, jobs, called_ns):
            return found
        _pause(last)
        together = sorted({*jobs, *_take(wanted)})
        return _ask(project, last, together, ask, find_cluster)


def _answered(last: Last, jobs: Sequence[str], called_ns: int) -> Shared | None:
    """Return the last answer, if it is of these jobs and younger than the question.

    Raises:
        UnreachableError: That call failed.
    """
    if last.began_ns < called_ns or not set(jobs) <= set(last.jobs):
        return None
    if last.error:
        raise UnreachableError(last.error)
    return Shared(last, fresh=False)


def read_last(project: Project) -> Last:
    """Return what the last call left; of a file that can't be read, nothing."""
    try:
        return msgspec.json.decode(_file(project, "json").read_bytes(), type=Last)
    except (OSError, msgspec.MsgspecError):
        return Last()


def _ask(
    project: Project, last: Last, jobs: list[str], ask: Ask, find_cluster: Callable[[], str]
) -> Shared:
    began_ns = time.time_ns()
    try:
        cluster = last.cluster or find_cluster()
        answer = ask(jobs, cluster)
    except SlurmError as exc:
        last = _failed(last, jobs, str(exc), began_ns)
        _write(project, last)
        raise
    took_s = (time.time_ns() - began_ns) / 1e9
    pause_s = min(max(took_s * PAUSE_OF_DURATION, LEAST_PAUSE_S), MOST_PAUSE_S)
    news = [record for record in answer.records if _is_news(record, last.observed)]
    found = Last(
        began_ns, time.time_ns() + int(pause_s * 1e9), 0, "", cluster, answer.database, jobs,
        answer.records, answer.missing, _observed(answer.records, last.observed),
        _forgotten(last, jobs, answer),
    )  # fmt: skip
    _write(project, found)
    return Shared(found, True, news)


def _forgotten(last: Last, jobs: list[str], answer: Answer) -> list[str]:
    """Return the jobs of which nobody knows any more, nor will."""
    known = {name for record in answer.records for name in names(record.job)}
    lost = [job for job in jobs if job not in known] if answer.database != "away" else []
    return sorted({*last.forgotten, *lost} - known)


def _failed(last: Last, jobs: list[str], error: str, began_ns: int) -> Last:
    pause_s = min(LEAST_PAUSE_S * 2 ** min(last.failures + 2, 20), MOST_PAUSE_AFTER_FAILURES_S)
    return msgspec.structs.replace(
        last, began_ns=began_ns, may_ask_ns=time.time_ns() + int(pause_s * 1e9),
        failures=last.failures + 1, error=error, jobs=jobs, records=[],
    )  # fmt: skip


def _pause(last: Last) -> None:
    """Wait until Slurm may be asked again, with the lock held, so that others gather behind.

    Raises:
        UnreachableError: The last call failed, and it is too early for the next.
    """
    left_s = (last.may_ask_ns - time.time_ns()) / 1e9
    if left_s <= 0 or left_s > MOST_PAUSE_AFTER_FAILURES_S:  # or a clock went back
        return
    if last.error:
        raise UnreachableError(f"{last.error} (asked {_ago(last)} ago; wait {left_s:.0f} s)")
    time.sleep(left_s)


def _ago(last: Last) -> str:
    return f"{max(time.time_ns() - last.began_ns, 0) / 1e9:.0f} s"


def _is_news(record: Accounted, observed: dict[str, str]) -> bool:
    """Tell whether a record is to be told: an end always, else a job in another state than last."""
    if record.state in FINAL_STATES:
        return True
    return not record.step and observed.get(_key(record)) != record.state


def _observed(records: list[Accounted], before: dict[str, str]) -> dict[str, str]:
    ended = {record.job for record in records if record.state in FINAL_STATES and not record.step}
    states = {_key(r): r.state for r in records if r.state not in FINAL_STATES and not r.step}
    kept = {key: state for key, state in before.items() if key.partition("/")[0] not in ended}
    return kept | states


def _key(record: Accounted) -> str:
    return f"{record.job}/{record.restart}"


def _file(project: Project, kind: str) -> Path:
    return project.root / f"slurm-sync.{kind}"


def _write(project: Project, last: Last) -> None:
    path = _file(project, "json")
    temporary = path.with_suffix(f".{os.getpid()}")
    with open(open_file(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as file:
        file.write(msgspec.json.encode(last))
    temporary.replace(path)


def _append(wanted: Path, jobs: Sequence[str]) -> None:
    """Write down jobs.  Where appending is not atomic, as on NFS, a line may go: then we ask."""
    with open(open_file(wanted, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "wb", buffering=0) as file:
        file.write("".join(f"{job}\n" for job in jobs).encode())


def _take(wanted: Path) -> list[str]:
    """Return the jobs that were written down, once each, and forget them."""
    with open(wanted, "r+", encoding="utf-8", errors="replace") as file:
        jobs = file.read().split("\n")
        file.truncate(0)
    return [job for job in dict.fromkeys(jobs) if job and is_job(job)]


def is_job(text: str) -> bool:
    """Tell whether a text names a job, array task or component: 4242, 4242_7, 4242+1."""
    parts = text.replace("+", "_").split("_")
    return len(parts) <= 2 and all(part.isascii() and part.isdigit() for part in parts)


def _lock(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
