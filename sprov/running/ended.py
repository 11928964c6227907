"""How a command ended, as a record and in words; and how those did that it took with it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from pllib import launch
from pllib.errors import LogError
from pllib.records import Outcome
from pllib.waiting import Log, open_log, seen_later

MAX_SPOOLS = 1000
"""That are looked at, the newest of a folder."""


class CommandError(Exception):
    """What the session of a command that failed ends with."""


def in_words(status: int) -> CommandError | None:
    """Return what went wrong by a wait status; None if nothing did."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        try:
            name = signal.Signals(number).name
        except ValueError:  # one of the real-time signals
            name = f"signal {number}"
        return CommandError(f"killed by {name}")
    code = os.WEXITSTATUS(status)
    return CommandError(f"exit status {code}") if code else None


def outcome(log_id: str, status: int) -> Outcome:
    """Return how the process that a log is of ended; `seq` is still to be given."""
    at_ns, node = time.time_ns(), launch.host()
    if os.WIFSIGNALED(status):
        return Outcome(-1, log_id, "killed", at_ns, signal=os.WTERMSIG(status), node=node)
    code = os.WEXITSTATUS(status)
    state = "failed" if code else "completed"
    return Outcome(-1, log_id, state, at_ns, exit_status=code, node=node)


def seen_killed(found: Outcome, log: Log) -> Outcome:
    """Return how a process ended that was another's child: it left a spool without an end."""
    for _ in log.frames():  # to find the last sign of it
        pass
    killed = msgspec.structs.replace(found, state="killed", exit_status=None, signal=None)
    return seen_later(killed, log)


def abandoned(folders: list[Path], pids: set[int], since_ns: int) -> Iterator[Log]:
    """Yield the spools that these processes left without an end."""
    for path in _newest(folders, since_ns):
        try:
            log = open_log(path)
        except LogError:  # it went, or is not one of this version
            continue
        if log.owner.pid in pids and log.is_abandoned:
            yield log


def _newest(folders: list[Path], since_ns: int) -> list[Path]:
    found: list[tuple[int, str]] = []
    for folder in folders:
        try:
            with os.scandir(folder) as entries:
                found += [
                    (entry.stat().st_mtime_ns, entry.path)
                    for entry in entries
                    if entry.name.endswith(".spool")
                ]
        except OSError:
            continue
    newest = sorted(found, reverse=True)[:MAX_SPOOLS]
    return [Path(path) for at_ns, path in newest if at_ns >= since_ns]
