"""The daemons of `sprov serve` as processes: start, start again, find and end them."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from pllib import launch, lifeline, notices
from pllib.daemonlog import note, warn
from pllib.errors import Error, UnavailableError
from pllib.listening import command_of, is_daemon
from pllib.project import Endpoint, known_endpoint, leave_endpoint, read_endpoint

DRAIN_S = 15.0
STOP_TIMEOUT_S = 40.0
DYING_S = 5.0
MAX_RESTARTS = 5
"""Within `RESTART_WINDOW_S`; a daemon that ends more often has a reason that it prints."""
RESTART_WINDOW_S = 60.0
PAUSE_S = 10.0
FIRST_PAUSE_S = 1.0
ROOMS = ("tracker", "manager")


class Daemon:
    """A child process that is started again when it dies, and that ends when this process does."""

    def __init__(self, name: str, command: list[str], endpoint_file: Path) -> None:
        self.name = name
        self._command = command
        self._endpoint_file = endpoint_file
        self._deaths: list[float] = []
        self._n_unready = 0
        """Deaths in a row before it served."""
        self._has_served = False
        self._start_at = 0.0
        """Not before then is it started again; 0 if it is not decided yet."""
        self._start()

    def _start(self) -> None:
        kept, given = os.pipe()
        try:
            command = [*self._command, lifeline.OPTION, str(kept)]
            self.process = subprocess.Popen(command, start_new_session=True, pass_fds=[kept])
        except OSError:
            os.close(given)
            raise
        finally:
            os.close(kept)
        self._given = given
        self._has_served = False

    def revive(self) -> None:
        """Start it again if it is dead: at once, or after a pause if it dies too often.

        It is never given up: what it lacks, such as space on a disk, may come back.
        """
        if self.process.poll() is None:
            self._has_served = self._has_served or self._serves()
            return
        now = time.monotonic()
        if not self._start_at:
            self._start_at = now + (pause_s := self._pause_s())
            when = f"again in {pause_s:g} s" if pause_s else "restarted"
            how = self.how_it_ended()
            how += " before it served" * bool(self._n_unready)
            notices.write(f"{self.name} {how}, {when}")
            warn(f"{self.name} died", how=how, died_pid=self.process.pid, then=when)
        if now < self._start_at:
            return
        os.close(self._given)
        self._start_at = 0.0
        try:
            self._start()
        except OSError as exc:  # no memory or process for another
            self._given = os.open(os.devnull, os.O_RDONLY)
            self._start_at = now + PAUSE_S
            notices.write(f"{self.name} can't be started: {exc.strerror}")
            note(f"{self.name} can't be started", logging.ERROR, reason=str(exc.strerror))
        else:
            note(f"{self.name} was started again", started_pid=self.process.pid)

    def _serves(self) -> bool:
        try:
            endpoint = read_endpoint(self._endpoint_file)
        except Error:
            return False
        return bool(getattr(endpoint, f"{self.name}_pid") == self.process.pid)

    def how_it_ended(self) -> str:
        """Say it of a process that has ended."""
        status = self.process.returncode
        return f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"

    def _pause_s(self) -> float:
        """Return how long to wait before the next start, now that it has died.

        One that dies before it serves, by SIGKILL too, waits twice as long each time.
        """
        self._n_unready = 0 if self._has_served or self._serves() else self._n_unready + 1
        if self._n_unready:
            return min(FIRST_PAUSE_S * 2.0 ** (self._n_unready - 1), PAUSE_S)
        is_killed = self.process.returncode == -signal.SIGKILL
        return PAUSE_S if not is_killed and self._dies_often() else 0.0

    def _dies_often(self) -> bool:
        now = time.monotonic()
        self._deaths = [at for at in self._deaths if now - at < RESTART_WINDOW_S] + [now]
        return len(self._deaths) > MAX_RESTARTS

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)  # SIGTERM may be blocked
            try:
                self.process.wait(DRAIN_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        os.close(self._given)


def running(endpoint_file: Path) -> list[int]:
    """Return the processes that serve at an endpoint here; `sprov serve` first, if it lives.

    Also those that the file does not tell of any more.
    """
    pids = []
    endpoint = known_endpoint(endpoint_file)
    if endpoint.host in ("", launch.host()):
        pids += [endpoint.serve_pid] if is_daemon(endpoint.serve_pid) else []
        told = [getattr(endpoint, f"{room}_pid") for room in ROOMS]
        pids += [pid for pid in told if pid and _serves_as(pid, endpoint_file.stem)]
    return list(dict.fromkeys([*pids, *_unlisted(endpoint_file)]))


def _unlisted(endpoint_file: Path) -> Iterator[int]:
    """Yield daemons of an endpoint's name that have files of its project open."""
    project = endpoint_file.parents[1].resolve()  # as /proc names open files
    for folder in Path("/proc").glob("[0-9]*"):
        pid = int(folder.name)
        if _serves_as(pid, endpoint_file.stem) and _has_open(folder, project):
            yield pid


