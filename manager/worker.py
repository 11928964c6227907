"""A query process: reads questions from stdin, answers on stdout, until stdin ends.

Queries can't be stopped from within (pyoxigraph 0.5.13 holds no cancel, and signals wait), and some
kill their process.  So they run here, and `manager.workers` ends what takes too long.

Both ways a message is a little-endian u32 length and msgpack: `Ask` in, `Answer` out.
"""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path
from typing import BinaryIO

import msgspec
import pyoxigraph as ox

from pllib.errors import Error

from .store.questions import Question, reply
from .store.snapshots import current_snapshot, open_snapshot

LENGTH = struct.Struct("<I")


class Ask(msgspec.Struct, array_like=True):
    snapshots: str
    question: Question


class Answer(msgspec.Struct, array_like=True):
    error: str
    kind: str
    """Name of the error's class, empty without one."""
    media: str
    body: bytes


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Answer until `source` ends."""
    opened: tuple[Path, ox.Store] | None = None
    while len(head := source.read(LENGTH.size)) == LENGTH.size:
        ask = msgspec.msgpack.decode(source.read(*LENGTH.unpack(head)), type=Ask)
        try:
            newest = current_snapshot(Path(ask.snapshots))
            if opened is None or opened[0] != newest:
                opened = newest, open_snapshot(Path(ask.snapshots))
            answer = Answer("", "", *reply(opened[1], ask.question))
        except Error as exc:
            answer = Answer(str(exc), type(exc).__name__, "", b"")
        data = msgspec.msgpack.encode(answer)
        sink.write(LENGTH.pack(len(data)) + data)
        sink.flush()


def main() -> None:
    """Serve this process's stdin and stdout; whatever else prints goes to stderr."""
    sink = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    serve(sys.stdin.buffer, sink)
