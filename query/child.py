"""Answer from a snapshot in a forked child, which is confined as a manager's query process is.

A query can't be stopped from within and may kill the process that it runs in (pyoxigraph 0.5.13).
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import select
import signal
import time
from collections.abc import Callable, Iterator

import msgspec

from manager.store.replying import DATA, END, ERROR, HEAD, MEDIA, Failure, Reply, send
from manager.store.sandbox import QUERY, Confinement, Limits, Wording, ended
from pllib.errors import QueryError

READ_BYTES = 1 << 20
DYING_S = 5.0


@contextlib.contextmanager
def answering(
    answer: Callable[[Reply], None], limits: Limits, words: Wording = QUERY
) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Have a child answer; give the media type, and the pieces as they come.

    Args:
        answer: Called in the child.
        words: How it is told that the child was stopped.

    Raises:
        QueryError: It went wrong, took too long or became too large: here, or amid the pieces.
        UnavailableError: There is nothing to ask.
    """
    read_end, write_end = os.pipe()
    try:
        pid = os.fork()
    except OSError:
        os.close(read_end)
        os.close(write_end)
        raise
    if pid == 0:
        os.close(read_end)  # or a parent that is gone would not be noticed
        _be_child(answer, limits, write_end)
    os.close(write_end)
    child = _Child(pid, read_end, limits, words)
    try:
        messages = child.messages()
        yield next(messages).decode(), messages
    finally:
        child.close()


def _be_child(answer: Callable[[Reply], None], limits: Limits, write_end: int) -> None:
    """Answer, and end this process without the parent's clean-up."""
    status = 1
    try:
        faulthandler.disable()  # how it ended is told by the parent
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # nobody reads it any more
        Confinement().allow(limits)
        with os.fdopen(write_end, "wb") as sink:
            send(sink, limits, answer)
        status = 0
    finally:
        os._exit(status)


class _Child:
    def __init__(self, pid: int, read_end: int, limits: Limits, words: Wording) -> None:
        self._pid = pid
        self._fd = read_end
        self._limits = limits
        self._words = words
        self._deadline = time.monotonic() + limits.timeout_s
        self._read = bytearray()
        self._readable = select.poll()
        self._readable.register(read_end, select.POLLIN)

    def messages(self) -> Iterator[bytes]:
        """Yield the media type, then pieces until the end."""
        while True:
            kind, length = HEAD.unpack(self._take(HEAD.size))
            content = self._take(length)
            if kind == ERROR:
                raise msgspec.msgpack.decode(content, type=Failure).error()
            if kind == END:
                return
            assert kind in (MEDIA, DATA), kind
            yield content

    def _take(self, n_bytes: int) -> bytes:
        while len(self._read) < n_bytes:
            left = self._deadline - time.monotonic()
            if left <= 0 or not self._readable.poll(1_000 * left):
                stopped = f"{self._words.subject} was stopped after {self._limits.timeout_s:g} s"
                raise QueryError(stopped, self._words.late)
            part = os.read(self._fd, READ_BYTES)
            if not part:
                raise QueryError(*ended(self._reap(DYING_S), self._limits, self._words))
            self._read += part
        taken = bytes(self._read[:n_bytes])
        del self._read[:n_bytes]
        return taken

    def close(self) -> None:
        os.close(self._fd)
        self._fd = -1
        self._reap(0.0)

    def _reap(self, patience_s: float) -> int:
        """End the child if it still runs after that long; return how it ended."""
        if not self._pid:
            return 0
        until = time.monotonic() + patience_s
        done, status = os.waitpid(self._pid, os.WNOHANG)
        while not done and time.monotonic() < until:
            time.sleep(0.01)
            done, status = os.waitpid(self._pid, os.WNOHANG)
        if not done:
            os.kill(self._pid, signal.SIGKILL)
            _, status = os.waitpid(self._pid, 0)
        self._pid = 0
        return os.waitstatus_to_exitcode(status)
