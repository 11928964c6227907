"""What rank and tracker say to each other: DEALER to ROUTER, CURVE, multipart messages.

    rank     HELLO    Hello                         on every connect
    tracker  WELCOME  Welcome                       or REFUSED b"" reason
    rank     FRAME    a packed frame (pllib.log)
    tracker  ACK      (log id, number) ...          the frames are in the journal, synced
    tracker  REFUSED  (log id, number) reason       kept nothing; send again later
    anyone   STATUS                                 of `sprov status`; answered with STATUS, JSON

The first part of a message is its name.  A frame is sent again until it is acknowledged, so it may
arrive more than once; (log id, number) tells copies apart.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

import msgspec

HELLO, WELCOME, FRAME, ACK, REFUSED = b"HELLO", b"WELCOME", b"FRAME", b"ACK", b"REFUSED"
STATUS = b"STATUS"

_KEY = struct.Struct("<16sQ")

FrameKey = tuple[bytes, int]


class Hello(msgspec.Struct, array_like=True, frozen=True):
    format_version: int
    log_id: bytes
    run: str
    rank: int
    host: str
    pid: int
    clock_ns: int


class Welcome(msgspec.Struct, array_like=True, frozen=True):
    format_version: int
    journal: str
    clock_ns: int


def pack_keys(keys: Iterable[FrameKey]) -> bytes:
    return b"".join(_KEY.pack(*key) for key in keys)


def unpack_keys(data: bytes) -> Iterator[FrameKey]:
    return _KEY.iter_unpack(data)
