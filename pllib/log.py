"""The provenance log: one format for a rank's spool, the tracker's journal and offline files.

A log file is a 4 KiB header and then frames.  A packed log (journal, offline file) has its frames
back to back; a spool has one frame at the start of each chunk of `stride` bytes, because each
thread fills a chunk of its own.  A frame is 48 bytes of header and a payload of records, each a
little-endian ``u32`` length and a msgpack record (`pllib.records`), zero-padded to 4 bytes.

    file header   SPROVLOG, format version, stride, log id, creation time, owner; CRC-32
    frame header  SPFR, codec, payload bytes, records, raw bytes, CRC-32, frame number, log id

A record is committed by its length, which is written after it.  A frame is sealed by its CRC,
which the sender writes.  A frame that its owner did not live to seal has CRC 0 and is read up to
the first zero length.  Frames carry the id of the log that they were captured in, so a journal of
many ranks stays a log of many logs.

Guarantee: a flipped byte costs the frame that it is in, never another.
Assumption: a file that may be mapped by its owner is never truncated.
"""

from __future__ import annotations

import contextlib
import os
import struct
import time
import zlib
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

import msgspec

from .errors import LogCorruptError, LogVersionError, NotALogError
from .records import AnyRecord, decode
from .sharing import open_file

if TYPE_CHECKING:
    from pathlib import Path

FORMAT_VERSION = 1
FILE_MAGIC = b"SPROVLOG"
FRAME_MAGIC = b"SPFR"
HEADER_BYTES = 4096
MAX_PAYLOAD_BYTES = 16 << 20

RAW, ZLIB = 0, 1

_FILE = struct.Struct("<8sHHI16sQII")  # magic, version, flags, stride, log id, ns, owner len, crc
_FRAME = struct.Struct("<4sHHIIIIQ16s")
FRAME_BYTES = _FRAME.size
_LENGTH = struct.Struct("<I")
_CRC_AT = 20
assert FRAME_BYTES == 48


class Owner(msgspec.Struct, array_like=True, frozen=True):
    """The process that a log belongs to; nobody takes a log while its owner lives."""

    host: str
    boot_id: str
    pid: int
    started: float
    """Process start time, seconds since boot, as the kernel counts it."""
    run: str = ""
    """The run that it is of: a spool whose frames are all elsewhere does not say it."""
    job: str = ""
    """The Slurm job, for other hosts: it is over when the job is."""
    project: str = ""
    """`Project.key`: spools of several projects may lie in one folder."""


class FileHeader(msgspec.Struct, frozen=True):
    """The first 4 KiB of a log; `stride` is 0 in a packed log."""

    log_id: bytes
    stride: int
    created_ns: int
    owner: Owner


class Frame(msgspec.Struct, frozen=True):
    """One frame: `payload` is raw records, whatever codec it was stored with."""

    log_id: bytes
    number: int
    """Counts the frames of one log from 0."""
    n_records: int
    payload: bytes
    sealed: bool = True

    def records(self) -> Iterator[AnyRecord]:
        for body in record_bodies(self.payload):
            yield decode(body)

    def pack(self, codec: int = RAW) -> bytes:
        """Return the frame sealed, header first."""
        stored = zlib.compress(self.payload, 6) if codec == ZLIB else self.payload
        return seal_header(self, stored, codec) + stored


def seal_header(frame: Frame, stored: bytes | memoryview, codec: int = RAW) -> bytes:
    """Return the 48 bytes that make `stored` a sealed frame; the CRC covers both."""
    raw = len(frame.payload)
    head = bytearray(FRAME_BYTES)
    fields = (len(stored), frame.n_records, raw, 0, frame.number, frame.log_id)
    _FRAME.pack_into(head, 0, FRAME_MAGIC, codec, 0, *fields)
    _LENGTH.pack_into(head, _CRC_AT, zlib.crc32(stored, zlib.crc32(head)) or 1)
    return bytes(head)


def open_header(log_id: bytes, number: int) -> bytes:
    """Return the header of a frame that is still being filled: CRC 0."""
    return _FRAME.pack(FRAME_MAGIC, RAW, 0, 0, 0, 0, 0, number, log_id)


def record_bodies(payload: bytes | memoryview) -> Iterator[memoryview]:
    """Yield the committed records of a payload, up to the first zero or impossible length."""
    view, at, end = memoryview(payload), 0, len(payload) - 4
    while at <= end:
        (length,) = _LENGTH.unpack_from(view, at)
        if length == 0 or at + 4 + length > len(view):
            return
        yield view[at + 4 : at + 4 + length]
        at += record_bytes(length)


def record_bytes(length: int) -> int:
    """Return what a record of this length takes up in a payload."""
    return length + 7 & -4


def frame_of(log_id: bytes, number: int, records: list[bytes]) -> Frame:
    """Make a frame of encoded records."""
    payload = b"".join(
        _LENGTH.pack(len(record)) + record + bytes(-len(record) % 4) for record in records
    )
    return Frame(log_id, number, len(records), payload)


