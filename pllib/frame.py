"""Frames of a provenance log (`pllib.log`): 48 bytes of header, then records.

    frame header  SPFR, codec, flags, stored bytes, records, raw bytes, CRC-32, frame number, log id
    payload       records: length u32, msgpack, padded with zeros to 4 bytes

A record is committed by its length, which is written after it.  A frame is sealed by its CRC, which
covers header and payload as stored.  One that its owner did not live to seal has CRC 0.

Guarantee: nothing that a frame says of itself is believed beyond the limits here, so that a header
made up by somebody costs at most `MAX_PAYLOAD_BYTES` of memory.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from .errors import LogCorruptError
from .records import AnyRecord, decode

if TYPE_CHECKING:
    from pathlib import Path

FRAME_MAGIC = b"SPFR"
MAX_PAYLOAD_BYTES = 16 << 20
RAW, ZLIB = 0, 1

_FRAME = struct.Struct("<4sHHIIIIQ16s")
FRAME_BYTES = _FRAME.size
_LENGTH = struct.Struct("<I")
_LENGTH_AT, _CRC_AT = 8, 20
assert FRAME_BYTES == 48
BLANK = (1 << 64) - 1
"""Number of frames that only keep room."""
LEAST_RECORD_BYTES = 8
"""Of a record of one byte, with its length and padding."""


class Head(NamedTuple):
    """What a frame's header says."""

    magic: bytes
    codec: int
    flags: int
    length: int
    """Bytes of the payload as stored."""
    n_records: int
    raw: int
    """Bytes of the payload."""
    crc: int
    number: int
    log_id: bytes

    @property
    def key(self) -> tuple[bytes, int]:
        return self.log_id, self.number

    @property
    def end(self) -> int:
        """Bytes of the frame, header and all."""
        return FRAME_BYTES + self.length

    @property
    def fault(self) -> str:
        """Why this can't be the header of a sealed frame; empty if it can."""
        if self.magic != FRAME_MAGIC:
            return "no frame begins here"
        if self.length > MAX_PAYLOAD_BYTES or self.raw > MAX_PAYLOAD_BYTES:
            return f"impossible length {max(self.length, self.raw)}"
        if self.codec not in (RAW, ZLIB):
            return f"unknown codec {self.codec}"
        if self.codec == RAW and self.raw != self.length:
            return f"{self.length} bytes stored of {self.raw}"
        if self.n_records * LEAST_RECORD_BYTES > self.raw:
            return f"impossible number of records {self.n_records}"
        return ""


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


def blank_frame(log_id: bytes, n_bytes: int) -> bytes:
    """Return a sealed frame without records whose payload is so many zeros: room for others."""
    return Frame(log_id, BLANK, 0, bytes(n_bytes)).pack()


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


def read_head(data: bytes | memoryview) -> Head:
    """Return what the 48 bytes at the start of `data` say, right or not."""
    return Head(*_FRAME.unpack_from(data))


def head_crc(data: bytes | memoryview) -> int:
    """Return the checksum of a frame's header, for its payload to be added to."""
    view = memoryview(data)
    return zlib.crc32(
        view[_CRC_AT + 4 : FRAME_BYTES], zlib.crc32(bytes(4), zlib.crc32(view[:_CRC_AT]))
    )


def check_frame(data: bytes | memoryview, path: Path | str = "frame", offset: int = 0) -> Head:
    """Check one sealed frame by its checksum, and return its header.

    Raises:
        LogCorruptError: Torn, changed or impossible.
    """
    view = memoryview(data)
    if len(view) < FRAME_BYTES:
        raise LogCorruptError(path, offset, "torn frame header")
    head = read_head(view)
    if head.fault:
        raise LogCorruptError(path, offset, head.fault)
    stored = view[FRAME_BYTES : head.end]
    if len(stored) < head.length:
        missing = head.length - len(stored)
        raise LogCorruptError(path, offset, f"torn frame, {missing} bytes missing")
    if (zlib.crc32(stored, head_crc(view)) or 1) != head.crc:
        raise LogCorruptError(path, offset, "checksum does not match")
    return head


def unpack_frame(data: bytes | memoryview, path: Path | str = "frame", offset: int = 0) -> Frame:
    """Check one sealed frame and return it with its payload raw.

    Raises:
        LogCorruptError: Torn, changed or impossible.
    """
    return frame_from(check_frame(data, path, offset), data, path, offset)


def frame_from(
    head: Head, data: bytes | memoryview, path: Path | str = "frame", offset: int = 0
) -> Frame:
    """Return the frame whose packed form `data` has this header, checked.

    Raises:
        LogCorruptError: What it holds is not the compressed form of what it says.
    """
    stored = memoryview(data)[FRAME_BYTES : head.end]
    if head.codec == RAW:
        payload = bytes(stored)
    else:
        unpacker = zlib.decompressobj()
        try:
            payload = unpacker.decompress(stored, head.raw + 1)
        except zlib.error as exc:
            raise LogCorruptError(path, offset, f"not compressed as it says: {exc}") from None
        if len(payload) != head.raw or not unpacker.eof:
            raise LogCorruptError(path, offset, f"what it holds is not of {head.raw} bytes")
    return Frame(head.log_id, head.number, head.n_records, payload)


def is_damaged_tail(data: bytes) -> bool:
    """Tell whether these last bytes of a log were a whole frame, but for its magic or its length.

    Else they are an append that never finished.
    """
    if len(data) < FRAME_BYTES:
        return False
    length = len(data) - FRAME_BYTES
    magic_to_length = FRAME_MAGIC + data[4:_LENGTH_AT] + _LENGTH.pack(length)
    head = magic_to_length + data[_LENGTH_AT + 4 : FRAME_BYTES]
    stored = memoryview(data)[FRAME_BYTES:]
    return (zlib.crc32(stored, head_crc(head)) or 1) == read_head(head).crc


def frame_key(data: bytes | memoryview) -> tuple[bytes, int]:
    """Return (log id, number) of the packed frame at the start of `data`."""
    return read_head(data).key
