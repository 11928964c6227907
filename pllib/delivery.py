"""What commands and collectors ask of a tracker: its counts, and to take frames of others."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec
import zmq

from . import wire
from .connection import WINDOW_FRAMES, Connection, hello, reason_of
from .errors import LogError, UnavailableError
from .log import frame_key

if TYPE_CHECKING:
    from .project import Endpoint

AskStatus = Callable[[], dict[str, Any]]


def ask_status(endpoint: Endpoint, timeout_s: float = 3.0) -> dict[str, Any]:
    """Ask a tracker for its counts.

    Raises:
        KeyRefusedError: It does not take the keys of the endpoint file.
        UnavailableError: It does not answer.
    """
    with asking_status(endpoint, timeout_s) as ask:
        return ask()


@contextlib.contextmanager
def asking_status(endpoint: Endpoint, timeout_s: float = 3.0) -> Iterator[AskStatus]:
    """Give what asks a tracker for its counts again and again, as `ask_status` does once."""
    connection = Connection(endpoint, hello(wire.NO_LOG, "", 0, ""))

    def ask() -> dict[str, Any]:
        deadline = time.monotonic() + timeout_s
        if connection.wait(timeout_s, zmq.POLLOUT) and connection.send([wire.STATUS]):
            while connection.wait(deadline - time.monotonic()):
                name, *rest = connection.socket.recv_multipart()
                if name == wire.STATUS and rest:
                    return dict(msgspec.json.decode(rest[0]))
        raise _silent(connection)

    try:
        yield ask
    finally:
        connection.close()


def deliver(endpoint: Endpoint, frames: Iterable[bytes], timeout_s: float = 10.0) -> Iterator[int]:
    """Send packed frames to a tracker; yield how many it has acknowledged, as it goes on.

    Raises:
        KeyRefusedError: It does not take the keys of the endpoint file.
        UnavailableError: It refuses, or is silent for `timeout_s`.
        LogError: It has all but frames that it will never take.
    """
    connection = Connection(endpoint, hello(wire.NO_LOG, "", 0, ""))
    try:
        if not (connection.wait(timeout_s, zmq.POLLOUT) and connection.say_hello()):
            raise _silent(connection)
        yield from _deliver(connection, iter(frames), timeout_s)
    finally:
        connection.close()


def _deliver(connection: Connection, frames: Iterator[bytes], timeout_s: float) -> Iterator[int]:
    waiting: set[wire.FrameKey] = set()
    rejected: dict[str, int] = {}
    n_done, more = 0, True
    while more or waiting:
        while more and len(waiting) < WINDOW_FRAMES:
            frame = next(frames, None)
            more = frame is not None
            if frame is not None:
                _send(connection, frame, timeout_s)
                waiting.add(frame_key(frame))
        if not waiting:
            break
        if not connection.wait(timeout_s):
            raise _silent(connection)
        parts = connection.socket.recv_multipart()
        if parts[0] == wire.REFUSED:
            raise UnavailableError(f"the tracker refused: {reason_of(parts)}")
        if parts[0] not in (wire.ACK, wire.REJECTED) or len(parts) < 2:
            continue
        answered = waiting.intersection(wire.unpack_keys(parts[1]))
        waiting -= answered
        if parts[0] == wire.REJECTED:
            reason = reason_of(parts)
            rejected[reason] = rejected.get(reason, 0) + len(answered)
        else:
            n_done += len(answered)
            yield n_done
    if rejected:
        told = "; ".join(f"{n_frames} frame(s): {reason}" for reason, n_frames in rejected.items())
        raise LogError(f"the tracker at {connection.address} rejects {told}")


def _send(connection: Connection, frame: bytes, timeout_s: float) -> None:
    if not (connection.wait(timeout_s, zmq.POLLOUT) and connection.send([wire.FRAME, frame])):
        raise _silent(connection)


def _silent(connection: Connection) -> UnavailableError:
    return UnavailableError(f"the tracker at {connection.address} does not answer")
