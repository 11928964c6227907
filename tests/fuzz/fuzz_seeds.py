"""Where fuzzing begins: inputs that are in order, of every kind that a target reads."""

from __future__ import annotations

import functools
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

from msgspec import msgpack

from pllib import wire
from pllib.linked import encode_batch
from pllib.log import (
    FORMAT_VERSION,
    HEADER_BYTES,
    ZLIB,
    FileHeader,
    Frame,
    Owner,
    frame_of,
    pack_file_header,
)
from pllib.records import (
    Accounted,
    Closed,
    Context,
    Ended,
    Facts,
    Generated,
    Imported,
    Metric,
    Outcome,
    Signature,
    Started,
    Summary,
    Transformation,
    Used,
    encode,
)
from pllib.values import encode_list
from tracker.linker import link

LOG, RUN = bytes(range(16)), "0" * 32
DATA = Path(__file__).parents[1] / "data" / "interchange"
CATALOG = Path(__file__).parents[2] / "query" / "catalog"
LIFECYCLE = Path(__file__).parents[2] / "examples" / "lifecycle" / "lifecycle.yaml"


def context() -> Context:
    return Context(
        run=RUN, restart=0, rank=0, size=1, host="n", pid=1, user="u", program="t.py", project="p",
        workflow="w", opened_ns=1, study="s", experiment="e", facts={"job_id": "1", "cluster": "c"},
    )  # fmt: skip


def records() -> list[bytes]:
    used, made = encode_list([1, "x"]), encode_list([0.5, {"a": [None, True]}])
    return [
        encode(Started(1, 0, 0, 0, 10, "")),
        encode(Used(2, 1, 0, used)),
        encode(Generated(3, 1, 0, made)),
        encode(Transformation(4, 1, 0, 10, 20, used, made)),
        encode(Metric(5, 1, 0, 1, 11, 0.5)),
        encode(Summary(6, 0, 1, 0, 0.5, 0.5)),
        encode(Ended(7, 1, 20, None, {"cpu_seconds": 1.0})),
        encode(Outcome(8, LOG.hex(), "killed", 30, signal=9)),
        encode(Facts(9, {"a": "b"})),
        encode(Accounted(10, "c", "1_2", "0", 0, "sacct", "COMPLETED", 40, 1, 2)),
        encode(Imported(11, b"<http://a> <http://b> <http://c> .\n")),
        encode(Closed(12, 12, {"spool full": 1}, 50)),
    ]


def head() -> list[bytes]:
    return [encode(context()), encode(Signature(0, "training", "fit", ("a", "b"), ("m", "n")))]


def frame(said: list[bytes]) -> Frame:
    return frame_of(LOG, 0, [*head(), *said])


def framed(record: bytes) -> bytes:
    """Return a packed frame of one record."""
    return frame([record] if record else []).pack()


def _log(stride: int = 0) -> bytes:
    header = pack_file_header(FileHeader(LOG, stride, 1, Owner("n", "b", 1, 1.0)))
    frames = [frame(records()).pack(codec) for codec in (0, ZLIB)]
    if stride:
        frames = [part.ljust(stride, b"\0") for part in frames]
    return header[:HEADER_BYTES] + b"".join(frames)


def _batch() -> bytes:
    return encode_batch(link([(0, frame(records()))], "1" * 32, RUN))


def _admitted() -> bytes:
    hello = msgpack.encode(wire.Hello(FORMAT_VERSION, LOG, RUN, 0, "n", 1, 1))
    return bytes([len(hello)]) + hello + frame(records()).pack()


def _crate() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as crate:
        graph = [{"@id": "provenance.ttl", "encodingFormat": "text/turtle"}]
        crate.writestr("ro-crate-metadata.json", json.dumps({"@graph": graph}))
        crate.writestr("provenance.ttl", "<http://a> a <http://www.w3.org/ns/prov#Entity> .")
    return made.getvalue()


def _sources() -> list[bytes]:
    by_suffix = {".json": 0, ".provn": 1, ".ttl": 2, ".nt": 3, ".nq": 4, ".jsonld": 5}
    found = [
        bytes([by_suffix[path.suffix]]) + path.read_bytes()
        for path in sorted(DATA.iterdir())
        if path.suffix in by_suffix
    ]
    return [*found, b"\6" + _crate()]


def _mlflow() -> bytes:
    (run,) = (DATA / "mlruns" / "0").glob("*/meta.yaml")
    return run.read_bytes() + b"\0001000 0.5 0\n2000 0.25 1\n\0000.001"


SEEDS: dict[str, Callable[[], list[bytes]]] = {
    "log_reader": lambda: [_log(), _log(8192)],
    "wire_frame": lambda: [frame(records()).pack(), frame(records()).pack(ZLIB)],
    "wire_record": records,
    "admission": lambda: [_admitted()],
    "batch": lambda: [_batch()],
    "sparql_guard": lambda: [path.read_bytes() for path in sorted(CATALOG.glob("*.rq"))],
    "importers": _sources,
    "mlflow_run": lambda: [_mlflow()],
    "declaration": lambda: [LIFECYCLE.read_bytes(), b'{"name": "w", "plans": []}'],
}


@functools.cache
def seeds(target: str) -> list[bytes]:
    """Return inputs of a target that are in order."""
    return SEEDS[target]()
