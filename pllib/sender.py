"""The thread that seals frames and ships them, so that capturing threads never wait.

Each round: retire chunks whose oldest record is of flush age, seal what was retired, and hand the
frames on.  Online they go to the tracker over DEALER and stay in the spool until acknowledged; a
reconnect sends all that is not.  Without a tracker, or with one that does not take our key or log,
they are appended to a packed log in the project.  What could not be handed on when the session
closes goes the same way; if even that fails, the spool stays where it is and says so.

As long as no tracker has welcomed us the endpoint file is looked at: a tracker that was started
again elsewhere has written it anew.

libzmq 4.3.5 reconnects by itself, but what was in a dead pipe is lost without a word
(163 of 600 in a 6 s cut): hence acknowledgements, and the resend after a handshake.
"""

from __future__ import annotations

import contextlib
import os
import struct
import threading
import time
from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Protocol

import msgspec
import zmq

from . import wire
from .connection import WINDOW_FRAMES, Connection, reason_of
from .errors import Error
from .filewatch import FileWatch
from .foreign import suppressing
from .spool import Chunk, Spool
from .writer import WRITE_S, Writer

if TYPE_CHECKING:
    from .connection import Finder
    from .outbox import Outbox

HELLO_EVERY_S = 1.0
"""Until the tracker answers."""
RESEND_S, MAX_RESEND_S = 3.0, 48.0
"""A frame not acknowledged by then is sent again, after another HELLO; twice as patiently each time
on one connection, since a slow tracker is only slower for what it gets twice."""
LOOK_EVERY_S, MAX_LOOK_S = 1.0, 10.0
"""At the endpoint file: of thousands of ranks, for as long as an outage may last."""
CONNECT_AGAIN_S, MAX_CONNECT_AGAIN_S = 15.0, 60.0
"""A connection that did not come about, where no other tracker is known."""
OFFLINE_AGE_S = 2.0
OUTBOX_FRAMES = 64
"""Written before a sync."""
RETRY_S = 1.0
"""The outbox, after its disk was full or failed."""
MESSAGES_A_ROUND = 1000
TRUNCATED = "somebody truncated the spool"
UNREADABLE = (msgspec.MsgspecError, struct.error, IndexError, ValueError)


class Guest(Protocol):
    """What the sender says to its session, on the sender's thread."""

    def tick(self, now: float) -> None: ...
    def tell(self, message: str) -> None: ...
    def lose(self, reason: str, n_records: int = 1) -> None: ...


