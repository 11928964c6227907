"""Who gets through the tracker's door: ZAP for CURVE, and a count of those who do not.

libzmq asks ZAP about each client key, and tells by its monitor of connections that never were a
client's: junk, other mechanisms, a wrong server key.  Neither reaches the tracker's own thread.

Source: ZeroMQ RFC 27 (ZAP); zmq_socket_monitor(3) of libzmq 4.3.
"""

from __future__ import annotations

import contextlib
import hmac
import struct
import threading
from collections import Counter
from collections.abc import Callable

import zmq
from zmq.utils import z85

ZAP_ADDRESS = "inproc://zeromq.zap.01"
ZAP_VERSION = b"1.0"
ZAP_PARTS = 7
"""Version, request, domain, address, identity, mechanism, client key."""
EVENTS = (
    zmq.EVENT_ACCEPTED
    | zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
)
AT_ONCE = 64
_EVENT = struct.Struct("=hi")
FAILED = (zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL, zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)


class Gate:
    """Admits the client key of one endpoint: whoever can read its file has it."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], client_public_key: str) -> None:
        self._key = z85.decode(client_public_key.encode()) if client_public_key else b""
        self._zap = context.socket(zmq.REP)
        self._zap.linger = 0
        self._zap.bind(ZAP_ADDRESS)
        self._end, self._ended = (context.socket(zmq.PAIR) for _ in range(2))
        self._end.bind(f"inproc://gate-{id(self)}")
        self._ended.connect(f"inproc://gate-{id(self)}")
        # libzmq's I/O threads wait for room in a monitor: this one never lacks any.
        self._monitor = context.socket(zmq.PAIR)
        self._monitor.rcvhwm = 0
        self.refused_by: Counter[str] = Counter()
        self.n_admitted = 0
        self._on_accepted: Callable[[int], object] = int
        self._thread = threading.Thread(target=self._run, name="gate", daemon=True)

    def start(self, socket: zmq.Socket[bytes], on_accepted: Callable[[int], object]) -> None:
        """Watch over a socket; a thread tells each descriptor that it takes."""
        self._on_accepted = on_accepted
        address = f"inproc://monitor-{id(self)}"
        socket.monitor(address, EVENTS)
        self._monitor.connect(address)
        self._thread.start()

    def close(self) -> None:
        """End; the socket that it watches is closed already."""
        if self._thread.ident is not None:
            self._end.send(b"")
            self._thread.join()
        for socket in (self._zap, self._monitor, self._end, self._ended):
            socket.close(0)

    def _run(self) -> None:
        poller = zmq.Poller()
        for socket in (self._zap, self._monitor, self._ended):
            poller.register(socket, zmq.POLLIN)
        while True:
            ready = dict(poller.poll())
            if self._ended in ready:
                return
            with contextlib.suppress(zmq.Again):
                for _ in range(AT_ONCE):
                    asked = self._zap.recv_multipart(zmq.DONTWAIT)
                    self._zap.send_multipart(self._answer(asked))
            with contextlib.suppress(zmq.Again):
                for _ in range(AT_ONCE):
                    self._note(self._monitor.recv_multipart(zmq.DONTWAIT))

    def _answer(self, asked: list[bytes]) -> list[bytes]:
        """Return what ZAP says to a request."""
        request = asked[1] if len(asked) > 1 else b""
        known = len(asked) == ZAP_PARTS and asked[0] == ZAP_VERSION and asked[5] == b"CURVE"
        if known and self._key and hmac.compare_digest(asked[6], self._key):
            return [ZAP_VERSION, request, b"200", b"", b"rank", b""]
        self.refused_by["client key"] += 1
        return [ZAP_VERSION, request, b"400", b"unknown key", b"", b""]

    def _note(self, told: list[bytes]) -> None:
        event, value = _EVENT.unpack(told[0])
        if event == zmq.EVENT_ACCEPTED:
            with contextlib.suppress(OSError):  # the descriptor may be closed again by now
                self._on_accepted(value)
        elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self.n_admitted += 1
        elif event in FAILED:
            self.refused_by["handshake"] += 1
