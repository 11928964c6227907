"""What the session of a command is told in records of its own kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec

from pllib.recording import NOTHING
from pllib.records import EXT_FILE, Facts, FileVersion, Outcome, encode
from pllib.session import Session
from pllib.values import extend

from .described import as_fact
from .opened import Opened

FILES_BYTES = 12 << 10
"""Of the files in one record."""
FACTS_A_RECORD = 100


def write(session: Session, record: Facts | Outcome) -> None:
    """Write a record that still has no number."""
    numbered = msgspec.structs.replace(record, seq=session.next_seq())
    session.write((session.kind, session.name, NOTHING, NOTHING), lambda _: encode(numbered))


def tell_facts(session: Session, facts: Mapping[str, str]) -> None:
    items = [(name, as_fact(text)) for name, text in facts.items() if text]
    for at in range(0, len(items), FACTS_A_RECORD):
        write(session, Facts(-1, dict(items[at : at + FACTS_A_RECORD])))


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
