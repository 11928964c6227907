"""A connection to the tracker: a DEALER, and what its socket monitor says of it.

libzmq 4.3.5, as it was seen: a tracker that does not know the client's key makes
HANDSHAKE_FAILED_AUTH, and the socket never tries again; one that has another key than the endpoint
file says hangs up on each try, ten times a second, which is HANDSHAKE_FAILED_NO_DETAIL; one without
CURVE makes HANDSHAKE_FAILED_PROTOCOL.  None of that reaches who sends or receives.  A TCP connect
whose packets vanish is tried again by the kernel after up to a minute, unless `connect_timeout`
says sooner.
"""

from __future__ import annotations

import errno
import os
import struct
import time
from typing import TYPE_CHECKING

import msgspec
import zmq

from . import wire
from .errors import SettingsError, UnavailableError
from .log import FORMAT_VERSION
from .project import read_endpoint
from .sharing import is_private

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .project import Endpoint

WINDOW_FRAMES = 64
"""Frames sent and not acknowledged; the credit that keeps a slow tracker from being flooded."""
HANGUPS = 3
"""In a row, before any handshake succeeded.  A tracker that is killed makes one."""
IPC = "ipc://"
TCP = "tcp://"
_HUNG_UP = (errno.EPIPE, errno.ECONNRESET)
"""What the event of a failed handshake says then; a stopped tracker's says otherwise."""
_EVENT = struct.Struct("=hi")
_NO_KEY = zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
_EVENTS = (
    zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_DISCONNECTED
    | _NO_KEY
)


class KeyRefusedError(UnavailableError):
    """Who answers at the tracker's address does not take the keys of the endpoint file."""

    def __init__(self, address: str) -> None:
        super().__init__(
            f"the tracker at {address} does not take our key",
            "The endpoint file is another tracker's: `sprov serve` writes a new one",
        )


class Connection:
    """A DEALER to the tracker."""

    def __init__(self, endpoint: Endpoint, hello: wire.Hello) -> None:
        """Begin to connect; returns at once.

        Raises:
            UnavailableError: A Unix socket in a folder that others may enter, another transport, or
                what is no address or key.
        """
        self.address = endpoint.tracker
        self.welcome: wire.Welcome | None = None
        """None until the tracker answers HELLO, and again when the connection breaks."""
        self.refusal = ""
        """Why we are not taken.  It stays so: a socket whose key was refused never tries again."""
        self.is_open = False
        self._n_hangups = 0
        self._hello = hello
        _check_address(endpoint.tracker)
        self._context = zmq.Context()
        self.socket = self._context.socket(zmq.DEALER)
        try:
            self._set_options(endpoint)
            self.monitor = self._watched()
            self.socket.connect(endpoint.tracker)
        except zmq.ZMQError as exc:
            self._context.destroy(linger=0)
            raise UnavailableError(f"{self.address} can't be connected to: {exc}") from exc

    def _set_options(self, endpoint: Endpoint) -> None:
        self.socket.linger = 0
        self.socket.sndhwm = 2 * WINDOW_FRAMES
        self.socket.immediate = 1  # else each HELLO of an outage waits, and all are answered
        self.socket.connect_timeout = 3000
        self.socket.reconnect_ivl = 100
        self.socket.reconnect_ivl_max = 2000
        self.socket.heartbeat_ivl = 2000
        self.socket.heartbeat_timeout = 6000
        if endpoint.tracker.startswith(f"{TCP}["):  # for names it would look for IPv6 alone
            self.socket.ipv6 = True
        if endpoint.tracker.startswith(TCP):
            self.socket.curve_serverkey = endpoint.server_public_key.encode()
            self.socket.curve_publickey = endpoint.client_public_key.encode()
            self.socket.curve_secretkey = endpoint.client_secret_key.encode()

    def _watched(self) -> zmq.Socket[bytes]:
        """Return the socket that tells of events (`zmq.utils.monitor` imports asyncio, 30 ms)."""
        address = f"inproc://monitor-{id(self)}"
        self.socket.monitor(address, _EVENTS)
        monitor: zmq.Socket[bytes] = self._context.socket(zmq.PAIR)
        monitor.linger = 0
        monitor.connect(address)
        return monitor

    def watch(self) -> bool:
        """Take what the monitor has to tell; return whether a connection came about anew."""
        is_new = False
        while self.monitor.poll(0):
            event, value = _EVENT.unpack(self.monitor.recv_multipart()[0])
            if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                is_new = self.is_open = True
                self._n_hangups = 0
            else:
                self.is_open = is_new = False
            self.welcome = None
            if event == zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL and value in _HUNG_UP:
                self._n_hangups += 1
            if event & _NO_KEY or self._n_hangups >= HANGUPS:
                self.refusal = str(KeyRefusedError(self.address))
        return is_new

    def wait(self, timeout_s: float, event: int = zmq.POLLIN) -> bool:
        """Wait until the tracker says something, or (POLLOUT) can be said something.

        Returns:
            False if that was not so for so long.

        Raises:
            KeyRefusedError: It does not take our keys.
        """
        deadline = time.monotonic() + timeout_s
        poller = zmq.Poller()
        poller.register(self.socket, event)
        poller.register(self.monitor, zmq.POLLIN)
        while (left_s := deadline - time.monotonic()) > 0:
            ready = dict(poller.poll(int(left_s * 1000) + 1))
            if self.socket in ready:
                return True
            self.watch()
            if self.refusal:
                raise KeyRefusedError(self.address)
        return False

    def say_hello(self) -> bool:
        hello = msgspec.structs.replace(self._hello, clock_ns=time.time_ns())
        return self.send([wire.HELLO, msgspec.msgpack.encode(hello)])

    def send(self, parts: list[bytes]) -> bool:
        """Send; False if there is no connection now, or it takes no more."""
        try:
            self.socket.send_multipart(parts, flags=zmq.DONTWAIT, copy=True)
        except zmq.Again:
            return False
        return True

    def close(self) -> None:
        self.socket.disable_monitor()
        self.monitor.close()
        self.socket.close()
        self._context.term()


