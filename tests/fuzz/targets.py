"""What is fuzzed: each target takes bytes that anybody may have written, and must say no, or yes.

A target returns where the input is taken or refused in order; whatever else it raises is a bug.
"""

from __future__ import annotations

import contextlib
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import pyoxigraph as ox
from fuzz_seeds import framed

import sprov.importing.document  # noqa: F401  its readers are imported when they are needed
from manager.mapping import map_batch
from manager.store.guard import check_query
from pllib.documents import read as read_document
from pllib.errors import LogCorruptError, LogError, QueryError
from pllib.frame import FRAME_BYTES, FRAME_MAGIC, unpack_frame
from pllib.linked import decode_batch, encode_batch
from pllib.log import LogReader
from pllib.records import UNDECODABLE
from sprov.importing.mlflow import read_run
from sprov.importing.sources import read_source
from sprov.importing.statements import ImportRefusedError
from tracker.admission import Admission, RefusedError, StrangerError
from tracker.linker import context_of, link

SCRATCH = Path(tempfile.mkdtemp(prefix="sprov-fuzz-", dir="/dev/shm"))
JOURNAL = "0" * 32
STORE = ox.Store()


def log_reader(data: bytes) -> None:
    """A log file, of any layout: read it whole, and decode what it says."""
    path = SCRATCH / "log"
    path.write_bytes(data)
    try:
        with LogReader(path) as reader:
            for located in reader.frames():
                with contextlib.suppress(*UNDECODABLE):
                    list(located.frame.records())
            list(reader.frame_keys())
    except LogError:
        return


def wire_frame(data: bytes) -> None:
    """A frame as a rank sends it: check it, link it, hand it on, map it to triples, parse those.

    Its checksum is put right, else no change of a byte would get beyond it.
    """
    try:
        frame = unpack_frame(with_checksum(data))
    except LogCorruptError:
        return
    context = context_of(frame)
    if context is None:
        return
    batch = decode_batch(encode_batch(link([(0, frame)], JOURNAL, context.run)))
    list(ox.parse(input="".join(map_batch(batch)), format=ox.RdfFormat.N_TRIPLES))


def with_checksum(data: bytes) -> bytes:
    """Return a packed frame with its length and checksum put right."""
    head, stored = bytearray(data[:FRAME_BYTES].ljust(FRAME_BYTES, b"\0")), data[FRAME_BYTES:]
    head[:4] = FRAME_MAGIC
    head[8:12] = len(stored).to_bytes(4, "little")
    head[20:24] = bytes(4)
    head[20:24] = (zlib.crc32(stored, zlib.crc32(head)) or 1).to_bytes(4, "little")
    return bytes(head) + stored


def wire_record(data: bytes) -> None:
    """One record, in a frame whose checksum is right, behind a context that is in order."""
    wire_frame(framed(data))


def admission(data: bytes) -> None:
    """A HELLO, whose length is the first byte, and then a frame: what a peer sends a tracker."""
    size = data[0] if data else 0
    admitted = Admission()
    with contextlib.suppress(RefusedError):
        admitted.bind(b"peer", data[1 : 1 + size], 1.0)
    with contextlib.suppress(RefusedError, StrangerError):
        admitted.check(b"peer", with_checksum(data[1 + size :]), 1.0)


def batch(data: bytes) -> None:
    """The body of POST /v1/provenance: what is taken must become N-Triples."""
    try:
        taken = decode_batch(data)
    except msgspec.MsgspecError:
        return
    with contextlib.suppress(OverflowError, ValueError):
        list(ox.parse(input="".join(map_batch(taken)), format=ox.RdfFormat.N_TRIPLES))


def sparql_guard(data: bytes) -> None:
    """A query: what the guard lets through is read-only and calls nobody, as Oxigraph has it."""
    text = data.decode("utf-8", "replace")
    try:
        check_query(text)
    except QueryError:
        return
    with contextlib.suppress(SyntaxError, OSError, RuntimeError, ValueError):
        STORE.query(text)
    assert len(STORE) == 0


def importers(data: bytes) -> None:
    """A file to import; its first byte says what it claims to be."""
    suffixes = (".json", ".provn", ".ttl", ".nt", ".nq", ".jsonld", ".zip")
    if not data:
        return
    path = SCRATCH / f"source{suffixes[data[0] % len(suffixes)]}"
    path.write_bytes(data[1:])
    with contextlib.suppress(ImportRefusedError):
        read_source(path)


def mlflow_run(data: bytes) -> None:
    """The files of an MLflow run: meta.yaml, then a metric's lines, then a parameter, by NUL."""
    parts = [*data.split(b"\0", 2), b"", b""]
    folder = SCRATCH / "mlflow" / "run"
    for name in ("params", "metrics", "tags"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "meta.yaml").write_bytes(parts[0])
    (folder / "metrics" / "loss").write_bytes(parts[1])
    (folder / "params" / "lr").write_bytes(parts[2])
    with contextlib.suppress(ImportRefusedError):
        read_run(folder)


def declaration(data: bytes) -> None:
    """A declared workflow, in JSON or YAML."""
    path = SCRATCH / ("plan.json" if data[:1] == b"{" else "plan.yaml")
    path.write_bytes(data)
    read_document(path)


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
        log_reader, wire_frame, wire_record, admission, batch, sparql_guard, importers,
        mlflow_run, declaration,
    )
}  # fmt: skip
