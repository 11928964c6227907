"""The manager as a process: store, writer, query processes and HTTP."""

from __future__ import annotations

import errno
import gc
import os
import secrets
import socket
import threading
from pathlib import Path

import uvicorn

from pllib import launch
from pllib.errors import Error, UnavailableError
from pllib.listening import Listening
from pllib.project import Project, update_endpoint

from .api import make_app
from .store.writable import Store
from .workers import Workers
from .writer import Writer


class Manager:
    def __init__(
        self, project: Project, endpoint_file: Path, listening: Listening, script: str
    ) -> None:
        """Open the store and bind.

        Args:
            script: Absolute path of the ``sprov`` command, which starts query processes.

        Raises:
            UnavailableError: The store is in use, or the address can't be bound.
        """
        self._endpoint_file = endpoint_file
        self._listening = listening
        self._indexes = str(project.indexes or "")
        self._socket = _bind(listening)
        try:
            store = Store(project.store)
        except Error:
            self._socket.close()
            raise
        self.writer = Writer(store, project.series, project.snapshots)
        self.workers = Workers([script, "manager", "worker"], project.snapshots)
        self._token = secrets.token_urlsafe(32)
        app = make_app(self.writer, self.workers, self._token, project.series)
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, lifespan="off", timeout_keep_alive=75,
            timeout_graceful_shutdown=5,
        )  # fmt: skip
        self._server = uvicorn.Server(config)

    @property
    def url(self) -> str:
        return f"http://{self._listening.advertised}:{self._socket.getsockname()[1]}"

    def run(self, on_ready: threading.Event | None = None) -> None:
        """Serve until `stop`, then commit what was taken in and make a last snapshot."""
        # Batches are tens of thousands of objects and no cycles: collecting cost a tenth.
        gc.set_threshold(200_000, 50, 50)
        self.writer.start()
        update_endpoint(
            self._endpoint_file,
            manager=self.url,
            token=self._token,
            manager_pid=os.getpid(),
            host=launch.host(),
            indexes=self._indexes,
        )
        if on_ready is not None:
            on_ready.set()
        self._server.run(sockets=[self._socket])
        self.workers.close()
        self.writer.close()
        update_endpoint(self._endpoint_file, manager="", token="", manager_pid=0)

    def stop(self) -> None:
        self._server.should_exit = True


def _bind(listening: Listening) -> socket.socket:
    # asyncio sets TCP_NODELAY only where the protocol is named (CPython 3.11); without, an answer
    # waits 40 ms for the delayed ACK of its header.
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        for port in listening.candidates():
            try:
                bound.bind((listening.address, port))
                bound.listen(128)  # from here on callers wait instead of being refused
                return bound
            except OSError as exc:
                if exc.errno != errno.EADDRINUSE:
                    raise UnavailableError(
                        f"{listening.address}:{port} can't be bound: {exc.strerror}",
                        "Choose another with --bind",
                    ) from exc
        raise UnavailableError(listening.taken(), "Choose others with --bind")
    except UnavailableError:
        bound.close()
        raise
