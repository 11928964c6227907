"""What the tracker takes from a peer, and what not: bindings, limits and rates.

Whoever gets here has the endpoint's key (`tracker.gate`) or may enter its folder.  This keeps one
connection's mistakes from costing the others anything: each message is checked against what its
sender said in HELLO, what is wrong is counted by reason, and who sends too much of it is not
listened to until it connects again.

Assumption: routing ids are libzmq's own, a new one for each connection.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from hashlib import blake2b

import msgspec

from pllib import identity, wire
from pllib.errors import LogCorruptError
from pllib.frame import (
    FRAME_BYTES,
    MAX_PAYLOAD_BYTES,
    Frame,
    check_frame,
    frame_from,
    frame_key,
)
from pllib.log import FORMAT_VERSION
from pllib.records import NO_RANK, UNDECODABLE

from .linker import context_of

MAX_FRAME_BYTES = FRAME_BYTES + MAX_PAYLOAD_BYTES
MAX_HELLO_BYTES = 1024
MAX_HOST_CHARACTERS = 255
"""Source: gethostname(2), HOST_NAME_MAX is less."""
MAX_BAD = 100
"""Bad messages of a connection, after which it is ignored: a rank that is well sends none."""
ASKS_PER_S, ASKS_AT_ONCE = 10.0, 20.0
"""HELLOs and STATUSes of a connection; a rank says one HELLO a second until it is answered."""
MAX_PEERS = 50_000
"""Connections that are remembered; beyond, those forgotten say HELLO again."""
MAX_LOGS = 100_000
"""Logs whose run is remembered; beyond, one that comes again is bound anew."""
SILENT_S = 15.0
"""A peer that was not heard for so long is asked whether it is there."""


class RefusedError(Exception):
    """A message is not taken.

    Attributes:
        reason: Under which it is counted.
        key: Of the frame that will never be taken, as its header has it.
    """

    def __init__(self, reason: str, key: wire.FrameKey | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.key = key


class StrangerError(Exception):
    """A frame came before a HELLO: the tracker is a new one, or forgot the peer."""


@dataclass(slots=True)
class Peer:
    """A connection, as its HELLO described it."""

    seen: float
    """When it was heard last, seconds since 1970."""
    log_id: bytes | None = None
    """None before its HELLO, `wire.NO_LOG` of a collector."""
    run: str = ""
    rank: int = NO_RANK
    host: str = ""
    pid: int = 0
    clock_offset_ns: int = 0
    n_frames: int = 0
    n_bad: int = 0
    asks: float = ASKS_AT_ONCE
    """How many it may ask at once; grows by `ASKS_PER_S`."""
    asked: float = 0.0
    told: float = 0.0
    """When it was told to say HELLO, or asked whether it is there."""
    bound: bytes = field(default=b"", repr=False)
    """Digest of the log and context that its last frame had: the same in most."""


class Admission:
    """All that is known of the peers of one server; used by its thread alone."""

    def __init__(self) -> None:
        self.peers: dict[bytes, Peer] = {}
        self.refused_by: Counter[str] = Counter()
        self._connections: dict[bytes, bytes] = {}
        """Log → connection of the rank that writes it."""
        self._runs: dict[bytes, str] = {}
        self.departed: dict[bytes, Peer] = {}
        """Log → rank that has no connection any more: it ended, or its node or network is gone."""

    def may_speak(self, sender: bytes) -> bool:
        """Tell whether a peer is listened to; what others send is counted."""
        peer = self.peers.get(sender)
        if peer is None or peer.n_bad < MAX_BAD:
            return True
        self.refused_by["ignored"] += 1
        return False

    def refuse(self, sender: bytes, reason: str, now: float) -> None:
        """Count a bad message."""
        self.refused_by[reason] += 1
        self._peer(sender, now).n_bad += 1

    def ask(self, sender: bytes, what: str, now: float) -> None:
        """Let a peer ask for something once more.

        Raises:
            RefusedError: It asks too often.
        """
        peer = self._peer(sender, now)
        since = max(now - peer.asked, 0.0)
        peer.asks = min(peer.asks + since * ASKS_PER_S, ASKS_AT_ONCE)
        peer.asked = peer.seen = now
        if peer.asks < 1.0:
            raise RefusedError(f"too many {what}")
        peer.asks -= 1.0

    def bind(self, sender: bytes, data: bytes, now: float) -> str:
        """Bind a connection to what its HELLO says.

        Returns:
            Why it can't be; empty when it is bound.

        Raises:
            RefusedError: This is no HELLO, or one too many.
        """
        self.ask(sender, "HELLO", now)
        hello = _read_hello(data)
        if hello.format_version != FORMAT_VERSION:
            return f"log format {hello.format_version}, this tracker takes {FORMAT_VERSION}"
        collects = hello.log_id == wire.NO_LOG
        if not collects and self._bind_log(hello.log_id, hello.run) != hello.run:
            return "this log is of another run"
        peer = self._peer(sender, now)
        self._unbind(sender, peer)
        peer.log_id, peer.bound = hello.log_id, b""
        peer.run, peer.rank = ("", NO_RANK) if collects else (hello.run, hello.rank)
        peer.host, peer.pid = hello.host, hello.pid
        self.departed.pop(hello.log_id, None)
        peer.clock_offset_ns = hello.clock_ns - int(now * 1e9)
        if not collects:
            before = self._connections.get(hello.log_id, sender)
            if before != sender:  # it has connected again
                self.peers.pop(before, None)
            self._connections[hello.log_id] = sender
        return ""

    def check(self, sender: bytes, data: bytes, now: float) -> wire.FrameKey:
        """Return the key of a frame that may be journalled.

        Raises:
            StrangerError: The peer has not said HELLO.
            RefusedError: The frame is wrong, or not the peer's to bring.
        """
        peer = self.peers.get(sender)
        if peer is None or peer.log_id is None:
            raise StrangerError
        peer.seen = now
        frame = _read_frame(data, peer.log_id)
        key = (frame.log_id, frame.number)
        first, n_there = survey(frame.payload)
        if frame.n_records > n_there:
            raise RefusedError("fewer records than it says", key)
        bound = blake2b(first, key=frame.log_id, digest_size=16).digest()
        if bound != peer.bound:
            self._check_context(peer, frame, key)
            peer.bound = bound
        return key

    def _check_context(self, peer: Peer, frame: Frame, key: wire.FrameKey) -> None:
        context = context_of(frame)
        if context is None:
            raise RefusedError("no context", key)
        if peer.run and context.run != peer.run:
            raise RefusedError("another run", key)
        if self._bind_log(frame.log_id, context.run) != context.run:
            raise RefusedError("another run", key)

    def _bind_log(self, log_id: bytes, run: str) -> str:
        """Return the run that a log is of: this one if nobody named another before."""
        bound = self._runs.setdefault(log_id, run)
        if len(self._runs) > MAX_LOGS:
            del self._runs[next(iter(self._runs))]
        return bound

    def accepted(self, sender: bytes, n_frames: int) -> None:
        if (peer := self.peers.get(sender)) is not None:
            peer.n_frames += n_frames

    def is_due(self, sender: bytes, now: float) -> bool:
        """Tell whether a stranger is told to say HELLO: not for each of its frames."""
        peer = self._peer(sender, now)
        if now - peer.told < 1.0:
            return False
        peer.told = now
        return True

    def ranks(self) -> list[Peer]:
        """Return the peers that are ranks, in the order that they came."""
        return [peer for peer in self.peers.values() if peer.log_id not in (None, wire.NO_LOG)]

    def silent(self, now: float) -> list[bytes]:
        """Return the peers that are to be asked whether they are there."""
        found = []
        for sender, peer in self.peers.items():
            if now - max(peer.seen, peer.told) > SILENT_S:
                peer.told = now
                found.append(sender)
        return found

    def forget(self, sender: bytes) -> None:
        if (peer := self.peers.pop(sender, None)) is not None:
            self._unbind(sender, peer)

    def has_departed(self, sender: bytes) -> None:
        """Forget a peer that can't be reached; a rank is remembered as such."""
        peer = self.peers.get(sender)
        self.forget(sender)
        if peer is not None and peer.log_id not in (None, wire.NO_LOG):
            self.departed[peer.log_id or b""] = peer
            if len(self.departed) > MAX_LOGS:
                del self.departed[next(iter(self.departed))]

    def _unbind(self, sender: bytes, peer: Peer) -> None:
        if peer.log_id is not None and self._connections.get(peer.log_id) == sender:
            del self._connections[peer.log_id]

    def _peer(self, sender: bytes, now: float) -> Peer:
        peer = self.peers.get(sender)
        if peer is None:
            if len(self.peers) >= MAX_PEERS:
                self._make_room()
            peer = self.peers[sender] = Peer(now)
        return peer

    def _make_room(self) -> None:
        """Forget a tenth of the peers, those that were silent the longest."""
        by_age = sorted(self.peers, key=lambda sender: self.peers[sender].seen)
        for sender in by_age[: MAX_PEERS // 10]:
            self.forget(sender)


def survey(payload: bytes) -> tuple[bytes, int]:
    """Return the first record of a payload, and how many are whole; none is decoded."""
    words = memoryview(payload)[: len(payload) & -4].cast("I")
    at = n_records = 0
    end = len(words)
    while at < end and (length := words[at]):
        at += (length + 7) >> 2
        n_records += 1
    if at > end:
        n_records -= 1
    first = payload[4 : 4 + words[0]] if n_records else b""
    return first, n_records


def _read_hello(data: bytes) -> wire.Hello:
    try:
        hello = msgspec.msgpack.decode(data[: MAX_HELLO_BYTES + 1], type=wire.Hello)
    except UNDECODABLE:
        raise RefusedError("malformed") from None
    collects = hello.log_id == wire.NO_LOG
    if len(hello.log_id) != len(wire.NO_LOG) or not (collects or identity.is_one(hello.run)):
        raise RefusedError("malformed")
    if len(data) > MAX_HELLO_BYTES or len(hello.host) > MAX_HOST_CHARACTERS:
        raise RefusedError("oversized")
    return hello


def _read_frame(data: bytes, log_id: bytes) -> Frame:
    """Unpack a frame that a peer of this log may bring."""
    theirs = frame_key(data) if len(data) >= FRAME_BYTES else None
    if len(data) > MAX_FRAME_BYTES:
        raise RefusedError("oversized", theirs)
    if theirs is not None and log_id not in (wire.NO_LOG, theirs[0]):
        raise RefusedError("another log", theirs)
    try:
        head = check_frame(data)
        if len(data) == head.end:  # else what is behind it would be behind it in the journal
            return frame_from(head, data)
    except LogCorruptError:
        pass
    raise RefusedError("corrupt", theirs)