def pack_file_header(header: FileHeader) -> bytes:
    owner = msgspec.msgpack.encode(header.owner)
    fields = (FORMAT_VERSION, 0, header.stride, header.log_id, header.created_ns, len(owner))
    crc = zlib.crc32(_FILE.pack(FILE_MAGIC, *fields, 0) + owner)
    return (_FILE.pack(FILE_MAGIC, *fields, crc) + owner).ljust(HEADER_BYTES, b"\0")


def read_file_header(path: Path, file: IO[bytes]) -> FileHeader:
    """Read and check a log's header.

    Raises:
        NotALogError: It does not begin as a log does.
        LogVersionError: Another format version.
        LogCorruptError: The header fails its checksum.
    """
    data = file.read(HEADER_BYTES)
    if len(data) < HEADER_BYTES or not data.startswith(FILE_MAGIC):
        raise NotALogError(path)
    _, version, _, stride, log_id, created_ns, length, crc = _FILE.unpack_from(data)
    if version != FORMAT_VERSION:
        raise LogVersionError(path, version, FORMAT_VERSION)
    owner = data[_FILE.size : _FILE.size + length]
    if zlib.crc32(data[: _FILE.size - 4] + bytes(4) + owner) != crc:
        raise LogCorruptError(path, 0, "the file header fails its checksum")
    return FileHeader(log_id, stride, created_ns, msgspec.msgpack.decode(owner, type=Owner))


def unpack_frame(data: bytes | memoryview, path: Path | str = "frame", offset: int = 0) -> Frame:
    """Check one sealed frame and return it with its payload raw.

    Raises:
        LogCorruptError: Torn, changed or impossible.
    """
    view = memoryview(data)
    if len(view) < FRAME_BYTES:
        raise LogCorruptError(path, offset, "torn frame header")
    magic, codec, _, length, n_records, raw, crc, number, log_id = _FRAME.unpack_from(view)
    if magic != FRAME_MAGIC:
        raise LogCorruptError(path, offset, "no frame begins here")
    if length > MAX_PAYLOAD_BYTES or raw > MAX_PAYLOAD_BYTES:
        raise LogCorruptError(path, offset, f"impossible length {max(length, raw)}")
    stored = view[FRAME_BYTES : FRAME_BYTES + length]
    if len(stored) < length:
        raise LogCorruptError(path, offset, f"torn frame, {length - len(stored)} bytes missing")
    head = bytes(view[:_CRC_AT]) + bytes(4) + bytes(view[_CRC_AT + 4 : FRAME_BYTES])
    if (zlib.crc32(stored, zlib.crc32(head)) or 1) != crc:
        raise LogCorruptError(path, offset, "checksum does not match")
    payload = zlib.decompress(stored, bufsize=raw) if codec == ZLIB else bytes(stored)
    return Frame(log_id, number, n_records, payload)


def stored_bytes(data: bytes | memoryview) -> int:
    """Return the length that the frame at the start of `data` says it has, header included."""
    return FRAME_BYTES + int(_LENGTH.unpack_from(data, 8)[0])


def frame_key(data: bytes | memoryview) -> tuple[bytes, int]:
    """Return (log id, number) of the packed frame at the start of `data`."""
    fields = _FRAME.unpack_from(data)
    return fields[8], fields[7]


class Located(msgspec.Struct, frozen=True):
    """A frame and where it was found: `offset` in bytes, `ordinal` counts frames from 0."""

    offset: int
    ordinal: int
    frame: Frame
    end: int = 0
    """Where the next frame of a packed log begins."""


