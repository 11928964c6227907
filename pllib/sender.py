"""The thread that seals frames and ships them, so that capturing threads never wait.

Each round: retire chunks whose oldest record is of flush age, seal what was retired, and hand the
frames on.  Online they go to the tracker over DEALER and stay in the spool until acknowledged; a
reconnect sends all that is not.  Offline they are appended to a packed log in the project.  What
could not be handed on when the session closes goes the same way; if even that fails, the spool
stays where it is and says so.

libzmq 4.3.5 reconnects by itself, but what was in a dead pipe is lost without a word
(163 of 600 in a 6 s cut): hence acknowledgements, and the resend when WELCOME comes again.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec
import zmq

from . import wire
from .errors import UnavailableError
from .foreign import suppressing
from .log import FORMAT_VERSION, LogWriter, frame_key
from .project import Endpoint
from .sharing import make_folder
from .spool import Chunk, Spool, Writer

if TYPE_CHECKING:
    from pathlib import Path

WINDOW_FRAMES = 64
"""Frames sent and not acknowledged; the credit that keeps a slow tracker from being flooded."""
HELLO_EVERY_S = 1.0
"""Until the tracker answers."""
RESEND_S = 3.0
"""A frame not acknowledged by then is sent again, after another HELLO."""
OFFLINE_AGE_S = 2.0


class Outbox:
    """Where offline frames go: one packed log in the project, made when there is a first frame."""

    def __init__(self, path: Path, spool: Spool) -> None:
        self.path = path
        self._header = spool.header
        self._writer: LogWriter | None = None

    def append(self, frames: list[bytes]) -> None:
        """Append and sync.

        Raises:
            OSError: The folder can't be written or the disk is full.
        """
        if self._writer is None:
            make_folder(self.path.parent)
            self._writer = LogWriter(self.path, self._header)
        self._writer.append(frames)
        self._writer.sync()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


class Connection:
    """A DEALER to the tracker."""

    def __init__(self, endpoint: Endpoint, hello: wire.Hello) -> None:
        self._context = zmq.Context()
        self.socket = self._context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.sndhwm = 2 * WINDOW_FRAMES
        self.socket.reconnect_ivl = 100
        self.socket.reconnect_ivl_max = 2000
        self.socket.heartbeat_ivl = 2000
        self.socket.heartbeat_timeout = 6000
        self.socket.curve_serverkey = endpoint.server_public_key.encode()
        self.socket.curve_publickey = endpoint.client_public_key.encode()
        self.socket.curve_secretkey = endpoint.client_secret_key.encode()
        self.socket.connect(endpoint.tracker)
        self._hello = hello
        self.welcome: wire.Welcome | None = None

    def say_hello(self) -> None:
        hello = msgspec.structs.replace(self._hello, clock_ns=time.time_ns())
        self.send([wire.HELLO, msgspec.msgpack.encode(hello)])

    def send(self, parts: list[bytes]) -> bool:
        try:
            self.socket.send_multipart(parts, flags=zmq.DONTWAIT, copy=True)
        except zmq.Again:
            return False
        return True

    def close(self) -> None:
        self.socket.close()
        self._context.term()


class Sender:
    """Runs from `start` to `finish`; all else happens on its own thread."""

    def __init__(
        self,
        spool: Spool,
        leases: dict[Chunk, Writer],
        outbox: Outbox,
        connect: Callable[[], Connection] | None,
        flush_age_s: float,
        on_tick: Callable[[float], None],
    ) -> None:
        self.retired: deque[Chunk] = deque()
        self.unacked: dict[int, Chunk] = {}
        self.n_frames = 0
        self.trouble = ""
        self._spool = spool
        self._leases = leases
        self._outbox = outbox
        self._connect = connect
        self._age_s = flush_age_s if connect else max(flush_age_s, OFFLINE_AGE_S)
        self._on_tick = on_tick
        self._stop_at: float | None = None
        self._wake_r, self._wake_w = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._connection: Connection | None = None
        self._sent: dict[int, float] = {}
        self._hello_at = 0.0
        self._thread = threading.Thread(target=self._run, name="sprov-sender", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def retire(self, chunk: Chunk) -> None:
        """Take a full chunk; called by capturing threads, signal handlers among them."""
        self.retired.append(chunk)
        self.wake()

    def wake(self) -> None:
        with suppressing(OSError):
            os.write(self._wake_w, b"\0")

    def finish(self, timeout_s: float) -> bool:
        """Ship what is left, waiting at most `timeout_s` for the tracker.

        Returns:
            True when nothing is left in the spool that is not elsewhere.
        """
        self._stop_at = time.monotonic() + timeout_s
        self.wake()
        if self._thread.ident is None:  # no thread was to be had: what it would do at its end
            self._leave()
        if self._thread.is_alive():
            self._thread.join(timeout_s + 5.0)
        if self._thread.is_alive():
            return False
        os.close(self._wake_r)
        os.close(self._wake_w)
        return not self.unacked and not self.retired and not self._leases

    def _run(self) -> None:
        try:
            if self._connect is not None:
                self._connection = self._connect()
            while not self._is_finished():
                self._round()
        except Exception as exc:  # noqa: BLE001  a guest's thread must not print a traceback
            self.trouble = f"sender stopped: {type(exc).__name__}: {exc}"
        finally:
            self._leave()

    def _is_finished(self) -> bool:
        if self._stop_at is None:
            return False
        idle = not self._leases and not self.retired and not self.unacked
        return idle or time.monotonic() >= self._stop_at

    def _round(self) -> None:
        now = time.monotonic()
        self._on_tick(now)
        self._retire_aged(now)
        self._seal()
        if self._connection is None:
            self._write_out()
        else:
            self._ship(self._connection, now)
        if len(self._spool.free) < len(self.unacked) + 4:
            self._spool.grow()
        self._wait()

    def _retire_aged(self, now: float) -> None:
        for chunk, writer in list(self._leases.items()):
            if self._stop_at is not None:
                self._retire_at_end(chunk, writer)
                continue
            aged = writer.n_records != writer.n_before and now - writer.since >= self._age_s
            if aged and (retired := writer.retire()) is not None:
                self.retired.append(retired)

    def _retire_at_end(self, chunk: Chunk, writer: Writer) -> None:
        """Take a chunk whatever its writer does: one that was interrupted stays busy for ever."""
        retired = writer.retire()
        if retired is None and self._leases.pop(chunk, None) is not None:
            retired = chunk
        if retired is not None:
            self.retired.append(retired)

    def _seal(self) -> None:
        while self.retired:
            chunk = self.retired.popleft()
            if self._spool.seal(chunk):
                self.unacked[chunk.number] = chunk
                self.n_frames += 1
            else:
                self._spool.recycle(chunk)

    def _write_out(self) -> None:
        if not self.unacked:
            return
        try:
            self._outbox.append([self._spool.frame(chunk) for chunk in self.unacked.values()])
        except OSError as exc:
            self.trouble = f"{self._outbox.path}: {exc.strerror or exc}"
            return
        self._release(list(self.unacked))

    def _release(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            self._sent.pop(number, None)
            if (chunk := self.unacked.pop(number, None)) is not None:
                self._spool.recycle(chunk)

    def _ship(self, connection: Connection, now: float) -> None:
        while connection.socket.poll(0):
            self._receive(connection, connection.socket.recv_multipart(), now)
        if connection.welcome is None:
            if now - self._hello_at > HELLO_EVERY_S:
                self._hello_at = now
                connection.say_hello()
            return
        for number in [n for n, at in self._sent.items() if now - at > RESEND_S]:
            del self._sent[number]
            connection.welcome = None
        for number, chunk in list(self.unacked.items()):
            if len(self._sent) >= WINDOW_FRAMES:
                return
            if number not in self._sent and connection.send([wire.FRAME, self._spool.frame(chunk)]):
                self._sent[number] = now

    def _receive(self, connection: Connection, parts: list[bytes], now: float) -> None:
        if parts[0] == wire.ACK:
            ours = self._spool.log_id
            self._release([number for log, number in wire.unpack_keys(parts[1]) if log == ours])
        elif parts[0] == wire.WELCOME:
            connection.welcome = msgspec.msgpack.decode(parts[1], type=wire.Welcome)
            self._sent.clear()
        elif parts[0] == wire.REFUSED:
            self.trouble = f"the tracker refused: {parts[2].decode(errors='replace')}"
            for _, number in wire.unpack_keys(parts[1]):
                self._sent.pop(number, None)
            connection.welcome = None
            self._hello_at = now

    def _wait(self) -> None:
        """Sleep until woken, answered, or half a flush age has passed."""
        timeout_ms = 10 if self._stop_at is not None else int(500 * self._age_s)
        poller = zmq.Poller()
        poller.register(self._wake_r, zmq.POLLIN)
        if self._connection is not None:
            poller.register(self._connection.socket, zmq.POLLIN)
        poller.poll(timeout_ms)
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_r, 4096)

    def _leave(self) -> None:
        try:
            if self._connection is not None:
                self._connection.close()
            self._stop_at = time.monotonic()
            self._retire_aged(self._stop_at)
            self._seal()
            self._write_out()
            self._outbox.close()
        except Exception as exc:  # noqa: BLE001  the spool keeps what could not be moved
            self.trouble = f"{type(exc).__name__}: {exc}"


def hello(log_id: bytes, run: str, rank: int, host: str) -> wire.Hello:
    return wire.Hello(FORMAT_VERSION, log_id, run, rank, host, os.getpid(), 0)


def ask_status(endpoint: Endpoint, timeout_s: float = 3.0) -> dict[str, Any]:
    """Ask a tracker for its counts.

    Raises:
        UnavailableError: It does not answer.
    """
    connection = Connection(endpoint, hello(bytes(16), "", 0, ""))
    try:
        connection.send([wire.STATUS])
        while connection.socket.poll(int(timeout_s * 1000)):
            name, body = connection.socket.recv_multipart()
            if name == wire.STATUS:
                return dict(msgspec.json.decode(body))
    finally:
        connection.close()
    raise UnavailableError(f"the tracker at {endpoint.tracker} does not answer")


def deliver(endpoint: Endpoint, frames: Iterable[bytes], timeout_s: float = 10.0) -> Iterator[int]:
    """Send packed frames to a tracker; yield how many it has acknowledged, as it goes on.

    Raises:
        UnavailableError: It refuses, or is silent for `timeout_s`.
    """
    connection = Connection(endpoint, hello(bytes(16), "", 0, ""))
    source = iter(frames)
    waiting: set[wire.FrameKey] = set()
    n_done, more = 0, True
    try:
        while more or waiting:
            while more and len(waiting) < WINDOW_FRAMES:
                frame = next(source, None)
                more = frame is not None
                if frame is not None and connection.send([wire.FRAME, frame]):
                    waiting.add(frame_key(frame))
            if not waiting:
                break
            if not connection.socket.poll(int(timeout_s * 1000)):
                raise UnavailableError(f"the tracker at {endpoint.tracker} does not answer")
            name, keys, *rest = connection.socket.recv_multipart()
            if name == wire.REFUSED:
                raise UnavailableError(f"the tracker refused: {rest[0].decode(errors='replace')}")
            acknowledged = {(bytes(log), number) for log, number in wire.unpack_keys(keys)}
            n_done += len(waiting & acknowledged)
            waiting -= acknowledged
            yield n_done
    finally:
        connection.close()
