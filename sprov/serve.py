"""`sprov serve` and `sprov stop`: tracker and manager as one service.

They are two processes that find each other by the endpoint file.  One that dies is started again.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from pathlib import Path

import click

from pllib import launch
from pllib.errors import UnavailableError
from pllib.project import (
    Project,
    choose_endpoint,
    find,
    read_endpoint,
    update_endpoint,
)

from .extras import require

READY_TIMEOUT_S = 30.0
DRAIN_S = 15.0
STOP_TIMEOUT_S = 40.0
MAX_RESTARTS = 5
"""Within `RESTART_WINDOW_S`; a daemon that dies faster has a reason that it prints."""
RESTART_WINDOW_S = 60.0


class Daemon:
    """A child process that is started again when it dies."""

    def __init__(self, name: str, command: list[str]) -> None:
        self.name = name
        self._command = command
        self._deaths: list[float] = []
        self.process = subprocess.Popen(command, start_new_session=True)

    def revive(self) -> bool:
        """Start it again if it is dead; False if it dies too often."""
        if self.process.poll() is None:
            return True
        now = time.monotonic()
        self._deaths = [at for at in self._deaths if now - at < RESTART_WINDOW_S] + [now]
        if len(self._deaths) > MAX_RESTARTS:
            return False
        click.echo(f"sprov: {self.name} ended ({self.process.returncode}), restarted", err=True)
        self.process = subprocess.Popen(self._command, start_new_session=True)
        return True

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(DRAIN_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@click.command()
@click.option("--name", help="Name of the endpoint file; by default the Slurm job, or `local`.")
@click.option(
    "--bind", default="127.0.0.1", show_default=True, help="Address to listen on, HOST[:PORT]."
)
@click.option("--ready-file", type=click.Path(path_type=Path), help="Written once both serve.")
def serve(name: str | None, bind: str, ready_file: Path | None) -> None:
    """Run tracker and manager in the foreground, until SIGTERM or `sprov stop`.

    \b
        sprov serve &
        sprov serve --name 4242 --bind 0.0.0.0 --ready-file ready
    """
    from slurm.job import job_facts

    require("serve", "server", "pyoxigraph", "fastapi", "uvicorn", "httpx", "pyarrow")
    project = find().create()
    name = name or job_facts(os.environ).get("job_id") or "local"
    endpoint_file = project.endpoints / f"{name}.json"
    _refuse_second(endpoint_file)
    wake_r, wake_w = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(wake_w, warn_on_full_buffer=False)
    update_endpoint(endpoint_file, serve_pid=os.getpid(), host=launch.host())
    script = launch.console_script()
    host = bind.rpartition(":")[0] or bind
    daemons = [
        Daemon("tracker", [script, "tracker", "serve", "--name", name, "--bind", bind]),
        Daemon("manager", [script, "manager", "serve", "--name", name, "--bind", host]),
    ]
    try:
        _wait_ready(endpoint_file, daemons)
        click.echo(f"sprov: serving {project.root} as {name}", err=True)
        if ready_file is not None:
            ready_file.write_text(f"{endpoint_file}\n")
        _watch(daemons, wake_r)
    finally:
        for daemon in daemons:
            daemon.stop()
        update_endpoint(
            endpoint_file, serve_pid=0, tracker="", manager="", tracker_pid=0, manager_pid=0
        )


def _refuse_second(endpoint_file: Path) -> None:
    if not endpoint_file.exists():
        return
    endpoint = read_endpoint(endpoint_file)
    if endpoint.host == launch.host() and _runs(endpoint.serve_pid):
        raise UnavailableError(
            f"`sprov serve` runs already, as process {endpoint.serve_pid}",
            "`sprov stop` ends it, or give this one another --name",
        )


def _runs(pid: int) -> bool:
    if pid in (0, os.getpid()):
        return False
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return b"sprov" in command


def _wait_ready(endpoint_file: Path, daemons: list[Daemon]) -> None:
    """Wait until both have said in the endpoint file where they are."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    while True:
        endpoint = read_endpoint(endpoint_file)
        pids = {endpoint.tracker_pid, endpoint.manager_pid}
        if endpoint.tracker and endpoint.manager and pids == {d.process.pid for d in daemons}:
            return
        dead = [daemon.name for daemon in daemons if daemon.process.poll() is not None]
        if dead or time.monotonic() > deadline:
            what = f"the {dead[0]} ended" if dead else "the daemons do not come up"
            raise UnavailableError(f"{what}; what it printed is above")
        time.sleep(0.02)


def _watch(daemons: list[Daemon], wake: int) -> None:
    """Restart what dies, until a signal asks for the end."""
    while True:
        select.select([wake], [], [], 1.0)
        with contextlib.suppress(BlockingIOError):
            if {signal.SIGTERM, signal.SIGINT} & set(os.read(wake, 4096)):
                return
        for daemon in daemons:
            if not daemon.revive():
                raise UnavailableError(f"the {daemon.name} keeps ending; see what it printed")


@click.command()
@click.option("--name", help="Name of the endpoint file.")
def stop(name: str | None) -> None:
    """Drain and end the daemons; returns when they are gone."""
    project = find()
    path = _endpoint_file(project, name)
    endpoint = read_endpoint(path) if path is not None and path.exists() else None
    pids = [endpoint.serve_pid, endpoint.tracker_pid, endpoint.manager_pid] if endpoint else []
    running = [pid for pid in pids if _runs(pid)]
    if not running:
        raise UnavailableError("no daemon runs here")
    for pid in running[:1] if endpoint and running[0] == endpoint.serve_pid else running:
        _end(pid)
    click.echo("stopped")


def _endpoint_file(project: Project, name: str | None) -> Path | None:
    if name is not None:
        return project.endpoints / f"{name}.json"
    return choose_endpoint(project, os.environ)


def _end(pid: int) -> None:
    """Send SIGTERM and wait until the process is gone."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(handle, signal.SIGTERM)
        if not select.select([handle], [], [], STOP_TIMEOUT_S)[0]:
            raise UnavailableError(f"process {pid} does not end", "It may be draining; try again")
    finally:
        os.close(handle)
