"""`sprov serve` and `sprov stop`: tracker and manager as one service.

They are two processes that find each other by the endpoint file.  One that dies is started again;
when `sprov serve` itself is killed both end (`pllib.lifeline`).
"""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import select
import shutil
import signal
import time
from pathlib import Path
from typing import NamedTuple

import click
import msgspec

from manager import tls
from pllib import daemonlog, launch, listening, notices
from pllib.daemonlog import note
from pllib.errors import Error, UnavailableError
from pllib.places import own_places
from pllib.project import (
    Endpoint,
    ForeignEndpointError,
    Project,
    choose_endpoint,
    find,
    known_endpoint,
    read_endpoint,
    remove_endpoint,
    update_endpoint,
)
from pllib.readiness import READY, STOPPING, Notifier
from pllib.registry import note_project
from pllib.settings import Serving, load_section

from . import scratch
from .daemons import Daemon, end, end_left, is_left, leave, running
from .extras import require

READY_TIMEOUT_S = 30.0
SETTLE_S = 10.0


@click.command()
@click.option("--name", help="Name of the endpoint file; by default the Slurm job, or `local`.")
@click.option(
    "--bind",
    help="Where to listen: HOST[:PORT[-PORT]], where HOST may be an interface, or unix:FOLDER.  By "
    "default as set in [serve], else 127.0.0.1, in a Slurm job all addresses.",
)
@click.option(
    "--certificate",
    help="PEM file: the manager serves HTTPS with it.  Without, it makes one where it listens on "
    "more than loopback.",
)
@click.option("--key", help="PEM file with the certificate's key, if it is not in the same.")
@click.option(
    "--indexes",
    type=click.Path(path_type=Path),
    help="Folder of store, series and snapshots, node-local; by default the project's own.",
)
@click.option(
    "--temporary", is_flag=True, hidden=True, help="Remove --indexes at the end, without draining."
)
@click.option(
    "--batch-pid", type=int, hidden=True, help="End with this process, and not on SIGTERM."
)
@click.option("--ready-file", type=click.Path(path_type=Path), help="Written once both serve.")
def serve(
    name: str | None,
    bind: str | None,
    certificate: str | None,
    key: str | None,
    indexes: Path | None,
    temporary: bool,
    batch_pid: int | None,
    ready_file: Path | None,
) -> None:
    """Run tracker and manager in the foreground, until SIGTERM or `sprov stop`.

    \b
        sprov serve &
        sprov serve --name 4242 --bind ib0:40000-40100 --ready-file ready
        sprov serve --bind unix:$XDG_RUNTIME_DIR/sprov
    """
    from slurm.job import job_facts

    require("serve", "server", "pyoxigraph", "fastapi", "uvicorn", "pyarrow")
    project = find().create()
    note_project(project)
    name = name or job_facts(os.environ).get("job_id") or "local"
    endpoint_file = project.endpoint(name)
    if temporary and indexes is not None:
        indexes = scratch.claim(indexes)
        for place in own_places(str(indexes.parents[1])):
            scratch.sweep(place)
    settings = tls.chosen(load_section(Serving, project.config, os.environ), certificate, key)
    bind = bind or listening.default_bind(settings.interface, settings.ports, os.environ)
    options = {
        "tracker": ["--name", name, "--bind", bind, *["--drain-s", "0"] * temporary],
        "manager": ["--name", name, *_manager_options(bind, settings, indexes)],
    }
    with daemonlog.logging_to(project, name, "serve", settings):
        end_left(endpoint_file)
        _check(bind, settings)
        _note_start(project, bind, indexes, settings)
        ends = _signals(batch_pid)
        try:
            _serve(endpoint_file, options, ends, ready_file, drain=not temporary)
        finally:
            if temporary and indexes is not None:
                shutil.rmtree(indexes, ignore_errors=True)


def _note_start(project: Project, bind: str, indexes: Path | None, settings: Serving) -> None:
    """Log who starts what, and with which settings."""
    note(
        "started", **daemonlog.versions("click"), user=os.geteuid(), host=launch.host(),
        project=str(project.root), bind=bind, indexes=str(indexes or settings.indexes),
        open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        settings=msgspec.to_builtins(settings),
    )  # fmt: skip


def _serve(
    endpoint_file: Path,
    options: dict[str, list[str]],
    ends: Ends,
    ready_file: Path | None,
    *,
    drain: bool,
) -> None:
    """Run the two daemons until the end; without `drain` their store goes with them."""
    update_endpoint(endpoint_file, serve_pid=os.getpid(), host=launch.host())
    began, notifier = time.monotonic(), Notifier()
    script = launch.console_script()
    daemons = [
        Daemon(room, [script, room, "serve", *given], endpoint_file)
        for room, given in options.items()
    ]
    try:
        _wait_ready(endpoint_file, daemons)
        click.echo(
            f"{listening.SERVING} {endpoint_file.parents[1]} as {endpoint_file.stem}", err=True
        )
        if ready_file is not None:
            ready_file.write_text(f"{endpoint_file}\n")
        note(
            "serving", after_s=round(time.monotonic() - began, 2),
            **{f"{daemon.name}_pid": daemon.process.pid for daemon in daemons},
        )  # fmt: skip
        notifier.tell(READY, f"STATUS=serving {endpoint_file.parents[1]}")
        note("asked to end", by=_watch(daemons, ends))
        notifier.tell(STOPPING)
    finally:
        if not drain:
            daemons[1].process.kill()
        for daemon in daemons:
            daemon.stop()
        leave(endpoint_file, daemons)
        ended = {daemon.name: daemon.how_it_ended() for daemon in daemons}
        is_clean = all(daemon.process.returncode == 0 for daemon in daemons)
        note("ended", logging.INFO if is_clean else logging.WARNING, **ended)


