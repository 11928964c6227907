"""What the session of a command is told in records of its own kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgspec

from pllib.describing import tell_facts
from pllib.records import EXT_FILE, FileVersion, encode
from pllib.session import Session
from pllib.values import extend

from .opened import Opened

FILES_BYTES = 12 << 10
"""Of the files in one record."""


def tell_files(
    session: Session, opened: Opened, settle: Callable[[list[FileVersion]], list[FileVersion]]
) -> None:
    """Tell of files.

    Args:
        settle: Takes what the command wrote, and returns what else was written in its folders,
            by nobody that was seen.
    """
    written = [*opened.generated()]
    unseen = settle(written)
    made = {(file.path, file.size, file.mtime_ns) for file in unseen}
    used_files = (f for f in opened.used() if (f.path, f.size, f.mtime_ns) not in made)
    for used in _pieces(used_files):
        session.used(files_read=used)
    for generated in _pieces(written):
        session.generated(files_written=generated)
    for generated in _pieces(unseen):
        session.generated(files_written_while_it_ran=generated)
    if opened.n_unlisted:
        tell_facts(session, {"files_not_listed": str(opened.n_unlisted)})


def _pieces(files: Iterable[FileVersion]) -> Iterator[list[msgspec.msgpack.Ext]]:
    """Yield files as values, as many at a time as a record has room for."""
    piece: list[msgspec.msgpack.Ext] = []
    n_bytes = 0
    for file in files:
        length = len(encode(file))
        if piece and n_bytes + length > FILES_BYTES:
            yield piece
            piece, n_bytes = [], 0
        piece.append(extend(EXT_FILE, file))
        n_bytes += length
    if piece:
        yield piece
