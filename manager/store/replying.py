"""An answer on its way out of the process that makes it: in pieces, each as soon as it is there.

A message is its kind, a little-endian u32 length, and that many bytes.  An answer is one `MEDIA`,
any number of `DATA` and one `END`; or, at any point, one `ERROR`.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import BinaryIO

import msgspec

from pllib.errors import Error, QueryError, UnavailableError

from .sandbox import Limits

HEAD = struct.Struct("<cI")
MEDIA, DATA, END, ERROR = b"m", b"d", b".", b"e"
PIECE_BYTES = 64 << 10

_ROWS = {
    "application/sparql-results+json": (b'}},{"', 1),
    "application/sparql-results+xml": (b"<result>", 0),
    "text/csv": (b"\n", -1),
    "text/tab-separated-values": (b"\n", -1),
}
"""Media type of a table → what stands between two rows, and rows less how often it stands there.

Rarely it stands within a row, which then counts as two.
"""
_LINES = (b"\n", 0)
_LESS = "Use LIMIT, or aggregate; rows and answer_bytes in [query] are the limits"


class Failure(msgspec.Struct, array_like=True):
    """Content of an `ERROR`."""

    kind: str
    """Name of the error's class."""
    message: str
    hint: str

    def error(self) -> Error:
        kind = QueryError if self.kind == "QueryError" else UnavailableError
        return kind(self.message, self.hint)


class Reply(io.RawIOBase):
    """What an answer is written to, within its limits."""

    def __init__(self, sink: BinaryIO, limits: Limits) -> None:
        super().__init__()
        self._sink = sink
        self._limits = limits
        self._piece = bytearray()
        self._media = ""
        self._row, self._n_rows = _LINES
        self._n_bytes = 0
        self._began = False

    def begin(self, media: str) -> None:
        self._media = media
        self._row, self._n_rows = _ROWS.get(media, _LINES)

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        """Raises:
        QueryError: That is more than there may be.
        """
        self._piece += data
        if len(self._piece) >= PIECE_BYTES:
            self._send_piece(keep=len(self._row) - 1)
        return len(data)

    def _send_piece(self, keep: int = 0) -> None:
        """Send what there is but its last bytes, which may be the start of what ends a row."""
        self._n_rows += self._piece.count(self._row)
        piece = bytes(self._piece[: len(self._piece) - keep])
        del self._piece[: len(piece)]
        self._n_bytes += len(piece)
        if self._n_rows > self._limits.rows:
            raise QueryError(f"the answer has over {self._limits.rows:,} rows", _LESS)
        if self._n_bytes > self._limits.answer_bytes:
            raise QueryError(f"the answer is over {self._limits.answer_bytes:,} bytes", _LESS)
        if not self._began:
            self._began = True
            self._send(MEDIA, self._media.encode())
        if piece:
            self._send(DATA, piece)

    def finish(self) -> None:
        """Send the rest, and that it is all."""
        self._send_piece()
        self._send(END, b"")
        self._sink.flush()

    def fail(self, failure: Failure) -> None:
        self._send(ERROR, msgspec.msgpack.encode(failure))
        self._sink.flush()

    def _send(self, kind: bytes, data: bytes) -> None:
        self._sink.write(HEAD.pack(kind, len(data)) + data)


def send(sink: BinaryIO, limits: Limits, answer: Callable[[Reply], None]) -> None:
    """Send what `answer` writes, and how it ends: whatever goes wrong is told to who asked."""
    reply = Reply(sink, limits)
    try:
        answer(reply)
        reply.finish()
    except Error as exc:
        reply.fail(Failure(type(exc).__name__, Exception.__str__(exc), exc.hint))
    except BrokenPipeError:
        raise
    except MemoryError:
        reply.fail(Failure("QueryError", "the query needs too much memory", "Ask less"))
    except Exception as exc:  # noqa: BLE001  what a query makes of an engine ends neither
        reply.fail(Failure("QueryError", f"the query failed: {type(exc).__name__}: {exc}", ""))