def _serves_as(pid: int, name: str) -> bool:
    """Tell whether a process is a tracker or manager that serves under a name."""
    words = command_of(pid)
    pairs = _pairs(words)
    named = [second for first, second in pairs if first == b"--name"]
    named += [word[len(b"--name=") :] for word in words if word.startswith(b"--name=")]
    return (named or [b"local"])[-1] == name.encode() and any(
        [room.encode(), b"serve"] in pairs for room in ROOMS
    )


def _pairs(words: list[bytes]) -> list[list[bytes]]:
    return [words[nth : nth + 2] for nth in range(len(words) - 1)]


def _has_open(process: Path, folder: Path) -> bool:
    with contextlib.suppress(OSError):  # it has ended, or is another user's
        for link in (process / "fd").iterdir():
            with contextlib.suppress(OSError):
                if link.readlink().is_relative_to(folder):
                    return True
    return False


def end_left(endpoint_file: Path) -> None:
    """End daemons whose `sprov serve` is gone, so that another can take their place.

    Raises:
        UnavailableError: `sprov serve` runs, or daemons that were started without it.
    """
    endpoint = known_endpoint(endpoint_file)
    if endpoint.host not in ("", launch.host()):
        return
    if is_daemon(endpoint.serve_pid):
        raise UnavailableError(
            f"`sprov serve` runs already, as process {endpoint.serve_pid}",
            "`sprov stop` ends it, or give this one another --name",
        )
    left = running(endpoint_file)
    if left and not endpoint.serve_pid:
        raise UnavailableError(
            f"daemons serve already, as process {' and '.join(map(str, left))}",
            "`sprov stop` ends them, or give this one another --name",
        )
    for pid in left:
        notices.write(f"process {pid} of a `sprov serve` that is gone is ended")
        warn("took over from a `sprov serve` that is gone", ended_pid=pid)
        end(pid)


def leave(endpoint_file: Path, daemons: list[Daemon]) -> None:
    """Clear what an endpoint file says of this process and its daemons."""
    try:
        endpoint = read_endpoint(endpoint_file)
    except Error:
        return
    fields: dict[str, str | int] = {}
    if endpoint.serve_pid == os.getpid():
        fields["serve_pid"] = 0
    for daemon in daemons:
        if getattr(endpoint, f"{daemon.name}_pid") == daemon.process.pid:
            fields |= {daemon.name: "", f"{daemon.name}_pid": 0}
    leave_endpoint(endpoint_file, **fields)


def is_left(endpoint: Endpoint) -> bool:
    """Tell whether an endpoint names no daemon that lives, or that another host may have."""
    here = ("", launch.host())
    for room in ROOMS:
        if getattr(endpoint, room) and (
            endpoint.host_of(room) not in here or is_daemon(getattr(endpoint, f"{room}_pid"))
        ):
            return False
    return True


def end(pid: int) -> None:
    """Have a daemon drain and end; returns when the process is gone.

    One that does not end is killed: what it acknowledged is in the journal.

    Raises:
        UnavailableError: It is another user's, or can't be killed.
    """
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        _signal(handle, pid, signal.SIGINT)
        if select.select([handle], [], [], STOP_TIMEOUT_S)[0]:
            return
        _signal(handle, pid, signal.SIGKILL)
        warn("a daemon did not end and was killed", killed_pid=pid)
        notices.write(f"process {pid} did not end within {STOP_TIMEOUT_S:g} s and was killed")
        if not select.select([handle], [], [], DYING_S)[0]:
            raise UnavailableError(f"process {pid} can't be killed", "It may wait for a disk")
    finally:
        os.close(handle)


def _signal(handle: int, pid: int, number: signal.Signals) -> None:
    try:
        signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return
    except PermissionError:
        owner = os.stat(f"/proc/{pid}").st_uid  # noqa: PTH116
        hint = "Who started it can end it"
        raise UnavailableError(f"process {pid} is of user {owner}", hint) from None
