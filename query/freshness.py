"""How new an answer is: what ``--live`` waits for, and what is said of an answer without it.

``--live`` waits for what was durable in the tracker's journal when it was asked.  What is captured
meanwhile is not waited for, or a job that runs normally would never let a question be answered.
"""

from __future__ import annotations

import datetime
import http.client
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import click
import msgspec

from pllib import managers, notices, waiting
from pllib.delivery import asking_status
from pllib.errors import Error, UnavailableError
from pllib.project import Endpoint, Project

from .replies import decode, decode_object

FLUSH_TIMEOUT_S = 60.0
LATE_S = 5.0
"""Beyond that, for a manager to say so."""
DIGESTS_S = 1.0
"""How long the contents are waited for of files that those records speak of."""
POLL_S = 0.11
"""A tracker answers ten times a second (`tracker.admission.ASKS_PER_S`)."""
STATUS_TIMEOUT_S = 5.0
_AGES = "query.freshness.ages"


class _Flushed(msgspec.Struct):
    flushed: bool


def wait_until_visible(endpoint: Endpoint, timeout_s: float = FLUSH_TIMEOUT_S) -> None:
    """Wait until queries see all that the tracker has journalled by now.

    Raises:
        UnavailableError: A daemon does not answer, or they are still behind after that time.
    """
    deadline = time.monotonic() + timeout_s
    if not endpoint.tracker:
        _flush(endpoint, "", deadline)
        return
    with asking_status(endpoint) as ask:
        status = ask()
        n_frames = status["frames"]
        n_digested: int | None = status["digested"]
        digests_until = 0.0
        while True:
            if status["taken_below"] >= n_frames:
                digests_until = digests_until or time.monotonic() + DIGESTS_S
                if status["to_digest"] and time.monotonic() < digests_until:
                    pass
                elif n_digested not in (None, status["digested"]):  # in frames that came later
                    n_frames, n_digested, digests_until = status["frames"], None, -1.0
                    continue
                # What is settled is in the store: of a manager that was restarted since, too, which
                # a tracker that has nothing to hand over does not notice.
                elif _flush(endpoint, "" if status.get("settled") else status["manager"], deadline):
                    return
                elif time.monotonic() > deadline:
                    raise _behind(timeout_s, status["trouble"])
            elif time.monotonic() > deadline:
                raise _behind(timeout_s, status["trouble"])
            time.sleep(POLL_S)
            status = ask()


def _flush(endpoint: Endpoint, instance: str, deadline: float) -> bool:
    """Have the manager show all that it has taken; False if another manager took it.

    Args:
        instance: Of the manager that took it; empty for any.
    """
    headers = {"If-Match": f'"{instance}"'} if instance else {}
    left_s = max(deadline - time.monotonic(), 0.0) + LATE_S
    reply = managers.request(endpoint, "POST", "/v1/flush", b"", headers, timeout_s=left_s)
    if reply.status == http.client.PRECONDITION_FAILED:
        return False
    place = f"the manager at {endpoint.manager}"
    if reply.status != http.client.OK or not decode(reply.body, _Flushed, place).flushed:
        raise _behind(FLUSH_TIMEOUT_S, _trouble(endpoint))
    return True


def _trouble(endpoint: Endpoint) -> str:
    try:
        return str(_status(endpoint)["trouble"])
    except (Error, KeyError):
        return ""


def _behind(timeout_s: float, trouble: str) -> UnavailableError:
    why = f": {trouble}" if trouble else f" after {timeout_s:g} s"
    return UnavailableError(
        f"the store does not show yet what was journalled when this was asked{why}",
        "`sprov status` says more; without --live the answer is as of the last snapshot",
    )


def _status(endpoint: Endpoint) -> dict[str, object]:
    reply = managers.request(endpoint, "GET", "/v1/status", timeout_s=STATUS_TIMEOUT_S)
    if reply.status != http.client.OK:
        return {}
    return decode_object(reply.body, f"the manager at {endpoint.manager}")


def as_of(project: Project, endpoint: Endpoint | None) -> float | None:
    """Return of when an answer is, Unix time; None if that can't be found out.

    Of a manager that shows all that it took in, that is now; of a snapshot, when it was made.
    """
    try:
        if endpoint is None:
            return (project.snapshots / "current").lstat().st_mtime
        of_manager = _status(endpoint).get("as_of")
    except (Error, OSError, ValueError):
        return None
    return of_manager if isinstance(of_manager, float | int) else None


def in_iso(at: float | None) -> str | None:
    """Return a time as in the graph: UTC, to the millisecond."""
    if at is None:
        return None
    moment = datetime.datetime.fromtimestamp(at, datetime.timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass
class _Ages:
    """Of when the places are that a command has asked."""

    project: Project
    of: dict[str, float | None] = field(default_factory=dict)
    has_manager: bool = False

    def line(self) -> str:
        """Say of when an answer from all of them is: of when the oldest is."""
        times = list(self.of.values())
        known = [at for at in times if at is not None]
        oldest = min(known) if len(known) == len(times) else None
        when = in_iso(oldest) or "a time that is not known"
        if self.has_manager:
            rest = "; --live waits for what the tracker has beyond that"
        else:
            rest = ", when the store last changed"
        return f"as of {when}{rest}{waiting_logs(self.project)}"


def tell_age(project: Project, endpoint: Endpoint | None) -> None:
    """Have the command that runs say at its end, on stderr, of when its answer is.

    Also which logs wait that no store has.
    """
    context = click.get_current_context(silent=True)
    if context is None:
        return
    ages = context.meta.get(_AGES)
    if ages is None:
        ages = context.meta[_AGES] = _Ages(project)
        context.call_on_close(lambda: _tell(ages.line))
    place = "" if endpoint is None else endpoint.manager
    if place not in ages.of:
        ages.of[place] = as_of(project, endpoint)
        ages.has_manager = ages.has_manager or endpoint is not None


def _tell(line: Callable[[], str]) -> None:
    """Print a line beside an answer; an error is a line of its own."""
    exc = sys.exc_info()[1]
    if (exc is None or isinstance(exc, SystemExit | click.exceptions.Exit)) and (words := line()):
        notices.write(words)


def tell_waiting(project: Project) -> None:
    """Have the command that runs say at its end which logs wait, though its answer is live."""
    context = click.get_current_context(silent=True)
    if context is not None and not context.meta.get(_AGES):
        context.meta[_AGES] = _Ages(project)
        context.call_on_close(lambda: _tell(lambda: waiting_logs(project).removeprefix("; ")))


def waiting_logs(project: Project) -> str:
    """Return what to add to an answer that logs on this node may add to; else nothing."""
    try:
        n_waiting = waiting.n_logs(waiting.logs(project, os.environ))
    except Error as exc:
        return f"; which logs wait is not known: {exc}"
    return f"; {n_waiting} log(s) wait for `sprov ingest`" if n_waiting else ""
