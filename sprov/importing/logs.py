"""Imports as provenance logs: what comes in is in a log, so that `sprov rebuild` has it too.

The id of a log is a digest of what it says, so that importing the same again adds nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from pllib import identity, launch, owners
from pllib.log import Frame, LogWriter, frame_of, new_header
from pllib.project import Project
from pllib.records import NO_RANK, Closed, Context, Imported, encode

from .statements import Statement

RECORD_BYTES = 8 << 10
"""Of triples: a batch of the tracker's is 1,000 records, which makes it 8 MiB."""
FRAME_BYTES = 128 << 10


def import_context(project: Project, run: str) -> Context:
    """Return the context of an import: no rank speaks."""
    mine = launch.process()
    return Context(
        run=run, restart=0, rank=NO_RANK, size=0, host=launch.host(), pid=mine.pid,
        user="", program="sprov import", project=project.name, workflow="", opened_ns=0,
    )  # fmt: skip


def _statement_records(said: Iterable[Statement]) -> list[bytes]:
    """Return encoded records of statements, in an order of their own and without repetitions."""
    return [
        encode(Imported(seq, chunk))
        for seq, chunk in enumerate(_chunks(sorted({f"{statement}\n" for statement in said})))
    ]


def _chunks(lines: list[str]) -> Iterator[bytes]:
    chunk: list[bytes] = []
    size = 0
    for line in lines:
        encoded = line.encode()
        if chunk and size + len(encoded) > RECORD_BYTES:
            yield b"".join(chunk)
            chunk, size = [], 0
        chunk.append(encoded)
        size += len(encoded)
    if chunk:
        yield b"".join(chunk)


def write_statements(project: Project, said: Iterable[Statement]) -> Path:
    """Write statements to a log in the spool; return its path."""
    records = _statement_records(said)
    digest = identity.digest("import", *records)
    context = import_context(project, digest)
    records.append(encode(Closed(len(records), len(records) + 1, {}, time.time_ns())))
    return write_log(project, bytes.fromhex(digest), [encode(context)], records)


def write_log(project: Project, log_id: bytes, head: list[bytes], records: list[bytes]) -> Path:
    """Write a log whose every frame begins with `head`: its context and signatures.

    Args:
        log_id: 16 bytes.
    """
    path = project.spool / f"import-{log_id.hex()}.log"
    path.unlink(missing_ok=True)
    writer = LogWriter(path, new_header(owners.this_process()))
    try:
        for number, part in enumerate(_frames(records)):
            writer.append([_frame(log_id, number, head, part).pack()])
        writer.sync()
    finally:
        writer.close()
    return path


def _frames(records: list[bytes]) -> Iterator[list[bytes]]:
    frame: list[bytes] = []
    size = 0
    for record in records:
        if frame and size + len(record) > FRAME_BYTES:
            yield frame
            frame, size = [], 0
        frame.append(record)
        size += len(record)
    if frame:
        yield frame


def _frame(log_id: bytes, number: int, head: list[bytes], records: list[bytes]) -> Frame:
    made = frame_of(log_id, number, [*head, *records])
    return Frame(made.log_id, made.number, len(records), made.payload)
