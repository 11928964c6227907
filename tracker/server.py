"""The tracker's front: takes frames from ranks, journals them, acknowledges what is durable.

One thread owns the ROUTER and the journal's writing end.  Each round takes what has arrived, checks
it (`tracker.admission`), appends it all, syncs once and then acknowledges: many ranks share one
fdatasync.  Whoever lacks the client's key is turned away by CURVE before a message of theirs is
read (`tracker.gate`).
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import zmq

from pllib import wire
from pllib.errors import UnavailableError
from pllib.listening import Listening
from pllib.log import FORMAT_VERSION
from pllib.project import Endpoint

from .admission import MAX_FRAME_BYTES, Admission, Peer, RefusedError, StrangerError
from .descriptors import Room
from .gate import Gate
from .journal import FrameKey, Journal
from .listener import Listener
from .quota import Quota

ROUND_FRAMES = 256
"""Frames of one sync; bounds the time until the first is acknowledged."""
ROUND_BYTES = 32 << 20
ROUND_MESSAGES = 1024
RECEIVE_HWM = 8
"""Messages of a connection that wait in memory, frames of up to `flush_bytes`, of 10,000 ranks.
What is beyond waits in the socket, and then with its sender, who has at most
`pllib.connection.WINDOW_FRAMES` on the way.  Measured: one sender is no slower than with 64, and
with frames of 60 KiB three times as fast, since rounds are smaller.  While a connection is held
back its heartbeats are not answered: a journal that hangs for longer than they last has ranks
connect again."""
CURVE_BYTES = 64
"""What CURVE adds to a message, and more: 33."""
HANDSHAKE_MS = 30_000
"""Who has not proved its key by then is cut off, and its descriptor free again.  Of 10,000 clients
that come at once the last is through after 12 s on two cores; to cut those off would only have
them begin again."""
GONE_MS = 60_000
"""A node that is gone without a word is noticed by TCP after so long, with data on the way or not.
A rank that is stopped, as by `scontrol suspend`, keeps its connection: its kernel answers."""
POLL_MS = 50
"""So long may pass until an order to stop is seen."""
LAST_ROUNDS_S = 1.0
"""Ranks that go on sending must not keep a tracker that was told to stop."""
UPKEEP_S = 1.0
ZAP_DOMAIN = "sprov"
ZERO_COPY_RECV = 10
"""Source: zmq.h of libzmq 4.3; pyzmq has no name for it."""

Status = Callable[[], dict[str, Any]]
Frames = list[tuple[bytes, FrameKey, bytes]]
"""Sender, key and packed frame."""


class Server:
    def __init__(
        self, journal: Journal, endpoint: Endpoint, secret: str, listening: Listening
    ) -> None:
        """Bind, to the port of last time if that can be.

        Raises:
            UnavailableError: The address is in use or not of this machine.
        """
        self._journal = journal
        self.room = Room(os.environ)
        self._context = _context()
        self.gate = Gate(self._context, endpoint.client_public_key)
        self._socket = _router(self._context)
        if not listening.folder:  # else the folder admits, which is this user's alone
            _secure(self._socket, endpoint.server_public_key, secret)
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        try:
            self.listener = Listener(
                self._socket, listening, endpoint.tracker_port, self.room.backlog
            )
        except UnavailableError:
            self._end()
            raise
        self.gate.start(self._socket, self._note_descriptor)
        self.admission = Admission()
        self.on_rank: Callable[[Peer], object] = lambda _: None
        """Is told of each rank that says HELLO."""
        self.quota = Quota(journal.folder, 0)
        self.duplicates = 0
        self._upkeep_at = 0.0
        self._journal_trouble = ""

    @property
    def url(self) -> str:
        return self.listener.url

    @property
    def refused_by(self) -> Counter[str]:
        """Messages and connections that were not taken, by reason."""
        # The gate counts on its own thread: `dict` copies in one step, a Counter does not.
        return self.admission.refused_by + Counter(dict(self.gate.refused_by))

    @property
    def trouble(self) -> str:
        if self._journal_trouble:
            return self._journal_trouble
        if not self.listener.is_open:
            return f"no more clients fit: the hard limit on open files is {self.room.limit}"
        return self.room.trouble

    @property
    def silent_s(self) -> float:
        """For how long the serving thread has not looked around; it does so once a second."""
        return max(time.monotonic() - self._upkeep_at, 0.0) if self._upkeep_at else 0.0

    def serve(self, is_stopping: Callable[[], bool], status: Status) -> None:
        """Take frames until told to stop, and then what had arrived by then."""
        while not is_stopping():
            self._round(POLL_MS, status)
            self._look_after()
        deadline = time.monotonic() + LAST_ROUNDS_S
        while self._round(0, status) and time.monotonic() < deadline:
            pass

    def _round(self, timeout_ms: int, status: Status) -> bool:
        """Take what has arrived; return whether there was anything."""
        if not self._poller.poll(timeout_ms):
            return False
        frames: Frames = []
        n_bytes = 0
        for _ in range(ROUND_MESSAGES):
            try:
                parts = self._socket.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                break
            self._take(parts, frames, status)
            n_bytes += sum(map(len, parts))
            if len(frames) >= ROUND_FRAMES or n_bytes >= ROUND_BYTES:
                break
        if frames:
            self._keep(frames)
        return True

    def _take(self, parts: list[bytes], frames: Frames, status: Status) -> None:
        sender, now = parts[0], time.time()
        if not self.admission.may_speak(sender):
            return
        try:
            if len(parts) == 3 and parts[1] == wire.FRAME:
                frames.append((sender, self.admission.check(sender, parts[2], now), parts[2]))
            elif len(parts) == 3 and parts[1] == wire.HELLO:
                reason = self.admission.bind(sender, parts[2], now)
                self._welcome(sender, reason, now)
                self._notice(sender, reason)
            elif len(parts) == 2 and parts[1] == wire.STATUS:
                self.admission.ask(sender, "STATUS", now)
                self._send([sender, wire.STATUS, msgspec.json.encode(status())])
            elif len(parts) > 1 and wire.is_new_name(parts[1]):  # a newer version says it
                self.admission.ask(sender, "unknown message", now)
                self.admission.refused_by["unknown message"] += 1
            else:
                raise RefusedError("malformed")
        except StrangerError:
            self.admission.refused_by["before HELLO"] += 1
            if self.admission.is_due(sender, now):
                self._send([sender, wire.HELLO])
        except RefusedError as exc:
            self.admission.refuse(sender, exc.reason, now)
            if exc.key is not None:
                self._send([sender, wire.REJECTED, wire.pack_keys([exc.key]), str(exc).encode()])

    def _keep(self, frames: Frames) -> None:
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
                self.quota.check()
                self._journal.append(list(new.items()))
                self.quota.add(sum(map(len, new.values())))
        except OSError as exc:
            self._journal_trouble = f"journal: {exc.strerror}"
            reason = "quota" if exc.errno == errno.EDQUOT else "journal"
            self.admission.refused_by[reason] += len(new)
            for sender, keys in by_sender.items():
                refused = [sender, wire.REFUSED, wire.pack_keys(keys)]
                self._send([*refused, self._journal_trouble.encode()])
            return
        self._journal_trouble = ""
        for sender, keys in by_sender.items():
            self.admission.accepted(sender, len(keys))
            self._send([sender, wire.ACK, wire.pack_keys(keys)])

    def _welcome(self, sender: bytes, reason: str, now: float) -> None:
        """Answer a HELLO; with a reason it is refused."""
        if reason:
            self.admission.refuse(sender, "HELLO", now)
            self._send([sender, wire.REFUSED, b"", reason.encode()])
            return
        welcome = wire.Welcome(FORMAT_VERSION, self._journal.identity, int(now * 1e9))
        self._send([sender, wire.WELCOME, msgspec.msgpack.encode(welcome)])

    def _notice(self, sender: bytes, reason: str) -> None:
        peer = self.admission.peers.get(sender)
        if not reason and peer is not None and peer.log_id not in (None, wire.NO_LOG):
            self.on_rank(peer)

    def _send(self, parts: list[bytes]) -> None:
        """Send, or not: a rank whose pipe is full asks again, and one that is gone is forgotten."""
        try:
            self._socket.send_multipart(parts, zmq.DONTWAIT)
        except zmq.Again:
            pass
        except zmq.ZMQError:
            self.admission.has_departed(parts[0])

    def _note_descriptor(self, descriptor: int) -> None:
        """On the gate's thread: let no more clients in when this one was the last."""
        if self.listener.is_open and self.room.is_filled_by(descriptor):
            self.listener.shut()

    def _look_after(self) -> None:
        """Once in a while: listen again if there is room, and forget peers that are gone."""
        if time.monotonic() < self._upkeep_at:
            return
        self._upkeep_at = time.monotonic() + UPKEEP_S
        if not self.listener.is_open and self.room.is_there():
            self.listener.open()
        for sender in self.admission.silent(time.time()):
            self._send([sender, wire.ALIVE, b""])

    def close(self) -> None:
        self._end()
        self.listener.close()

    def _end(self) -> None:
        self._socket.close()
        self.gate.close()
        self._context.term()


