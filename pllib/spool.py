"""The memory-mapped file that a process captures into, in chunks that its threads lease.

A chunk becomes one frame of the log (`pllib.log`).  Its life: free, leased by the writer of one
thread, retired (full, or asked for by the sender), sealed and shipped by the sender, recycled.

Guarantees:
* A record whose write returned survives SIGKILL: it is in the page cache, behind its length.
* Writing takes no lock and makes no system call.  A full disk shows when blocks are allocated,
  never as SIGBUS: an extent is mapped after its blocks are.
* The file is never truncated while it is mapped.

Assumptions: attribute reads and writes of one object are seen by other threads in order, as
CPython has it; 32-bit stores into a mapping are not torn; the machine is little-endian.

How the sender takes a chunk that is not full: it sets ``limit`` to 0, which sends the writer's
next record to another chunk, and goes on only if ``busy`` is then False.  The writer sets ``busy``
before it reads ``limit``, so one of the two sees the other.  Then the sender reads how far the
chunk is filled and pops the lease.  A writer that moves on pops it too, before it changes anything;
who pops it has the chunk.  A ``limit`` of 0 that hits the writer's next chunk only makes it move on
once more.  ``busy`` also tells a signal handler that captures in the middle of a write to use
another writer.
"""

from __future__ import annotations

import itertools
import mmap
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .errors import UnavailableError
from .foreign import is_theirs, suppressing
from .log import (
    FRAME_BYTES,
    HEADER_BYTES,
    Frame,
    Owner,
    new_file,
    new_header,
    open_header,
    pack_file_header,
    record_bodies,
    record_bytes,
    seal_header,
)
from .records import CONTEXT_TAG, SIGNATURE_TAG
from .series import Line, Totals, fold
from .shape import Shape
from .sharing import make_folder

if TYPE_CHECKING:
    from pathlib import Path

FIRST_EXTENT_CHUNKS = 8
MAX_EXTENT_BYTES = 64 << 20
RETRY_S = 1.0
"""After the disk was full; each try may take as long as a hundred records."""
MADV_POPULATE_WRITE = 23


class Chunk:
    """A stretch of the spool: `base` is where it begins in `map`, bytes."""

    __slots__ = ("base", "end", "map", "n_records", "number", "used", "words")

    def __init__(self, mapped: mmap.mmap, words: memoryview, base: int) -> None:
        self.map = mapped
        self.words = words
        self.base = base
        self.number = 0
        self.used = 0
        self.end = 0
        """Where its writer left it, quiescent; 0 if that is not known."""
        self.n_records = 0
        """But context and names; known when `end` is."""


