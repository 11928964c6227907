"""The memory-mapped file that a process captures into, in chunks that its threads lease.

A chunk becomes one frame of the log (`pllib.log`).  Its life: free, leased by the writer of one
thread, retired (full, or asked for by the sender), sealed and shipped by the sender, recycled.

Guarantees:
* A record whose write returned survives SIGKILL: it is in the page cache, behind its length.
* Writing takes no lock and makes no system call.  A full disk shows when blocks are allocated,
  never as SIGBUS: an extent is mapped after its blocks are.
* The file is never truncated while it is mapped, not by us.  A write behind the end of one that
  somebody else has truncated is a SIGBUS, until the sender notices (`look`).
* When its file is removed or moved away, another one is made, and what the old one has goes on from
  memory: no name leads to it, so it would not outlive the process.

Assumptions: attribute reads and writes of one object are seen by other threads in order, as
CPython has it; 32-bit stores into a mapping are not torn; the machine is little-endian.
"""

from __future__ import annotations

import itertools
import mmap
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from . import locks
from .errors import UnavailableError
from .foreign import is_theirs, suppressing
from .log import (
    FRAME_BYTES,
    HEADER_BYTES,
    Frame,
    Owner,
    locked,
    new_file,
    new_header,
    open_header,
    pack_file_header,
    record_bodies,
    record_bytes,
    seal_header,
)
from .records import CONTEXT_TAG, SIGNATURE_TAG
from .sharing import make_folder
from .whereabouts import find_file, is_truncated, remove_stump

if TYPE_CHECKING:
    from pathlib import Path

