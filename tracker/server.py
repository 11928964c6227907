"""The tracker's front: takes frames from ranks, journals them, acknowledges what is durable.

One thread owns the ROUTER and the journal's writing end, and decodes nothing.  Each round takes
what has arrived, appends it all, syncs once and then acknowledges: many ranks share one fdatasync.
Whoever lacks the client's key is turned away by CURVE before a message of theirs is read.
"""

from __future__ import annotations

import errno
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import zmq
from zmq.auth.thread import ThreadAuthenticator

from pllib import wire
from pllib.errors import LogCorruptError, UnavailableError
from pllib.listening import Listening
from pllib.log import FORMAT_VERSION, unpack_frame
from pllib.project import Endpoint

from .journal import FrameKey, Journal

ROUND_FRAMES = 256
"""Frames of one sync; bounds the time until the first is acknowledged."""
RECEIVE_HWM = 64
POLL_MS = 50
"""So long may pass until an order to stop is seen."""
LAST_ROUNDS_S = 1.0
"""Ranks that go on sending must not keep a tracker that was told to stop."""
ZAP_DOMAIN = "sprov"


@dataclass
class Peer:
    """A rank as its HELLO described it."""

    run: str
    rank: int
    host: str
    pid: int
    seen: float
    clock_offset_ns: int
    n_frames: int = 0


class _OneClient:
    """ZAP: the clients of one endpoint share one key pair; whoever can read its file has it."""

    def __init__(self, public_key: str) -> None:
        self._key = public_key.encode()

    def callback(self, domain: str, key: bytes) -> bool:
        return key == self._key


class Server:
    def __init__(self, journal: Journal, endpoint: Endpoint, listening: Listening) -> None:
        """Bind, to the port of last time if that can be.

        Raises:
            UnavailableError: The address is in use or not of this machine.
        """
        self._journal = journal
        self._context = zmq.Context()
        self._auth = ThreadAuthenticator(self._context)
        self._auth.start()
        self._auth.configure_curve_callback(
            domain=ZAP_DOMAIN, credentials_provider=_OneClient(endpoint.client_public_key)
        )
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.linger = 500
        self._socket.rcvhwm = RECEIVE_HWM
        self._socket.zap_domain = ZAP_DOMAIN.encode()
        self._socket.curve_server = True
        self._socket.curve_secretkey = endpoint.server_secret_key.encode()
        self._socket.curve_publickey = endpoint.server_public_key.encode()
        self._socket.router_handover = True
        try:
            self._bind(listening, endpoint.tracker_port)
        except UnavailableError:
            self.close()
            raise
        self.url = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self.peers: dict[bytes, Peer] = {}
        self.refused = 0
        self.duplicates = 0
        self.trouble = ""

    def _bind(self, listening: Listening, last: int) -> None:
        for port in listening.candidates(last):
            address = f"{listening.address}:{port or '*'}"
            try:
                self._socket.bind(f"tcp://{address}")
                return
            except zmq.ZMQError as exc:
                if exc.errno != errno.EADDRINUSE:
                    raise UnavailableError(
                        f"tcp://{address} can't be bound: {exc}", "Choose another with --bind"
                    ) from exc
        raise UnavailableError(listening.taken(), "Choose others with --bind")

    def serve(self, is_stopping: Callable[[], bool], status: Callable[[], dict[str, Any]]) -> None:
        """Take frames until told to stop, and then what had arrived by then."""
        while not is_stopping():
            self._round(POLL_MS, status)
        deadline = time.monotonic() + LAST_ROUNDS_S
        while self._round(0, status) and time.monotonic() < deadline:
            pass

    def _round(self, timeout_ms: int, status: Callable[[], dict[str, Any]]) -> bool:
        """Take what has arrived; return whether there was anything."""
        frames: list[tuple[bytes, FrameKey, bytes]] = []
        n_messages = 0
        while len(frames) < ROUND_FRAMES and self._socket.poll(0 if n_messages else timeout_ms):
            n_messages += 1
            self._take(self._socket.recv_multipart(), frames, status)
        if frames:
            self._keep(frames)
        return n_messages > 0

    def _take(
        self,
        parts: list[bytes],
        frames: list[tuple[bytes, FrameKey, bytes]],
        status: Callable[[], dict[str, Any]],
    ) -> None:
        sender, name, *rest = parts if len(parts) > 1 else [parts[0], b""]
        if name == wire.FRAME and rest:
            self._check(sender, rest[0], frames)
        elif name == wire.HELLO and rest:
            self._welcome(sender, rest[0])
        elif name == wire.STATUS:
            self._send([sender, wire.STATUS, json.dumps(status()).encode()])

    def _check(
        self, sender: bytes, data: bytes, frames: list[tuple[bytes, FrameKey, bytes]]
    ) -> None:
        try:
            frame = unpack_frame(data)
        except LogCorruptError:
            self.refused += 1
            return
        frames.append((sender, (frame.log_id, frame.number), data))

    def _keep(self, frames: list[tuple[bytes, FrameKey, bytes]]) -> None:
        new: dict[FrameKey, bytes] = {}
        for _, key, data in frames:
            if self._journal.has(key) or key in new:
                self.duplicates += 1
            else:
                new[key] = data
        by_sender: dict[bytes, list[FrameKey]] = {}
        for sender, key, _ in frames:
            by_sender.setdefault(sender, []).append(key)
        try:
            if new:
                self._journal.append(list(new.items()))
        except OSError as exc:
            self.trouble = f"journal: {exc.strerror}"
            self.refused += len(new)
            for sender, keys in by_sender.items():
                self._send([sender, wire.REFUSED, wire.pack_keys(keys), self.trouble.encode()])
            return
        self.trouble = ""
        for sender, keys in by_sender.items():
            if sender in self.peers:
                self.peers[sender].n_frames += len(keys)
                self.peers[sender].seen = time.time()
            self._send([sender, wire.ACK, wire.pack_keys(keys)])

    def _welcome(self, sender: bytes, data: bytes) -> None:
        try:
            hello = msgspec.msgpack.decode(data, type=wire.Hello)
        except msgspec.MsgspecError:
            return
        now_ns = time.time_ns()
        if hello.format_version != FORMAT_VERSION:
            reason = f"log format {hello.format_version}, this tracker takes {FORMAT_VERSION}"
            self._send([sender, wire.REFUSED, b"", reason.encode()])
            return
        self.peers[sender] = Peer(
            hello.run, hello.rank, hello.host, hello.pid, now_ns / 1e9, hello.clock_ns - now_ns
        )
        welcome = wire.Welcome(FORMAT_VERSION, self._journal.identity, now_ns)
        self._send([sender, wire.WELCOME, msgspec.msgpack.encode(welcome)])

    def _send(self, parts: list[bytes]) -> None:
        """Send, or not: a rank that is gone, or whose pipe is full, asks again."""
        try:
            self._socket.send_multipart(parts, flags=zmq.DONTWAIT)
        except zmq.ZMQError:
            self.peers.pop(parts[0], None)

    def close(self) -> None:
        self._socket.close()
        self._auth.stop()
        self._context.term()


def new_keys() -> dict[str, str]:
    """Return fresh CURVE key pairs of a server and its clients, as endpoint fields."""
    server, client = zmq.curve_keypair(), zmq.curve_keypair()
    return {
        "server_public_key": server[0].decode(),
        "server_secret_key": server[1].decode(),
        "client_public_key": client[0].decode(),
        "client_secret_key": client[1].decode(),
    }
