"""The standard streams of a command: whatever is written there, no terminal obeys it.

Names, messages and paths come from programs, files and users, and any of them may hold what clears
a screen, sets its title or turns the direction of text.  So `guard` puts a layer below the text
layer of stderr, and of stdout where that is a terminal: nothing that is written to `sys.stdout`,
`sys.stdout.buffer`, by click or by a traceback, passes beside it.  Piped data stays exact.

What draws (tables, curves, bars) has control sequences of its own.  It asks for `styled`, and
answers itself for each text that it puts there.
"""

from __future__ import annotations

import codecs
import io
import sys
from typing import BinaryIO, TextIO, cast

from .printable import printable

_ERRORS = "sprov.exact"
"""Bytes of file names that are not UTF-8 go out as they are; other lone surrogates become ``?``."""


class Inert(io.BufferedIOBase):
    """A binary stream whose text drives no terminal."""

    def __init__(self, behind: TextIO) -> None:
        super().__init__()
        self.behind = behind
        self._encoding = _encoding(behind)
        decoder = codecs.getincrementaldecoder(self._encoding)("replace")
        self._decoder = io.IncrementalNewlineDecoder(decoder, translate=False)

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        text = printable(self._decoder.decode(bytes(data)))
        self.behind.buffer.write(text.encode(self._encoding, "replace"))
        return len(data)

    def flush(self) -> None:
        self.behind.buffer.flush()

    def fileno(self) -> int:
        return self.behind.fileno()

    def isatty(self) -> bool:
        return self.behind.isatty()

    def close(self) -> None:
        """Leave the stream behind open, which others may have."""
        self.flush()


def guard() -> None:
    """Guard this process's standard streams."""
    codecs.register_error(_ERRORS, _exact)
    sys.stderr = _guarded(sys.stderr)
    if sys.stdout is not None and sys.stdout.isatty():
        sys.stdout = _guarded(sys.stdout)
    elif isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors=_ERRORS)


def styled(stream: TextIO) -> TextIO:
    """Return the stream that a guarded one is before, for what answers for its own texts."""
    inert = getattr(stream, "buffer", None)
    if not isinstance(inert, Inert):
        return stream
    stream.flush()
    return inert.behind


def _guarded(stream: TextIO) -> TextIO:
    inert = getattr(stream, "buffer", None)
    if inert is None or isinstance(inert, Inert):  # closed, or put there by others
        return stream
    return io.TextIOWrapper(
        cast("BinaryIO", Inert(stream)),
        encoding=_encoding(stream),
        errors=_ERRORS,
        line_buffering=getattr(stream, "line_buffering", True),
        write_through=True,
    )


def _encoding(stream: TextIO) -> str:
    """Return a stream's encoding; UTF-8 where it is ASCII by a locale that nobody chose."""
    name = codecs.lookup(stream.encoding or "utf-8").name
    return "utf-8" if name == "ascii" else name


def _exact(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeError:
        return b"?", error.start + 1