FIRST_EXTENT_CHUNKS = 8
"""Never fewer later: what is left of a disk then is for others, who may be less well prepared."""
MAX_EXTENT_BYTES = 64 << 20
RESERVE_CHUNKS = 2
RETRY_S = 1.0
"""After the disk was full."""
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
        self._is_replaced = False
        self._truncated: list[mmap.mmap] = []
        """Of files that somebody has truncated: whoever looks into them gets a SIGBUS."""
        self._growing = threading.Lock()
        self._grower = 0
        """The thread that grows it now."""
        self._reserve: deque[Chunk] = deque()
        """For the session's end, which is to be told when all else is full, and for a signal
        handler that interrupts its own thread in `grow`."""
        self._grow_at = 0.0
        self._n_chunks = 0
        """Of the last extent that was tried or had."""
        self._is_full = False
        """There was no space: only the sender tries again, which nobody waits for."""
        self._only: int | None = None
        self.sweep: Callable[[bytes, int], bytes] | None = None
        """Takes secrets out of a payload for which there is so much room."""
        self.n_unswept = 0
        """Records that were dropped, since without their secrets they had no room."""
        self._numbers = itertools.count()
        self._lock: int | None = None
        """Others see by it that this process lives."""
        try:
            self._make(path)
        except OSError as exc:
            locks.release(self._lock)
            raise _unusable(path, exc) from exc

    def _make(self, path: Path) -> None:
        make_folder(path.parent)
        with new_file(path) as self._fd:
            self._lock = locks.hold(self._fd)
            self.header = locked(self.header, self._lock)
            os.write(self._fd, pack_file_header(self.header))
            self._extend(FIRST_EXTENT_CHUNKS)
        self.path = path

    def look(self) -> Path | None:
        """Return where the file is now; None if it is where nobody finds it, or was truncated."""
        if is_truncated(self._fd, self.size):
            return None
        return find_file(self._fd, self.path)

    def replace(self, path: Path) -> None:
        """Go on in a new file, on the sender's thread; it still is to `adopt` what the old one has.

        Raises:
            OSError: None can be made there, and all is as it was.
        """
        with self._growing:
            fd, lock, header, was = self._fd, self._lock, self.header, self.path
            before = self.free, self._reserve, self._extents, self.size
            is_truncated_now = is_truncated(fd, self.size)
            self.free, self._reserve, self._extents = deque(), deque(), []
            self.size = HEADER_BYTES
            try:
                self._make(path)
            except BaseException:
                if self._lock != lock:
                    locks.release(self._lock)
                self._fd, self._lock, self.header = fd, lock, header
                self.free, self._reserve, self._extents, self.size = before
                raise
            self._is_replaced = True
            self._n_chunks, self._is_full, self._grow_at = 0, False, 0.0
            if is_truncated_now:
                self._truncated += [mapped for mapped, _ in before[2]]
                remove_stump(was, HEADER_BYTES)
        os.close(fd)
        locks.release(lock)

    def is_left(self, chunk: Chunk) -> bool:
        """Tell whether a chunk is of a file that was replaced."""
        return self._is_replaced and all(chunk.map is not mapped for mapped, _ in self._extents)

    def is_gone(self, chunk: Chunk) -> bool:
        """Tell whether what a chunk had is gone, and must not be touched."""
        return any(chunk.map is mapped for mapped in self._truncated)

    def adopt(self, chunk: Chunk) -> Chunk:
        """Return a chunk of this file with the frame of one that is not, if there is room."""
        if not self.is_left(chunk) or not (self.free or self.grow()):
            return chunk
        try:
            own = self.free.pop()
        except IndexError:
            return chunk
        frame, start = self.frame(chunk), own.base + FRAME_BYTES
        own.map[start : own.base + len(frame)] = frame[FRAME_BYTES:]
        own.map[own.base : start] = frame[:FRAME_BYTES]
        own.number, own.used, own.n_records = chunk.number, chunk.used, chunk.n_records
        return own

    @property
    def log_id(self) -> bytes:
        return self.header.log_id

    def lease(self) -> Chunk | None:
        """Return a free chunk, its frame begun; None at the limit or on a full disk.

        None too for a thread for which it is not reserved.
        """
        if self._only is not None and threading.get_ident() != self._only:
            return None
        deadline = time.monotonic() + 1.0
        while True:
            try:
                chunk = self.free.pop()  # the one last freed: still in the cache
                break
            except IndexError:
                is_own = self._grower == threading.get_ident()  # and waits for us to return
                if not is_own and (self._is_full or not self.grow()) and not self.free:
                    return None
                if is_own or (time.monotonic() > deadline and not self.free):
                    if len(self._reserve) < RESERVE_CHUNKS:
                        return None
                    chunk = self._reserve.pop()
                    break
        chunk.number = next(self._numbers)
        chunk.end = chunk.n_records = 0
        head = open_header(self.log_id, chunk.number)
        chunk.map[chunk.base : chunk.base + FRAME_BYTES] = head
        return chunk

    def reserve(self, thread: int) -> None:
        """Let only one thread, by its ident, have chunks from here on."""
        self._only = thread

    def release_reserve(self, keep: int = 0) -> None:
        """Let what comes from here on have the chunks that were kept for it, but so many."""
        while len(self._reserve) > keep:
            self.free.append(self._reserve.pop())

    def grow(self) -> bool:
        """Allocate another extent, as large as all before it; False if that can't be.

        A smaller one is tried next, and when even that can't be had, all again after a while.
        Another thread that is at it is waited for, not longer than a second: it may be the very
        thread that a signal handler, our caller, interrupted.
        """
        if time.monotonic() < self._grow_at:
            return False
        if not self._growing.acquire(blocking=False):
            time.sleep(0.0005)
            return True
        self._grower = threading.get_ident()
        try:
            n_chunks = self._next_extent()
            if n_chunks <= 0:
                return False
            self._n_chunks = n_chunks
            self._extend(n_chunks)
            self._is_full = False
            return True
        except OSError as exc:
            if is_theirs(exc):  # a TimeoutError, say
                raise
            if self._n_chunks <= FIRST_EXTENT_CHUNKS:
                self._grow_at = time.monotonic() + RETRY_S
            self._is_full = True
            return False
        finally:
            self._grower = 0
            self._growing.release()

    def _next_extent(self) -> int:
        """Return how many chunks to try to add."""
        have = (self.size - HEADER_BYTES) // self.stride
        room = (self.limit_bytes - self.size) // self.stride
        most = max(MAX_EXTENT_BYTES // self.stride, 1)
        if self._is_full and self._n_chunks > FIRST_EXTENT_CHUNKS:
            most = min(most, max(self._n_chunks // 4, FIRST_EXTENT_CHUNKS))
        return min(have, room, most)

    def _extend(self, n_chunks: int) -> None:
        start, length = self.size, n_chunks * self.stride
        try:
            os.posix_fallocate(self._fd, start, length)
        except OSError:
            os.ftruncate(self._fd, start)  # ext4 keeps what it had found so far
            raise
        mapped = mmap.mmap(self._fd, length, offset=start)
        words = memoryview(mapped).cast("I")
        self._extents.append((mapped, words))
        self.size += length
        for at in range(0, length, self.stride):
            _populate(mapped, at, self.stride)
        chunks = deque(Chunk(mapped, words, at) for at in range(0, length, self.stride))
        while len(self._reserve) < RESERVE_CHUNKS and chunks:
            self._reserve.append(chunks.popleft())
        self.free.extend(chunks)

    def seal(self, chunk: Chunk) -> int:
        """Seal a retired chunk's frame; return how many records it has but context and names."""
        start = chunk.base + FRAME_BYTES
        if not chunk.end:
            self.measure(chunk)
        payload = chunk.map[start : chunk.end]
        if self.sweep is not None:
            payload = self._swept(chunk, payload, self.sweep)
        chunk.used = FRAME_BYTES + len(payload)
        frame = Frame(self.log_id, chunk.number, chunk.n_records, payload)
        chunk.map[chunk.base : start] = seal_header(frame, payload)
        return chunk.n_records

    def _swept(self, chunk: Chunk, payload: bytes, sweep: Callable[[bytes, int], bytes]) -> bytes:
        """Return a payload without secrets, which are then not in the file any more either.

        Records that found no room are not in it, nor counted in the frame: `Closed` tells of them.
        """
        room = self.stride - FRAME_BYTES
        swept = sweep(payload, room)
        if len(swept) > room:
            swept = self._fitting(chunk, swept, room)
        if swept is not payload:
            start = chunk.base + FRAME_BYTES
            rest = bytes(max(len(payload) - len(swept), 0))
            chunk.map[start : start + len(swept) + len(rest)] = swept + rest
        return swept

    def _fitting(self, chunk: Chunk, payload: bytes, room: int) -> bytes:
        """Return as many records as there is room for; the next chunk is somebody else's."""
        stop = n_dropped = 0
        for body in record_bodies(payload):
            length = record_bytes(len(body))
            if stop + length <= room and not n_dropped:
                stop += length
            else:
                n_dropped += body[1] not in (CONTEXT_TAG, SIGNATURE_TAG)
        chunk.n_records -= n_dropped
        self.n_unswept += n_dropped
        return payload[:stop]

    def measure(self, chunk: Chunk) -> None:
        """Walk a chunk that its writer did not leave in order, up to what was committed."""
        start = chunk.base + FRAME_BYTES
        with memoryview(chunk.map)[start : chunk.base + self.stride] as view:
            bodies = [(len(body), body[1]) for body in record_bodies(view)]
        chunk.end = start + sum(record_bytes(length) for length, _ in bodies)
        chunk.n_records = sum(tag not in (CONTEXT_TAG, SIGNATURE_TAG) for _, tag in bodies)

    def stamp(self) -> None:
        """Have the file say when it was written last: tmpfs sees no write to a mapping, and what
        was handed over is not in it any more."""
        with suppressing(OSError):
            os.utime(self._fd)

    def frame(self, chunk: Chunk) -> bytes:
        """Return a sealed chunk's frame, packed."""
        return bytes(chunk.map[chunk.base : chunk.base + chunk.used])

    def recycle(self, chunk: Chunk) -> None:
        """Free a chunk whose frame is durable elsewhere: its magic first, then all it holds."""
        if self.is_left(chunk):
            return
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
        locks.release(self._lock)


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
