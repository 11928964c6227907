"""The manager as a process: store, writer, query processes and HTTP."""

from __future__ import annotations

import gc
import logging
import os
import secrets
import socket
import ssl
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from pllib import launch, proofs
from pllib.daemonlog import attach, note, versions
from pllib.delivery import ask_status
from pllib.errors import Error, UnavailableError
from pllib.listening import (
    MANAGER_SOCKET,
    Listening,
    authority,
    is_loopback,
    listen,
    socket_path,
)
from pllib.moments import date_time
from pllib.project import Project, leave_endpoint, read_endpoint, update_endpoint
from pllib.settings import Querying, Serving, load_section

from . import metrics
from .api import OPEN_PATHS, make_app, status_of
from .connection import LOGGER, Server
from .observer import Observer
from .protection import Protection, host_names
from .store.writable import Store
from .tls import load, make
from .workers import Workers
from .writer import Writer

BACKLOG = 128
TRACKER_S = 2.0
"""How long `/metrics` waits for the tracker: Prometheus waits for 10 s."""


COMMIT_S = 0.3
"""How long the end goes on committing: the tracker's journal has it all, and `sprov stop` waits
before it asks for the end."""


class Manager:
    def __init__(
        self,
        project: Project,
        endpoint_file: Path,
        listening: Listening,
        script: str,
        settings: Serving,
    ) -> None:
        """Open the store and bind.

        Args:
            script: Absolute path of the ``sprov`` command, which starts query processes.
            settings: Of these certificate, key and hosts.

        Raises:
            SettingsError: The certificate can't be used.
            UnavailableError: The store is in use, or the address can't be bound.
        """
        given = load(settings.certificate, settings.key) if settings.certificate else None
        metrics_token = metrics.read_token(settings.metrics_token_file)
        self._endpoint_file = endpoint_file
        self._listening = listening
        self._indexes = str(project.indexes or "")
        self._socket = _bind(listening)
        hosts = host_names(listening, settings.hosts)
        tls, self._certificate = _secured(self._socket, given, hosts)
        try:
            store = Store(project.store)
        except Error:
            self._socket.close()
            raise
        self.writer = Writer(store, project.series, project.snapshots, on_failure=self.stop)
        self._querying = load_section(Querying, project.config, os.environ)
        self.workers = Workers([script, "manager", "worker"], project.snapshots, self._querying)
        self._token = secrets.token_urlsafe(32)
        self._protection = Protection(
            make_app(self.writer, self.workers, project.series, self._metrics, self._prove),
            token=self._token,
            hosts=hosts,
            open_paths=OPEN_PATHS,
            metrics_token=metrics_token,
        )
        self._server = Server(self._protection, tls, self.workers.stop)
        attach(LOGGER)
        self._asked_by = ""

    @property
    def url(self) -> str:
        name = self._socket.getsockname()
        if self._listening.folder:
            return f"unix://{name}"
        scheme = "https" if self._certificate else "http"
        return f"{scheme}://{authority(self._listening.advertised, name[1])}"

    def _prove(self, nonce: str) -> str:
        return proofs.prove(self._token, nonce, self.url)

    def run(self, on_ready: threading.Event | None = None) -> None:
        """Serve until `stop`, then commit what was taken in, for some time, and make a snapshot.

        Raises:
            UnavailableError: The writer stopped on an error: without it this manager is of no use,
                and a new one is asked by the tracker for what it lacks.
        """
        # Batches are tens of thousands of objects and no cycles: collecting cost a tenth.
        gc.set_threshold(200_000, 50, 50)
        self.writer.start()
        observer = Observer(self.writer, self.workers)
        observer.start()
        self._note_start()
        update_endpoint(
            self._endpoint_file,
            manager=self.url,
            certificate=self._certificate,
            token=self._token,
            manager_pid=os.getpid(),
            host=launch.host(),
            manager_host=launch.host(),
            indexes=self._indexes,
        )
        if on_ready is not None:
            on_ready.set()
        path = self._socket.getsockname() if self._listening.folder else ""
        self._server.run(sockets=[self._socket])
        if path:
            Path(path).unlink(missing_ok=True)
        self.workers.close()
        failure = self.writer.failure
        self.writer.close(COMMIT_S)
        observer.stop()
        self._note_end(failure)
        leave_endpoint(self._endpoint_file, manager="", token="", manager_pid=0)
        if failure:
            raise UnavailableError(
                f"the manager stopped: {failure}", "A new one goes on from there"
            )

    def stop(self, asked_by: str = "") -> None:
        """Ask for the end; from a signal handler too.

        Args:
            asked_by: For the log.
        """
        self._asked_by = self._asked_by or asked_by
        self._server.should_exit = True

    def _metrics(self) -> str:
        status = status_of(self.writer, self.workers)
        queries = {what: status[f"queries_{what}"] for what in ("answered", "stopped", "refused")}
        manager = {
            **status, "skipped_by": dict(self.writer.counts.skipped), "queries_by": queries,
            "http_refused": dict(self._protection.refused),
            "store_free_bytes": metrics.free_bytes(self.writer.store.folder),
        }  # fmt: skip
        return metrics.render(manager, self._ask_tracker(), versions()["sprov"])

    def _ask_tracker(self) -> dict[str, Any] | None:
        try:
            endpoint = read_endpoint(self._endpoint_file)
            return ask_status(endpoint, TRACKER_S) if endpoint.tracker else None
        except Error:
            return None

    def _note_start(self) -> None:
        note(
            "started", **versions("pyoxigraph", "fastapi", "uvicorn"), address=self.url,
            store=str(self.writer.store.folder), as_of=date_time(int(self.writer.as_of * 1e9), 0),
            query_limits=msgspec.to_builtins(self._querying),
        )  # fmt: skip

    def _note_end(self, failure: str) -> None:
        counts = self.writer.counts
        level = logging.ERROR if failure else logging.INFO
        note(
            "ended", level, why=failure or self._asked_by, records=counts.records,
            triples=counts.triples, commits=counts.commits, not_committed=self.writer.n_waiting,
        )  # fmt: skip


def _bind(listening: Listening) -> socket.socket:
    return _bind_unix(listening) if listening.folder else listen(listening, BACKLOG)


def _secured(
    bound: socket.socket, given: tuple[ssl.SSLContext, str] | None, hosts: Iterable[str]
) -> tuple[ssl.SSLContext | None, str]:
    """Return how connections are encrypted, and by which certificate; where all stay on this node
    without one that is given they are not.
    """
    if bound.family == socket.AF_UNIX:
        return None, ""
    if given is None and not is_loopback(bound.getsockname()[0]):
        return make(hosts)
    return given or (None, "")


def _bind_unix(listening: Listening) -> socket.socket:
    path = socket_path(listening, MANAGER_SOCKET)
    bound = socket.socket(socket.AF_UNIX)
    try:
        bound.bind(path)
        Path(path).chmod(0o600)
        bound.listen(BACKLOG)
    except OSError as exc:
        bound.close()
        raise UnavailableError(f"{path} can't be bound: {exc.strerror}") from exc
    return bound