class Spool:
    """One process's spool file; `lease` and `recycle` may be called from any thread."""

    def __init__(self, path: Path, owner: Owner, stride: int, limit_bytes: int) -> None:
        """Make the file with its first extent.

        Raises:
            UnavailableError: No space, or the folder can't be written.
        """
        self.path = path
        self.stride = stride
        self.limit_bytes = limit_bytes
        self.header = new_header(owner, stride)
        self.free: deque[Chunk] = deque()
        self.size = HEADER_BYTES
        self._extents: list[tuple[mmap.mmap, memoryview]] = []
        self._growing = threading.Lock()
        self._grow_at = 0.0
        self._numbers = itertools.count()
        try:
            make_folder(path.parent)
            with new_file(path) as self._fd:
                os.write(self._fd, pack_file_header(self.header))
                self._extend(FIRST_EXTENT_CHUNKS)
        except OSError as exc:
            raise _unusable(path, exc) from exc

    @property
    def log_id(self) -> bytes:
        return self.header.log_id

    def lease(self) -> Chunk | None:
        """Return a free chunk, its frame begun; None at the limit or on a full disk."""
        deadline = time.monotonic() + 1.0
        while True:
            try:
                chunk = self.free.pop()  # the one last freed: still in the cache
                break
            except IndexError:
                if not self.grow() and not self.free:
                    return None
            if time.monotonic() > deadline:  # who had the lock was interrupted, or is our caller
                self._growing = threading.Lock()
                return None
        chunk.number = next(self._numbers)
        chunk.end = chunk.n_records = 0
        head = open_header(self.log_id, chunk.number)
        chunk.map[chunk.base : chunk.base + FRAME_BYTES] = head
        return chunk

    def grow(self) -> bool:
        """Allocate another extent, as large as all before it; False if that can't be.

        Another thread that is at it is waited for, not longer than a second: it may be the very
        thread that a signal handler, our caller, interrupted.
        """
        if time.monotonic() < self._grow_at:
            return False
        if not self._growing.acquire(blocking=False):
            time.sleep(0.0005)
            return True
        try:
            have = (self.size - HEADER_BYTES) // self.stride
            room = (self.limit_bytes - self.size) // self.stride
            most = max(MAX_EXTENT_BYTES // self.stride, 1)
            n_chunks = min(have, room, most)
            if n_chunks <= 0:
                return False
            self._extend(n_chunks)
            return True
        except OSError as exc:
            if is_theirs(exc):  # a TimeoutError, say
                raise
            self._grow_at = time.monotonic() + RETRY_S
            return False
        finally:
            self._growing.release()

    def _extend(self, n_chunks: int) -> None:
        start, length = self.size, n_chunks * self.stride
        os.posix_fallocate(self._fd, start, length)
        mapped = mmap.mmap(self._fd, length, offset=start)
        words = memoryview(mapped).cast("I")
        self._extents.append((mapped, words))
        self.size += length
        for at in range(0, length, self.stride):
            _populate(mapped, at, self.stride)
        self.free.extend(Chunk(mapped, words, at) for at in range(0, length, self.stride))

    def seal(self, chunk: Chunk) -> int:
        """Seal a retired chunk's frame; return how many records it has but context and names."""
        start = chunk.base + FRAME_BYTES
        if not chunk.end:
            self.measure(chunk)
        payload = chunk.map[start : chunk.end]
        chunk.used = FRAME_BYTES + len(payload)
        frame = Frame(self.log_id, chunk.number, chunk.n_records, payload)
        chunk.map[chunk.base : start] = seal_header(frame, payload)
        return chunk.n_records

    def measure(self, chunk: Chunk) -> None:
        """Walk a chunk that its writer did not leave in order, up to what was committed."""
        start = chunk.base + FRAME_BYTES
        with memoryview(chunk.map)[start : chunk.base + self.stride] as view:
            bodies = [(len(body), body[1]) for body in record_bodies(view)]
        chunk.end = start + sum(record_bytes(length) for length, _ in bodies)
        chunk.n_records = sum(tag not in (CONTEXT_TAG, SIGNATURE_TAG) for _, tag in bodies)

    def frame(self, chunk: Chunk) -> bytes:
        """Return a sealed chunk's frame, packed."""
        return bytes(chunk.map[chunk.base : chunk.base + chunk.used])

    def recycle(self, chunk: Chunk) -> None:
        """Free a chunk whose frame is durable elsewhere: its magic first, then all it holds."""
        base = chunk.base
        chunk.map[base : base + FRAME_BYTES] = bytes(FRAME_BYTES)
        stop = min(chunk.used + 8, self.stride)
        chunk.map[base : base + stop] = bytes(stop)
        # A new one: the writer that had it may not know yet, and must not take it from the next.
        self.free.append(Chunk(chunk.map, chunk.words, base))

    def close(self, *, keep: bool) -> None:
        """Unmap, and delete the file unless it holds what is nowhere else."""
        for mapped, words in self._extents:
            words.release()
            try:
                mapped.close()
            except BufferError:  # a thread is in the middle of a write; the file stays whole
                keep = True
        self._extents.clear()
        os.close(self._fd)
        if not keep:
            self.path.unlink(missing_ok=True)


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


def _populate(mapped: mmap.mmap, at: int, length: int) -> None:
    """Have the kernel map pages for writing now, not under the caller's first write.

    A write fault took 8 µs here (Linux 6.1 guest, tmpfs), half a microsecond a record.  Linux 5.14
    and later; MAP_POPULATE maps shared pages for reading only, and faults again.
    """
    with suppressing(OSError, ValueError):
        mapped.madvise(MADV_POPULATE_WRITE, at, length)


def _unusable(path: Path, exc: OSError) -> UnavailableError:
    reason = exc.strerror or type(exc).__name__
    return UnavailableError(
        f"no spool can be made in {path.parent}: {reason}",
        "Set SPROV_SPOOL_DIR to a folder on a local disk with space",
    )
