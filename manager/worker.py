"""A query process: reads questions from stdin, answers on stdout, until stdin ends.

Queries can't be stopped from within (pyoxigraph 0.5.13 holds no cancel, and signals wait), and some
kill their process.  So they run here, confined (`manager.store.sandbox`), and `manager.workers`
ends what takes too long.

In goes a little-endian u32 length and an `Ask` as msgpack; out come the messages of
`manager.store.replying`, after an answer that says how the process is confined.
"""

from __future__ import annotations

import os
import select
import signal
import struct
import sys
from pathlib import Path
from typing import BinaryIO

import msgspec
import pyoxigraph as ox

from .store.questions import Question, reply
from .store.replying import Reply, send
from .store.sandbox import Confinement, Limits
from .store.snapshots import current_snapshot, open_snapshot

LENGTH = struct.Struct("<I")
LOOK_EVERY_MS = 2_000
"""How often a process that nobody asks looks whether its snapshot is still there."""
START = Limits(0.0, 0, 0, 1 << 10)
"""Of the answer that says how the process is confined."""


class Ask(msgspec.Struct, array_like=True):
    snapshots: str
    question: Question
    limits: Limits


class _Newest:
    """The newest snapshot, kept open until there is a newer one."""

    def __init__(self) -> None:
        self._opened: tuple[Path, ox.Store] | None = None

    def store(self, snapshots: Path) -> ox.Store:
        newest = current_snapshot(snapshots)
        if self._opened is None or self._opened[0] != newest:
            self._opened = None  # the old one's files close first
            self._opened = newest, open_snapshot(snapshots)
        return self._opened[1]

    def let_go(self) -> None:
        """Close a snapshot that was deleted: its files take space until then."""
        if self._opened is not None and not self._opened[0].exists():
            self._opened = None

    @property
    def is_open(self) -> bool:
        return self._opened is not None


def serve(source: BinaryIO, sink: BinaryIO, confined: Confinement) -> None:
    """Answer until `source` ends."""
    newest = _Newest()

    def answer(to: Reply) -> None:
        reply(newest.store(Path(ask.snapshots)), ask.question, to)

    send(sink, START, lambda to: to.begin(confined.missing))
    asked = select.poll()
    asked.register(source.fileno(), select.POLLIN)
    while len(head := _next(source, asked, newest)) == LENGTH.size:
        ask = msgspec.msgpack.decode(source.read(*LENGTH.unpack(head)), type=Ask)
        confined.allow(ask.limits)
        send(sink, ask.limits, answer)


def _next(source: BinaryIO, asked: select.poll, newest: _Newest) -> bytes:
    """Return the first bytes of the next question, which may be long in coming; none at the end.

    Nothing is buffered by then: a question is sent when the one before has its answer.
    """
    while newest.is_open and not asked.poll(LOOK_EVERY_MS):
        newest.let_go()
    return source.read(LENGTH.size)


def main() -> None:
    """Serve this process's stdin and stdout."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the manager ends its processes
    sink = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    confined = Confinement()
    serve(sys.stdin.buffer, sink, confined)
