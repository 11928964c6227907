"""What a path is, by its name and its content, which must agree."""

from __future__ import annotations

import json
from pathlib import Path

from pllib.regular import read_regular

from .crate import METADATA, read_crate
from .rdf import read_rdf
from .statements import MAX_FILE_BYTES, ImportRefusedError, Statements

RDF = {".ttl": "turtle", ".nt": "ntriples", ".nq": "nquads", ".jsonld": "jsonld"}
KNOWN = ".json (PROV-JSON), .provn, .ttl, .nt, .nq, .jsonld, an RO-Crate (a folder or .zip), or an MLflow run directory"  # noqa: E501


def is_crate(path: Path) -> bool:
    return (path.is_dir() and (path / METADATA).is_file()) or path.suffix == ".zip"


def read_source(path: Path) -> Statements:
    """Read a file, or an RO-Crate.

    Raises:
        ImportRefusedError: It is not what its name says, or nothing that can be taken in.
    """
    into = Statements(str(path))
    if not path.is_dir() and not path.is_file():  # a pipe would have us wait
        raise ImportRefusedError(f"{path}: neither a file nor a folder")
    if is_crate(path):
        read_crate(path, into)
        return into
    if path.is_dir():
        raise ImportRefusedError(f"{path}: neither an RO-Crate nor an MLflow run in it")
    data = _read(path)
    form = RDF.get(path.suffix)
    if form is not None:
        read_rdf(data, form, into)
    elif path.suffix == ".provn":
        _read_document(data, "provn", into)
    elif path.suffix == ".json":
        _read_json(data, into)
    else:
        raise ImportRefusedError(f"{path}: not known. Import {KNOWN}")
    return into


def _read(path: Path) -> bytes:
    try:
        data = read_regular(path, MAX_FILE_BYTES + 1)
    except OSError as exc:
        raise ImportRefusedError(f"{path}: {exc.strerror}") from None
    if len(data) > MAX_FILE_BYTES:
        raise ImportRefusedError(f"{path}: over {MAX_FILE_BYTES >> 20} MiB. Split it")
    return data


def _read_json(data: bytes, into: Statements) -> None:
    """Read JSON: PROV-JSON, or JSON-LD by its keywords."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        found = None  # what is wrong with it, and where, the reader says
    if isinstance(found, list) or (isinstance(found, dict) and {"@context", "@graph"} & set(found)):
        read_rdf(data, "jsonld", into)
    else:
        _read_document(data, "json", into)


def _read_document(data: bytes, form: str, into: Statements) -> None:
    from .document import read_document

    read_document(data, form, into)