class LogReader:
    """Read a log file, packed or spool, frame by frame.

    `corrupt` collects what could not be read: each a `LogCorruptError`, each one frame lost.  A
    torn frame at the end of a packed log is an append that never finished and is not corruption;
    it is counted in `torn`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.corrupt: list[LogCorruptError] = []
        self.torn = 0
        self._file = path.open("rb")
        try:
            self.header = read_file_header(path, self._file)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> LogReader:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()

    def frames(
        self, *, unsealed: bool = True, offset: int = HEADER_BYTES, ordinal: int = 0
    ) -> Iterator[Located]:
        """Yield intact frames in file order.

        Args:
            unsealed: Also frames that their owner did not seal.  Never while the owner lives.
            offset: Where to begin in a packed log, at a frame.
            ordinal: Of the frame that is there.
        """
        walk = self._chunks(unsealed) if self.header.stride else self._packed(offset)
        for nth, (at, end, frame) in enumerate(walk, ordinal):
            if frame is not None:
                yield Located(at, nth, frame, end)

    def sync(self) -> None:
        """Make what the file has durable: its writer may have been killed before it did."""
        os.fsync(self._file.fileno())

    def frame_keys(self) -> Iterator[tuple[bytes, int] | None]:
        """Yield (log id, number) of each frame, None for one that is corrupt."""
        walk = self._chunks(unsealed=True) if self.header.stride else self._packed(HEADER_BYTES)
        for _, _, frame in walk:
            yield None if frame is None else (frame.log_id, frame.number)

    def _packed(self, at: int) -> Iterator[tuple[int, int, Frame | None]]:
        size = os.fstat(self._file.fileno()).st_size
        while at < size:
            self._file.seek(at)
            head = self._file.read(FRAME_BYTES)
            intact = len(head) == FRAME_BYTES and head.startswith(FRAME_MAGIC)
            end = at + stored_bytes(head) if intact else size + 1
            if intact and end <= size:
                try:
                    frame = unpack_frame(head + self._file.read(end - at - FRAME_BYTES))
                    yield at, end, frame
                    at = end
                    continue
                except LogCorruptError as exc:
                    reason = str(exc.args[0]).split(": ")[-1]
            else:
                reason = "no intact frame header"
            found = self._next_intact(at + 1, size)
            if found is None and end > size:
                self.torn += 1
                return
            self.corrupt.append(LogCorruptError(self.path, at, reason))
            yield at, found or size, None
            if found is None:
                return
            at = found

    def _next_intact(self, start: int, size: int) -> int | None:
        """Return where the next frame that passes its checksum begins, at or after `start`."""
        self._file.seek(start)
        rest = self._file.read(size - start)
        at = rest.find(FRAME_MAGIC)
        while at >= 0:
            try:
                unpack_frame(memoryview(rest)[at : at + FRAME_BYTES + MAX_PAYLOAD_BYTES])
                return start + at
            except LogCorruptError:
                at = rest.find(FRAME_MAGIC, at + 1)
        return None

    def _chunks(self, unsealed: bool) -> Iterator[tuple[int, int, Frame | None]]:
        stride = self.header.stride
        at = HEADER_BYTES
        while True:
            self._file.seek(at)
            chunk = self._file.read(stride)
            if len(chunk) < FRAME_BYTES:
                return
            if chunk.startswith(FRAME_MAGIC):
                yield at, at + stride, self._chunk_frame(chunk, at, unsealed)
            at += stride

    def _chunk_frame(self, chunk: bytes, at: int, unsealed: bool) -> Frame | None:
        fields = _FRAME.unpack_from(chunk)
        crc, number, log_id = fields[6:9]
        if crc == 0:
            return _unsealed(chunk, number, log_id) if unsealed else None
        try:
            return unpack_frame(chunk)
        except LogCorruptError as exc:
            reason = str(exc.args[0]).split(": ")[-1]
            self.corrupt.append(LogCorruptError(self.path, at, reason))
            return None


def _unsealed(chunk: bytes, number: int, log_id: bytes) -> Frame | None:
    payload = memoryview(chunk)[FRAME_BYTES:]
    sizes = [record_bytes(len(body)) for body in record_bodies(payload)]
    if not sizes:
        return None
    return Frame(log_id, number, len(sizes), bytes(payload[: sum(sizes)]), sealed=False)


class LogWriter:
    """Append frames to a packed log; `sync` makes what was appended durable.

    A new file is complete (header written and synced, folder synced) before its first frame.
    """

    def __init__(self, path: Path, header: FileHeader) -> None:
        self.path = path
        if path.exists():
            raise FileExistsError(f"{path} exists")
        self.n_frames = 0
        self.size = HEADER_BYTES
        with new_file(path) as self._fd:
            _write_all(self._fd, pack_file_header(msgspec.structs.replace(header, stride=0)))
            os.fsync(self._fd)

    def append(self, frames: list[bytes]) -> None:
        """Append packed frames.  On failure the file is cut back to the last whole frame.

        Raises:
            OSError: No space, or the device failed.
        """
        data = b"".join(frames)
        try:
            _write_all(self._fd, data)
        except OSError:
            os.ftruncate(self._fd, self.size)
            os.lseek(self._fd, self.size, os.SEEK_SET)
            raise
        self.size += len(data)
        self.n_frames += len(frames)

    def sync(self) -> None:
        os.fdatasync(self._fd)

    def close(self) -> None:
        os.close(self._fd)


def new_header(owner: Owner, stride: int = 0) -> FileHeader:
    """Return the header of a new log: a log id of 128 random bits."""
    return FileHeader(os.urandom(16), stride, time.time_ns(), owner)


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[int]:
    """Make a file that has its name only once the block is through: a kill leaves no half of one.

    Yields:
        A descriptor, open for reading and writing; the caller's when the block ends well.
    """
    partial = path.with_name(f"{path.name}.new")
    fd = open_file(partial, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    try:
        yield fd
        partial.rename(path)
        sync_folder(path.parent)
    except BaseException:
        os.close(fd)
        partial.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_all(fd: int, data: bytes) -> None:
    view: Any = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