def _context() -> zmq.Context[zmq.Socket[bytes]]:
    """Return a context whose connections do without a buffer of 8 KiB each to receive into.

    Messages are copied out of it anyway.  Measured with 2,000 clients: 36 KiB each instead of 40.
    """
    context = zmq.Context()
    with contextlib.suppress(zmq.ZMQError):  # a libzmq that does not know it
        context.set(ZERO_COPY_RECV, 0)
    return context


def _router(context: zmq.Context[zmq.Socket[bytes]]) -> zmq.Socket[bytes]:
    """Return the socket for ranks, with its limits."""
    socket = context.socket(zmq.ROUTER)
    socket.linger = 500
    socket.rcvhwm = RECEIVE_HWM
    socket.maxmsgsize = MAX_FRAME_BYTES + CURVE_BYTES
    socket.handshake_ivl = HANDSHAKE_MS
    socket.router_mandatory = True  # who is gone is an error, not silence
    socket.tcp_keepalive = 1
    socket.tcp_keepalive_idle = socket.tcp_keepalive_intvl = GONE_MS // 4000
    socket.tcp_keepalive_cnt = 3
    socket.tcp_maxrt = GONE_MS
    return socket


def _secure(socket: zmq.Socket[bytes], public_key: str, secret: str) -> None:
    """Have a socket speak CURVE alone, and ask ZAP about each client."""
    socket.zap_domain = ZAP_DOMAIN.encode()
    socket.zap_enforce_domain = True  # else a ZAP that is away would let all in
    socket.curve_server = True
    socket.curve_secretkey = secret.encode()
    socket.curve_publickey = public_key.encode()


def new_keys() -> tuple[dict[str, str], str]:
    """Return fresh CURVE keys: endpoint fields, and the server's secret one."""
    server, client = zmq.curve_keypair(), zmq.curve_keypair()
    fields = {
        "server_public_key": server[0].decode(),
        "client_public_key": client[0].decode(),
        "client_secret_key": client[1].decode(),
    }
    return fields, server[1].decode()


def is_pair(public_key: str, secret: str) -> bool:
    """Tell whether these are the two halves of one CURVE key."""
    try:
        return bool(zmq.curve_public(secret.encode()) == public_key.encode())
    except (zmq.ZMQError, ValueError):  # no key at all
        return False
