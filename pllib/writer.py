"""How a thread writes into its chunk of the spool, and how the sender takes that from it.

The sender takes a chunk that is not full thus: it sets ``limit`` to 0, which sends the writer's
next record to another chunk, and goes on only if ``busy`` is then False.  The writer sets ``busy``
before it reads ``limit``, so one of the two sees the other.  Then the sender reads how far the
chunk is filled and pops the lease.  A writer that moves on pops it too, before it changes anything;
who pops it has the chunk.  A ``limit`` of 0 that hits the writer's next chunk only makes it move on
once more.  ``busy`` also tells a signal handler that captures in the middle of a write to use
another writer.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from .log import FRAME_BYTES, record_bytes
from .series import Line, Totals, fold
from .shape import Shape
from .spool import Chunk, Spool

WRITE_S = 0.1
"""When a session ends, what a thread may take to finish the record that it is writing."""


class Local(threading.local):
    """A thread's writer; a thread that has none yet sees None."""

    writer: Writer | None = None
    lines: dict[Any, Line] = {}
    held: Held | None = None


class Held:
    """Goes with its thread, and leaves the thread's writer to the next one."""

    __slots__ = ("_idle", "_writer")

    def __init__(self, writer: Writer, idle: deque[Writer]) -> None:
        self._writer = writer
        self._idle = idle

    def __del__(self) -> None:
        if not self._writer.busy:
            self._idle.append(self._writer)


class Writer:
    """One thread's place in the spool.

    `pllib.execution` writes transformations and points of series by itself.
    """

    __slots__ = (
        "at", "busy", "chunk", "context", "leases", "limit", "lines", "map", "n_before",
        "n_records", "numbers", "on_retired", "since", "spool", "totals", "words",
    )  # fmt: skip

    def __init__(
        self,
        spool: Spool,
        context: bytes,
        leases: dict[Chunk, Writer],
        on_retired: Callable[[Chunk], Any],
    ) -> None:
        self.spool = spool
        self.context = context
        self.leases = leases
        self.on_retired = on_retired
        self.busy = False
        self.chunk: Chunk | None = None
        self.map: Any = None
        self.words: Any = None
        self.at = self.limit = 0
        self.n_records = self.n_before = 0
        self.since = 0.0
        self.numbers: dict[Shape | None, int] = {}
        self.lines: dict[Any, Line] = {}
        """Series that go on in this chunk, by the name that the user gives."""
        self.totals: dict[str, Totals] = {}
        """Of all points, by the name on the wire."""

    def advance(self) -> bool:
        """Move to a fresh chunk that begins with the session's context; False if there is none."""
        self.limit = 0
        retired, self.chunk = self.chunk, None
        if retired is not None and self.leases.pop(retired, None) is not None:
            self.leave(retired)
            self.on_retired(retired)
        chunk = self.spool.lease()
        if chunk is None:
            return False
        self.numbers = {}
        fold(self.lines)
        self.map, self.words = chunk.map, chunk.words
        self.at = chunk.base + FRAME_BYTES
        self._copy(self.context)
        self.since = time.monotonic()
        self.n_before = self.n_records
        self.chunk = chunk
        self.leases[chunk] = self
        self.limit = chunk.base + self.spool.stride
        return True

    def retire(self) -> Chunk | None:
        """On the sender's thread: take the chunk if nothing is being written; else ask for it."""
        chunk = self.chunk
        self.limit = 0
        if chunk is None or self.busy:
            return None
        end, n_records = self.at, self.n_records - self.n_before
        if self.leases.pop(chunk, None) is None:
            return None
        chunk.end, chunk.n_records = end, n_records
        return chunk

    def leave(self, chunk: Chunk) -> None:
        """Note in a chunk how far it is filled."""
        chunk.end, chunk.n_records = self.at, self.n_records - self.n_before

    def put(self, body: bytes) -> bool:
        """Write one encoded record; False if it does not fit in this chunk."""
        if self.at + record_bytes(len(body)) > self.limit:
            return False
        self._copy(body)
        return True

    def _copy(self, body: bytes) -> None:
        at, length = self.at, len(body)
        self.map[at + 4 : at + 4 + length] = body
        self.words[at >> 2] = length
        self.at = at + record_bytes(length)

    def write(self, shape: Shape, make: Callable[[int], bytes]) -> bool:
        """Write a record that refers to a shape; False if the spool is full.

        The writer must not be busy.

        Raises:
            ValueError: No chunk has room for it; or whatever `make` raises.
        """
        self.busy = True
        try:
            for _ in range(3):
                number = self._number(shape)
                if number is not None and self.put(make(number)):
                    self.n_records += 1
                    self.busy = False
                    return True
                if not self.advance():
                    break
            else:  # waiting for room would not help
                raise ValueError("a record is larger than a chunk of the spool")
        except BaseException:
            self.interrupted()
            raise
        self.busy = False
        return False

    def erase(self, at: int, stop: int) -> None:
        """Take back what was not committed, so that a shorter record there ends where it ends."""
        if not self.words[at >> 2]:
            self.map[at + 4 : stop] = bytes(stop - at - 4)
            self.busy = False

    def interrupted(self) -> None:
        """Give up the chunk after an exception in a write; what it has is found by walking."""
        chunk, self.chunk = self.chunk, None
        self.limit = 0
        if chunk is not None and self.leases.pop(chunk, None) is not None:
            self.spool.measure(chunk)
            stop = chunk.base + self.spool.stride
            chunk.map[chunk.end : stop] = bytes(stop - chunk.end)  # half a record, for the next use
            self.n_records = self.n_before + chunk.n_records
            self.on_retired(chunk)
        self.busy = False

    def count(self) -> int:
        """Return how many records it has committed; one that was interrupted is looked at."""
        chunk = self.chunk
        if self.busy and chunk is not None and chunk in self.leases:
            self.spool.measure(chunk)
            return self.n_before + chunk.n_records
        return self.n_records

    def _number(self, shape: Shape) -> int | None:
        """Return the shape's number in this chunk, written first if it is new."""
        number = self.numbers.get(shape)
        if number is None:
            number = len(self.numbers)
            if not self.put(shape.signature(number)):
                return None
            self.numbers[shape] = number
        return number


def retire_all(writers: list[Writer], on_retired: Callable[[Chunk], None]) -> None:
    """Take from other threads the chunks that they write into.

    A thread that is in the middle of a write gets to its end, unless that takes too long.
    """
    deadline = time.monotonic() + WRITE_S
    while writers:
        for writer in writers:
            if (chunk := writer.retire()) is not None:
                on_retired(chunk)
        writers = [writer for writer in writers if writer.busy or writer.limit]
        if time.monotonic() > deadline:
            return
        time.sleep(0.0005 if writers else 0)