class Sender:
    """Runs from `start` to `finish`; all else happens on its own thread."""

    def __init__(
        self,
        spool: Spool,
        leases: dict[Chunk, Writer],
        outbox: Outbox,
        finder: Finder | None,
        flush_age_s: float,
        guest: Guest,
    ) -> None:
        self.retired: deque[Chunk] = deque()
        self.unacked: dict[int, Chunk] = {}
        self._unsealed: list[Chunk] = []
        """Left in the spool as they are, for `sprov ingest`."""
        self.n_frames = 0
        self.trouble = ""
        self._moved_at = 0.0
        """When frames last went on, or there were none that waited."""
        self._spool = spool
        self._leases = leases
        self._outbox = outbox
        self._finder = finder
        self._flush_age_s = flush_age_s
        self._guest = guest
        self._watch = FileWatch(spool, outbox, guest)
        self._stop_at: float | None = None
        self._force_at = 0.0
        self._wake_r, self._wake_w = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._connection: Connection | None = None
        self._sent: dict[int, float] = {}
        self._patience_s = RESEND_S
        self._hello_at = self._look_at = self._connect_at = self._write_at = 0.0
        self._look_s, self._connect_s = LOOK_EVERY_S, CONNECT_AGAIN_S
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
        now = time.monotonic()
        self._force_at = now + min(WRITE_S, timeout_s)
        self._stop_at = now + timeout_s
        self.wake()
        if self._thread.ident is None:  # no thread was to be had: what it would do at its end
            self._leave()
        if self._thread.is_alive():
            self._thread.join(timeout_s + 5.0)
        if self._thread.is_alive():
            return False
        os.close(self._wake_r)
        os.close(self._wake_w)
        return not (self.unacked or self.retired or self._leases or self._unsealed)

    @property
    def status(self) -> str:
        """online if a tracker was found, reached or not, else offline."""
        found = self._finder is not None and self._finder.endpoint is not None
        return "online" if found else "offline"

    @property
    def _age_s(self) -> float:
        online = self._connection is not None
        return self._flush_age_s if online else max(self._flush_age_s, OFFLINE_AGE_S)

    def _run(self) -> None:
        while not self._is_finished():
            try:
                self._round()
                self._wait()
            except Exception as exc:  # noqa: BLE001  a guest's thread must not print a traceback
                self.trouble = f"sender: {type(exc).__name__}: {exc}"
                self._disconnect()
                time.sleep(WRITE_S)  # it may be so again at once
        self._leave()

    def _is_finished(self) -> bool:
        if self._stop_at is None:
            return False
        idle = not self._leases and not self.retired and not self.unacked
        return idle or time.monotonic() >= self._stop_at

    def _round(self) -> None:
        now = time.monotonic()
        self._guest.tick(now)
        self._watch.look(now)
        self._retire_aged(now)
        self._seal()
        self._take_over()
        self._look(now)
        if self._connection is None:
            if not self._outbox.is_open and now >= self._write_at:
                self._write_some(now)  # none as yet, but later its disk may be full
            self._write_out(now)
        else:
            self._ship(self._connection, now)
        if len(self._spool.free) < len(self.unacked) + 4:
            self._spool.grow()

    def _retire_aged(self, now: float) -> None:
        """Take chunks whose oldest record is of flush age.

        None while nothing goes on: they would only use up the spool, nearly empty as they are.
        """
        is_stuck = bool(self.unacked) and now - self._moved_at >= self._age_s
        for chunk, writer in list(self._leases.items()):
            if self._stop_at is not None:
                self._retire_at_end(chunk, writer)
                continue
            has_news = writer.n_records != writer.n_before and not is_stuck
            aged = has_news and now - writer.since >= self._age_s
            if (aged or self._spool.is_left(chunk)) and (retired := writer.retire()) is not None:
                self.retired.append(retired)

    def _retire_at_end(self, chunk: Chunk, writer: Writer) -> None:
        """Take a chunk; in the end a busy one's too: one that was interrupted stays so for ever."""
        retired = writer.retire()
        overdue = time.monotonic() >= self._force_at
        if retired is None and overdue and self._leases.pop(chunk, None) is not None:
            retired = chunk
        if retired is not None:
            self.retired.append(retired)

    def _seal(self) -> None:
        if self.retired:
            self._spool.stamp()
        while self.retired:
            chunk, n_unswept = self.retired.popleft(), self._spool.n_unswept
            if self._spool.is_gone(chunk):
                self._guest.lose(TRUNCATED, chunk.n_records)
                continue
            try:
                n_records = self._spool.seal(chunk)
            except Exception as exc:  # noqa: BLE001  the others must not wait behind it for ever
                self._unsealed.append(chunk)
                self.trouble = f"a frame can't be sealed: {type(exc).__name__}: {exc}"
                continue
            if dropped := self._spool.n_unswept - n_unswept:
                self._guest.lose("no room for a record without its secrets", dropped)
            if n_records:
                if not self.unacked:
                    self._moved_at = time.monotonic()
                self.unacked[chunk.number] = chunk
                self.n_frames += 1
            else:
                self._spool.recycle(chunk)

    def _take_over(self) -> None:
        """Move what a file of the spool had that was replaced to the one after it."""
        for number, chunk in list(self.unacked.items()):
            if not self._spool.is_left(chunk):
                continue
            if self._spool.is_gone(chunk):
                self._guest.lose(TRUNCATED, chunk.n_records)
                self._release([number])
            else:
                self.unacked[number] = self._spool.adopt(chunk)

    def _look(self, now: float) -> None:
        """Connect, and anew if the tracker has moved, as long as none has welcomed us."""
        connection = self._connection
        if self._finder is None or (connection is not None and connection.welcome is not None):
            return
        if now >= self._look_at:
            self._look_at = now + self._look_s
            self._look_s = min(1.1 * self._look_s, MAX_LOOK_S)
            try:
                if self._finder.has_moved():
                    self._disconnect()
                    self._connect_at = 0.0
            except Error as exc:
                self.trouble = str(exc)
        if now >= self._connect_at and (connection is None or not connection.is_open):
            self._connect(self._finder, now)

    def _connect(self, finder: Finder, now: float) -> None:
        self._disconnect()
        self._connect_at = now + self._connect_s
        self._connect_s = min(2 * self._connect_s, MAX_CONNECT_AGAIN_S)
        try:
            self._connection = finder.connect()
        except Error as exc:
            self.trouble = str(exc)
            self._guest.tell(self.trouble)

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        self._sent.clear()
        if connection is not None:
            with contextlib.suppress(zmq.ZMQError):
                connection.close()

    def _write_out(self, now: float) -> None:
        """Move frames to the outbox; those that its disk does not take stay in the spool."""
        while self.unacked and now >= self._write_at:
            self._write_some(now)

    def _write_some(self, now: float) -> None:
        chunks = list(islice(self.unacked.values(), OUTBOX_FRAMES))
        n_frames = self._outbox.append(self._spool.frame(chunk) for chunk in chunks)
        self._release([chunk.number for chunk in chunks[:n_frames]])
        if self._outbox.trouble:
            self.trouble = self._outbox.trouble
            self._write_at = now + RETRY_S

    def _release(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            self.trouble = ""
            self._moved_at = time.monotonic()
            self._sent.pop(number, None)
            if (chunk := self.unacked.pop(number, None)) is not None:
                self._spool.recycle(chunk)

    def _ship(self, connection: Connection, now: float) -> None:
        if connection.watch():  # what was sent to a connection that broke is lost
            self._sent.clear()
            self._patience_s = RESEND_S
            self._hello_at = 0.0
        for _ in range(MESSAGES_A_ROUND):
            if not connection.socket.poll(0):
                break
            self._receive(connection, connection.socket.recv_multipart(), now)
        if connection.refusal:
            self.trouble = connection.refusal
            self._guest.tell(self.trouble)
            self._disconnect()
        elif connection.welcome is None:
            if now - self._hello_at > HELLO_EVERY_S and connection.say_hello():
                self._hello_at = now
        else:
            self._send(connection, now)

    def _send(self, connection: Connection, now: float) -> None:
        late = [number for number, at in self._sent.items() if now - at > self._patience_s]
        if late:
            connection.welcome = None
            self._patience_s = min(2 * self._patience_s, MAX_RESEND_S)
            for number in late:
                del self._sent[number]
            return
        for number, chunk in list(self.unacked.items()):
            if len(self._sent) >= WINDOW_FRAMES:
                return
            if number in self._sent:
                continue
            if not connection.send([wire.FRAME, self._spool.frame(chunk)]):
                return
            self._sent[number] = now

    def _receive(self, connection: Connection, parts: list[bytes], now: float) -> None:
        try:
            self._take(connection, parts, now)
        except UNREADABLE as exc:
            self.trouble = f"the tracker at {connection.address} says what can't be read: {exc}"

    def _take(self, connection: Connection, parts: list[bytes], now: float) -> None:
        name = parts[0]
        if name == wire.ACK:
            self._release(self._ours(parts[1]))
        elif name == wire.WELCOME:
            connection.welcome = msgspec.msgpack.decode(parts[1], type=wire.Welcome)
            self._look_at, self._look_s = now, LOOK_EVERY_S
            self._connect_s = CONNECT_AGAIN_S
        elif name == wire.REJECTED:
            self._reject(self._ours(parts[1]), reason_of(parts))
        elif name == wire.REFUSED and not parts[1]:
            connection.refusal = (
                f"the tracker at {connection.address} does not take this log: {reason_of(parts)}"
            )
        elif name == wire.REFUSED:
            self.trouble = f"the tracker refused: {reason_of(parts)}"
            for number in self._ours(parts[1]):
                self._sent.pop(number, None)
            connection.welcome = None
            self._hello_at = now
        elif name == wire.HELLO:
            self._sent.clear()
            connection.welcome = None

    def _ours(self, keys: bytes) -> list[int]:
        ours = self._spool.log_id
        return [number for log_id, number in wire.unpack_keys(keys) if log_id == ours]

    def _reject(self, numbers: list[int], reason: str) -> None:
        """Give up frames that the tracker will never take."""
        for number in numbers:
            if (chunk := self.unacked.get(number)) is not None:
                self._guest.lose(f"the tracker rejects: {reason}", chunk.n_records)
        self._release(numbers)

    def _wait(self) -> None:
        """Sleep until woken, answered, or half a flush age has passed."""
        timeout_ms = 10 if self._stop_at is not None else int(500 * self._age_s)
        poller = zmq.Poller()
        poller.register(self._wake_r, zmq.POLLIN)
        if self._connection is not None:
            poller.register(self._connection.socket, zmq.POLLIN)
            poller.register(self._connection.monitor, zmq.POLLIN)
        poller.poll(timeout_ms)
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_r, 4096)

    def _leave(self) -> None:
        try:
            self._disconnect()
            self._stop_at = time.monotonic()
            self._force_at = self._write_at = 0.0
            self._retire_aged(self._stop_at)
            self._seal()
            self._write_out(self._stop_at)
            self._watch.look_at_outbox()
            self._outbox.keep_end([self._spool.frame(chunk) for chunk in self.unacked.values()])
            self._outbox.close()
        except Exception as exc:  # noqa: BLE001  the spool keeps what could not be moved
            self.trouble = f"{type(exc).__name__}: {exc}"
