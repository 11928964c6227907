"""The provenance log: one format for a rank's spool, the tracker's journal and offline files.

A log file is a 4 KiB header and then frames (`pllib.frame`).  A packed log (journal, offline file)
has its frames back to back; a spool has one frame at the start of each chunk of `stride` bytes,
because each thread fills a chunk of its own.

    file header   SPROVLOG, format version, stride, log id, creation time, owner; CRC-32

The header is there twice, the second time from byte 2048 on; the first logs have zeros there.  A
frame that its owner did not live to seal is read up to the first zero length.  Frames carry the id
of the log that they were captured in, so a journal of many ranks stays a log of many logs.

Guarantee: a flipped byte costs the frame that it is in, never another.  It is not noticed where it
costs nothing, between the frames of a spool, nor in a frame that nobody sealed.
Assumption: a file that may be mapped by its owner is never truncated.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from . import locks
from .errors import LogCorruptError
from .frame import (
    BLANK,
    FRAME_BYTES,
    FRAME_MAGIC,
    MAX_PAYLOAD_BYTES,
    RAW,
    ZLIB,
    Frame,
    Head,
    blank_frame,
    check_frame,
    frame_from,
    frame_key,
    frame_of,
    is_damaged_tail,
    open_header,
    read_head,
    record_bodies,
    record_bytes,
    seal_header,
    unpack_frame,
)
from .header import (
    COPY_AT,
    FILE_MAGIC,
    FORMAT_VERSION,
    HEADER_BYTES,
    FileHeader,
    Owner,
    locked,
    new_header,
    pack_file_header,
    read_file_header,
)
from .regular import open_regular
from .scan import Scan
from .sharing import open_file, sync_folder

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "COPY_AT", "FILE_MAGIC", "FORMAT_VERSION", "FRAME_BYTES", "FRAME_MAGIC", "HEADER_BYTES",
    "MAX_PAYLOAD_BYTES", "RAW", "ZLIB", "FileHeader", "Frame", "LogReader", "LogWriter", "Owner",
    "frame_key", "frame_of", "locked", "new_file", "new_header", "open_header", "pack_file_header",
    "record_bodies", "record_bytes", "seal_header", "sync_folder", "unpack_frame",
]  # fmt: skip


class Located(msgspec.Struct, frozen=True):
    """A frame and where it was found: `offset` in bytes, `ordinal` counts frames from 0."""

    offset: int
    ordinal: int
    frame: Frame
    end: int = 0
    """Where the next frame of a packed log begins."""


class _Place(msgspec.Struct, frozen=True):
    """Where a frame is, or was; `data` is what there is of it, packed, if it is intact."""

    offset: int
    end: int
    data: bytes = b""
    head: Head | None = None
    unsealed: Frame | None = None


class LogReader:
    """Read a log file, packed or spool, frame by frame.

    `corrupt` collects what could not be read: each a `LogCorruptError`, each one frame lost, but
    for damage to the file header, of which there is a copy.  A torn frame at the end of a packed
    log is an append that never finished and is not corruption; it is counted in `torn`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.corrupt: list[LogCorruptError] = []
        self.torn = 0
        self._file = os.fdopen(open_regular(path), "rb")
        try:
            self.header, damage = read_file_header(path, self._file)
        except BaseException:
            self._file.close()
            raise
        self._scan = Scan(self._file.fileno())
        if damage is not None:
            self.corrupt.append(damage)

    def __enter__(self) -> LogReader:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()

    @property
    def lost(self) -> list[LogCorruptError]:
        """Those of `corrupt` that cost a frame; where several lie side by side they may be one."""
        return [each for each in self.corrupt if each.offset >= HEADER_BYTES]

    def frames(
        self, *, unsealed: bool = True, offset: int = HEADER_BYTES, ordinal: int = 0
    ) -> Iterator[Located]:
        """Yield intact frames in file order, but for those that only keep room.

        Args:
            unsealed: Also frames that their owner did not seal.  Never while the owner lives.
            offset: Where to begin in a packed log, at a frame.
            ordinal: Of the frame that is there.
        """
        for nth, place in enumerate(self._places(unsealed, offset), ordinal):
            frame = place.unsealed
            if place.head is not None and place.head.number != BLANK:
                try:
                    frame = frame_from(place.head, place.data)
                except LogCorruptError as exc:
                    self._note(place.offset, exc)
            if frame is not None:
                yield Located(place.offset, nth, frame, place.end)

    def frame_keys(self) -> Iterator[tuple[bytes, int] | None]:
        """Yield (log id, number) of each frame, None for one that is corrupt.

        Checksums are checked; nothing is decompressed.
        """
        for place in self._places(unsealed=True, offset=HEADER_BYTES):
            if place.head is not None:
                yield place.head.key
            else:
                frame = place.unsealed
                yield None if frame is None else (frame.log_id, frame.number)

    def fileno(self) -> int:
        return self._file.fileno()

    def sync(self) -> None:
        """Make what the file has durable: its writer may have been killed before it did."""
        os.fsync(self._file.fileno())

    def _places(self, unsealed: bool, offset: int) -> Iterator[_Place]:
        return self._chunks(unsealed) if self.header.stride else self._packed(offset)

    def _note(self, at: int, exc: LogCorruptError) -> None:
        reason = str(exc.args[0]).split(": ", 1)[-1]
        self.corrupt.append(LogCorruptError(self.path, at, reason))

    def _packed(self, at: int) -> Iterator[_Place]:
        size = self._scan.size
        while at < size:
            data = self._scan.frame_at(at)
            try:
                head = check_frame(data)
            except LogCorruptError as exc:
                end = self._scan.next_frame(at)
                if end is None and not self._is_damage(at, size):
                    self.torn += 1
                    return
                self._note(at, exc)
                at, place = end or size, _Place(at, end or size)
                yield place
            else:
                end = at + head.end
                yield _Place(at, end, data, head)
                at = end

    def _is_damage(self, at: int, size: int) -> bool:
        """Tell whether what is from here to the end was a frame once."""
        head = read_head(self._scan.read(at, FRAME_BYTES).ljust(FRAME_BYTES, b"\0"))
        if head.magic == FRAME_MAGIC and at + head.end <= size:
            return True
        is_one = size - at <= FRAME_BYTES + MAX_PAYLOAD_BYTES
        return is_one and is_damaged_tail(self._scan.read(at, size - at))

    def _chunks(self, unsealed: bool) -> Iterator[_Place]:
        stride = self.header.stride
        at = HEADER_BYTES
        while len(chunk := self._scan.read(at, stride)) >= FRAME_BYTES:
            if any(chunk[:FRAME_BYTES]):  # else it is free
                yield self._chunk(chunk, at, unsealed)
            at += stride

    def _chunk(self, chunk: bytes, at: int, unsealed: bool) -> _Place:
        head, end = read_head(chunk), at + self.header.stride
        try:
            if head.crc or head.length or head.magic != FRAME_MAGIC:
                return _Place(at, end, chunk, check_frame(chunk))
            if head.log_id != self.header.log_id:
                raise LogCorruptError(self.path, at, "a frame of another log")
        except LogCorruptError as exc:
            self._note(at, exc)
            return _Place(at, end)
        frame = _unsealed(chunk, head) if unsealed else None
        return _Place(at, end, unsealed=frame)


