"""What rank and tracker say to each other: DEALER to ROUTER, multipart messages.

    rank     HELLO     Hello                         on every connect, before anything else
    tracker  WELCOME   Welcome                       or REFUSED b"" reason
    rank     FRAME     a packed frame (pllib.frame)
    tracker  ACK       (log id, number) ...          the frames are in the journal, synced
    tracker  REFUSED   (log id, number) ... reason   kept none of them; send again later
    tracker  REJECTED  (log id, number) ... reason   will never keep them: do not send them again
    tracker  HELLO                                   frames came before a HELLO: say it now
    tracker  ALIVE                                   nothing was heard for long; needs no answer
    anyone   STATUS                                  of `sprov status`; answered with STATUS, JSON

The first part of a message is its name, of capital letters; who does not know a name passes the
message over, and a tracker counts it.  Fields are only ever added, at the end: who reads a HELLO or
WELCOME of a newer version passes over those that it does not know.  What changes a frame's form
raises the format version, which a tracker refuses in its answer to HELLO.  A frame
is sent again until it is acknowledged, so it may arrive more than once; (log id, number) tells
copies apart.

A HELLO binds the connection to a run and a log: frames of others are rejected.  One whose log id is
zero is a collector's, who brings the logs of others; each log is bound to the run that its frames
name first.  Over TCP both sides use CURVE; over ``ipc://`` the folder admits.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

import msgspec

HELLO, WELCOME, FRAME, ACK, REFUSED = b"HELLO", b"WELCOME", b"FRAME", b"ACK", b"REFUSED"
STATUS, REJECTED, ALIVE = b"STATUS", b"REJECTED", b"ALIVE"

NAMES = frozenset({HELLO, WELCOME, FRAME, ACK, REFUSED, STATUS, REJECTED, ALIVE})
LONGEST_NAME = 16

NO_LOG = bytes(16)
"""Log id of a collector's HELLO."""

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


def is_new_name(part: bytes) -> bool:
    """Tell whether a message's first part names what a newer version may say."""
    return len(part) <= LONGEST_NAME and part.isalpha() and part.isupper() and part not in NAMES