def _check(bind: str, settings: Serving) -> None:
    """See here, where it is told once, whether both daemons can listen so.

    Raises:
        SettingsError: They can't, or the certificate can't be used.
        UnavailableError: Others may enter the folder for sockets, or a daemon listens there.
    """
    found = listening.parse(bind)
    if found.folder:
        for name in (listening.TRACKER_SOCKET, listening.MANAGER_SOCKET):
            listening.socket_path(found, name)
    elif settings.certificate:
        tls.load(settings.certificate, settings.key)


def _manager_options(bind: str, settings: Serving, indexes: Path | None) -> list[str]:
    """Return the manager's options; a port that is named is the tracker's."""
    listens = listening.parse(bind)
    host = bind.rpartition(":")[0] if listens.ports else bind
    if settings.manager_port and not listens.folder:
        bind = listening.with_ports(host, str(settings.manager_port))
    elif listens.ports and listens.ports[0] == listens.ports[1]:
        bind = host
    options = ["--bind", bind]
    if folder := indexes or settings.indexes:
        options += ["--indexes", str(folder)]
    if settings.certificate:
        options += ["--certificate", settings.certificate]
    if settings.certificate and settings.key:
        options += ["--key", settings.key]
    return options


class Ends(NamedTuple):
    """What to wait on: a pipe that signals wake, and the batch script's process, if any."""

    wake: int
    batch: int | None


def _signals(batch_pid: int | None) -> Ends:
    """Have signals wake us.

    `scancel` and the time limit send SIGTERM to all that a batch script started (Slurm 22.05.8),
    seconds before its ranks are gone.  So that they keep their tracker it is blocked, here and,
    since a mask is inherited, in both daemons: all of us end by SIGINT, or with the batch script.
    """
    wake_r, wake_w = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(wake_w, warn_on_full_buffer=False)
    if batch_pid is None:
        return Ends(wake_r, None)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        return Ends(wake_r, os.pidfd_open(batch_pid))
    except OSError as exc:
        raise UnavailableError(f"there is no process {batch_pid}") from exc


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


def _watch(daemons: list[Daemon], ends: Ends) -> str:
    """Restart what dies, until a signal asks for the end or the batch script has ended.

    Returns:
        Which of these it was.
    """
    watched = [ends.wake] if ends.batch is None else [ends.wake, ends.batch]
    while True:
        ready, _, _ = select.select(watched, [], [], 1.0)
        with contextlib.suppress(BlockingIOError):
            if asked := {signal.SIGTERM, signal.SIGINT} & set(os.read(ends.wake, 4096)):
                return signal.Signals(asked.pop()).name
        if ends.batch in ready:
            return "the batch script ended"
        for daemon in daemons:
            daemon.revive()


@click.command()
@click.option("--name", help="Name of the endpoint file.")
def stop(name: str | None) -> None:
    """Drain and end the daemons; returns when they are gone.

    \b
        sprov stop
    """
    project = find()
    path = _endpoint_file(project, name)
    if path is None:
        raise UnavailableError("no daemon runs here")
    _warn_of_foreign(path)
    endpoint = known_endpoint(path)
    if endpoint.tracker_pid and endpoint.host not in ("", launch.host()):
        raise UnavailableError(
            f"the daemons run on {endpoint.host}, and this is {launch.host()}",
            "Call `sprov stop` there",
        )
    pids = running(path)
    if not pids:
        is_removed = remove_endpoint(path, is_left)
        hint = f"{path}, which was left behind, is removed" if is_removed else ""
        raise UnavailableError("no daemon runs here", hint)
    if {endpoint.tracker_pid, endpoint.manager_pid} <= set(pids):
        _settle(endpoint)
    for pid in pids[:1] if pids[0] == endpoint.serve_pid else pids:
        end(pid)
    for pid in running(path):
        end(pid)  # what `sprov serve` had no time to end
    remove_endpoint(path, is_left)
    click.echo("stopped")


def _warn_of_foreign(path: Path) -> None:
    try:
        read_endpoint(path)
    except ForeignEndpointError as exc:
        notices.write(Exception.__str__(exc))
    except UnavailableError:
        pass


def _settle(endpoint: Endpoint) -> None:
    """Have the store take in what is journalled, for some time: a daemon that ends waits little."""
    from query.freshness import wait_until_visible

    with contextlib.suppress(Error):
        wait_until_visible(endpoint, SETTLE_S)


def _endpoint_file(project: Project, name: str | None) -> Path | None:
    if name is not None:
        return project.endpoint(name)
    return choose_endpoint(project, os.environ)