def _unsealed(chunk: bytes, head: Head) -> Frame | None:
    payload = memoryview(chunk)[FRAME_BYTES:]
    sizes = [record_bytes(len(body)) for body in record_bodies(payload)]
    if not sizes:
        return None
    return Frame(head.log_id, head.number, len(sizes), bytes(payload[: sum(sizes)]), sealed=False)


class LogWriter:
    """Append frames to a packed log; `sync` makes what was appended durable.

    A new file is complete (header written and synced, folder synced) before its first frame.
    """

    def __init__(
        self, path: Path, header: FileHeader, *, is_locked: bool = False, room: int = 0
    ) -> None:
        """Make the file.

        Args:
            is_locked: It is locked as long as it is open: others may have to know that it is.
            room: Bytes to keep at its start for `fill_room`.
        """
        self.path = path
        if path.exists():
            raise FileExistsError(f"{path} exists")
        self.n_frames = 0
        self._room = blank_frame(header.log_id, room) if room else b""
        self.size = HEADER_BYTES + len(self._room)
        self._synced = self.size, self.n_frames
        with new_file(path) as self._fd:
            self._lock = locks.hold(self._fd) if is_locked else None
            try:
                own = locked(msgspec.structs.replace(header, stride=0), self._lock)
                _write_all(self._fd, pack_file_header(own) + self._room)
                os.fsync(self._fd)
            except BaseException:
                locks.release(self._lock)
                raise

    def append(self, frames: list[bytes]) -> None:
        """Append packed frames.  On failure the file is cut back to the last whole frame.

        Raises:
            OSError: No space, or the device failed.
        """
        data = b"".join(frames)
        try:
            _write_all(self._fd, data)
        except OSError:
            self._cut(self.size)
            raise
        self.size += len(data)
        self.n_frames += len(frames)

    @property
    def begin(self) -> int:
        """Where its first frame is, or will be."""
        return HEADER_BYTES + len(self._room)

    @property
    def is_empty(self) -> bool:
        return self.size == self.begin

    def fileno(self) -> int:
        return self._fd

    def take_back(self) -> None:
        """Take back what was appended since the last sync.

        Raises:
            OSError: The device failed; what the file ends with is not known then.
        """
        self._cut(self._synced[0])
        self.size, self.n_frames = self._synced

    def _cut(self, size: int) -> None:
        os.ftruncate(self._fd, size)
        os.lseek(self._fd, size, os.SEEK_SET)

    def fill_room(self, frames: list[bytes]) -> None:
        """Put frames into the room at the start, durably; no block is allocated for them.

        Where a file system copies on write (Btrfs, ZFS) that may fail as any write does.

        Raises:
            OSError: The device failed.
        """
        data = b"".join(frames)
        rest = len(self._room) - FRAME_BYTES - len(data)
        if rest < 0:
            raise ValueError("there is no room for these frames")
        os.pwrite(self._fd, data + blank_frame(frame_key(self._room)[0], rest), HEADER_BYTES)
        self.sync()

    def sync(self) -> None:
        """Make durable what was appended.

        Raises:
            OSError: Nobody knows what is on the disk of what was appended since the last sync.
        """
        os.fdatasync(self._fd)
        self._synced = self.size, self.n_frames

    def close(self) -> None:
        os.close(self._fd)
        locks.release(self._lock)


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[int]:
    """Make a file that has its name only once the block is through: a kill leaves no half of one.

    If its folder can't be synced, a file that was not there before goes again.

    Yields:
        A descriptor, open for reading and writing; the caller's when the block ends well.
    """
    left = partial = path.with_name(f"{path.name}.new")
    is_first = not path.exists()
    fd = open_file(partial, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    try:
        yield fd
        partial.rename(path)
        left = path if is_first else partial
        sync_folder(path.parent)
    except BaseException:
        os.close(fd)
        with contextlib.suppress(OSError):
            left.unlink(missing_ok=True)
        raise


def _write_all(fd: int, data: bytes) -> None:
    view: Any = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