def hello(log_id: bytes, run: str, rank: int, host: str) -> wire.Hello:
    return wire.Hello(FORMAT_VERSION, log_id, run, rank, host, os.getpid(), 0)


def reason_of(parts: list[bytes]) -> str:
    """Return why the tracker refused or rejected, as it said."""
    return parts[2].decode(errors="replace")[:200] if len(parts) > 2 else "no reason given"


class Finder:
    """Finds the tracker by its endpoint file, and again when that file changes."""

    def __init__(self, choose: Callable[[], Path | None], hello: wire.Hello) -> None:
        """Prepare to look.

        Args:
            choose: Says which file it is, None if there is none yet.
        """
        self._choose = choose
        self._hello = hello
        self._path: Path | None = None
        self._stamp = (0, 0, 0)
        self.endpoint: Endpoint | None = None
        """Of a tracker that was there when the file was read."""

    def has_moved(self) -> bool:
        """Read the file if it changed; return whether it tells of another tracker than before.

        Raises:
            SettingsError: It can't be read, or is no endpoint file.
        """
        if self._path is None and (path := self._choose()) is not None:
            self._path = path
        stamp = _stamp(self._path)
        if stamp is None:
            self._path = None
        if self._path is None or stamp is None or stamp == self._stamp:
            return False
        self._stamp = stamp
        found, before = read_endpoint(self._path), self.endpoint
        if not found.tracker:  # it has ended; who comes next writes the file again
            return False
        self.endpoint = found
        return before is None or _identity(before) != _identity(found)

    def connect(self) -> Connection | None:
        """Begin a connection to where the tracker was last found.

        Raises:
            UnavailableError: As of `Connection`.
        """
        return None if self.endpoint is None else Connection(self.endpoint, self._hello)


def _identity(endpoint: Endpoint) -> tuple[str, ...]:
    """Return what a connection depends on."""
    return (
        endpoint.tracker,
        endpoint.server_public_key,
        endpoint.client_public_key,
        endpoint.client_secret_key,
    )


def _stamp(path: Path | None) -> tuple[int, int, int] | None:
    """Return what changes when a file is written or replaced; None if it is not there.

    Raises:
        SettingsError: It can't be looked at.
    """
    if path is None:
        return None
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise SettingsError(f"{path} can't be read: {exc.strerror}") from exc
    return (found.st_mtime_ns, found.st_ino, found.st_size)


def _check_address(address: str) -> None:
    from pathlib import Path

    if address.startswith(IPC):
        folder = Path(address.removeprefix(IPC)).parent
        if not is_private(folder):
            raise UnavailableError(
                f"{folder} is not a folder of this user that nobody else may enter",
                "A tracker in it is not to be trusted",
            )
    elif not address.startswith(TCP):
        raise UnavailableError(f"a tracker at {address!r} can't be reached", "It needs tcp or ipc")
