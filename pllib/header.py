"""The header of a log: its id, how it is laid out, and whose it is.

It is there twice, the second time from byte 2048 on; the first logs have zeros there.
"""

from __future__ import annotations

import contextlib
import os
import struct
import time
import zlib
from typing import IO, TYPE_CHECKING

import msgspec

from .errors import LogCorruptError, LogError, LogVersionError, NotALogError
from .frame import FRAME_BYTES, MAX_PAYLOAD_BYTES
from .records import UNDECODABLE

if TYPE_CHECKING:
    from pathlib import Path

FORMAT_VERSION = 1
FILE_MAGIC = b"SPROVLOG"
HEADER_BYTES = 4096
COPY_AT = 2048

_FILE = struct.Struct("<8sHHI16sQII")  # magic, version, flags, stride, log id, ns, owner len, crc


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
    pid_namespace: int = 0
    """Of `pid`; `owners.UNKNOWN_NAMESPACE` if that can't be told, 0 in logs of older versions."""
    is_locked: bool = False
    """The kernel holds a lock on this very file as long as the process lives (`pllib.locks`)."""
    cluster: str = ""
    """Of the job."""
    inode: int = 0
    """Of the file that is locked: no lock tells of a copy.  0 in logs of older versions."""


class FileHeader(msgspec.Struct, frozen=True):
    """The first 4 KiB of a log; `stride` is 0 in a packed log."""

    log_id: bytes
    stride: int
    created_ns: int
    owner: Owner


def pack_file_header(header: FileHeader) -> bytes:
    owner = msgspec.msgpack.encode(header.owner)
    fields = (FORMAT_VERSION, 0, header.stride, header.log_id, header.created_ns, len(owner))
    crc = zlib.crc32(_FILE.pack(FILE_MAGIC, *fields, 0) + owner)
    half = (_FILE.pack(FILE_MAGIC, *fields, crc) + owner).ljust(COPY_AT, b"\0")
    if len(half) > COPY_AT:
        raise ValueError(f"the owner of a log takes {len(owner)} bytes to describe")
    return half + half


def read_file_header(path: Path, file: IO[bytes]) -> tuple[FileHeader, LogCorruptError | None]:
    """Read and check a log's header, or else its copy.

    Returns:
        The header, and what is wrong with one of the two.

    Raises:
        NotALogError: It does not begin as a log does.
        LogVersionError: Another format version.
        LogCorruptError: Both fail their checksums.
    """
    data = file.read(HEADER_BYTES)
    if len(data) < HEADER_BYTES:
        raise NotALogError(path)
    first, second = data[:COPY_AT], data[COPY_AT:]
    try:
        header = _parse_header(path, first)
    except LogError:
        with contextlib.suppress(LogError):
            damage = LogCorruptError(path, 0, "the file header is damaged; its copy is used")
            return _parse_header(path, second), damage
        raise
    if second == first or not any(second):
        return header, None
    at = next(at for at in range(COPY_AT) if first[at] != second[at])
    return header, LogCorruptError(path, COPY_AT + at, "the copy of the file header is damaged")


def _parse_header(path: Path, data: bytes) -> FileHeader:
    if not data.startswith(FILE_MAGIC):
        raise NotALogError(path)
    _, version, _, stride, log_id, created_ns, length, crc = _FILE.unpack_from(data)
    if version != FORMAT_VERSION:
        raise LogVersionError(path, version, FORMAT_VERSION)
    owner = data[_FILE.size : _FILE.size + length]
    if zlib.crc32(data[: _FILE.size - 4] + bytes(4) + owner) != crc:
        raise LogCorruptError(path, 0, "the file header fails its checksum")
    if stride and not FRAME_BYTES < stride <= MAX_PAYLOAD_BYTES:
        raise LogCorruptError(path, 0, f"impossible stride {stride}")
    try:
        found = msgspec.msgpack.decode(owner, type=Owner)
    except UNDECODABLE as exc:
        raise LogCorruptError(path, 0, f"it does not say who owns it: {exc}") from None
    return FileHeader(log_id, stride, created_ns, found)


def locked(header: FileHeader, lock: int | None) -> FileHeader:
    """Return the header of a file that is locked, or not."""
    inode = 0 if lock is None else os.fstat(lock).st_ino
    owner = msgspec.structs.replace(header.owner, is_locked=lock is not None, inode=inode)
    return msgspec.structs.replace(header, owner=owner)


def new_header(owner: Owner, stride: int = 0) -> FileHeader:
    """Return the header of a new log: a log id of 128 random bits."""
    return FileHeader(os.urandom(16), stride, time.time_ns(), owner)
