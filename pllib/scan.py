"""Finding frames in a packed log: at a place, and behind one that is damaged.

Bound: however a file was made up, a scan of it reads each byte a fixed number of times, in pieces.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator

from .frame import FRAME_BYTES, FRAME_MAGIC, Head, head_crc, read_head

PIECE_BYTES = 1 << 20
CHECKED_A_BYTE = 8
"""Bytes whose checksum may be made for each byte scanned, beyond `CHECKED_AT_FIRST`: each of the
four bytes SPFR in what was written to mislead us claims up to 16 MiB."""
CHECKED_AT_FIRST = 64 << 20


class Scan:
    """A view of an open file as it is now; for one thread."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._allowance = CHECKED_AT_FIRST

    @property
    def size(self) -> int:
        return os.fstat(self._fd).st_size

    def read(self, at: int, length: int) -> bytes:
        return os.pread(self._fd, length, at)

    def frame_at(self, at: int) -> bytes:
        """Return the frame that begins here, of the length that it says it has if that can be."""
        data = self.read(at, FRAME_BYTES)
        if (head := _possible(data)) is not None:
            data += self.read(at + FRAME_BYTES, head.length)
        return data

    def is_head(self, at: int) -> bool:
        """Tell whether what is here could be the header of a frame."""
        return _possible(self.read(at, FRAME_BYTES)) is not None

    def next_frame(self, bad: int) -> int | None:
        """Return where the next frame begins behind a bad one; None if there is none.

        That is one that passes its checksum, or one at the place where the bad one says that it
        ends, whichever comes first: its header may be right.
        """
        size = self.size
        said = None
        if (head := _possible(self.read(bad, FRAME_BYTES))) is not None:
            end = bad + head.end
            said = end if end < size and self.is_head(end) else None
        for at in self._magics(bad + 1, said or size):
            if self._is_intact(at, size):
                return at
        return said

    def _magics(self, start: int, stop: int) -> Iterator[int]:
        """Yield where a frame's magic is, of those that begin before `stop`."""
        while start < stop:
            piece = self.read(start, min(PIECE_BYTES, stop - start) + len(FRAME_MAGIC) - 1)
            if len(piece) < len(FRAME_MAGIC):
                return
            self._allowance += CHECKED_A_BYTE * len(piece)
            found = piece.find(FRAME_MAGIC)
            while found >= 0:
                yield start + found
                found = piece.find(FRAME_MAGIC, found + 1)
            start += PIECE_BYTES

    def _is_intact(self, at: int, size: int) -> bool:
        data = self.read(at, FRAME_BYTES)
        head = _possible(data)
        if head is None or at + head.end > size or head.length > self._allowance:
            return False
        self._allowance -= head.length
        crc, place, end = head_crc(data), at + FRAME_BYTES, at + head.end
        while place < end:
            piece = self.read(place, min(PIECE_BYTES, end - place))
            if not piece:
                return False
            crc, place = zlib.crc32(piece, crc), place + len(piece)
        return (crc or 1) == head.crc


def _possible(data: bytes) -> Head | None:
    if len(data) < FRAME_BYTES:
        return None
    head = read_head(data)
    return None if head.fault else head
