"""Read what others wrote in a forked child, which is confined as one that answers a query is.

A small file can make a parser of it take hours, all memory, or the process that it runs in: with
pyoxigraph 0.5.13, 50,000 nested levels of JSON-LD took 45 s and then aborted, and as many nested
triple terms ended in SIGSEGV.  So the child has no network, writes nothing, and is ended at its
limits; its parent takes over all that a file says, or nothing.

Out come messages: a little-endian u32 length, and a `_Said`, a `_Read` or a `_Run` as msgpack.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

import msgspec
import pyoxigraph as ox

from manager.store.replying import Reply
from manager.store.sandbox import Limits, Wording
from pllib.errors import QueryError
from pllib.project import Project
from pllib.settings import Querying, load_section
from query.child import answering

from . import mlflow, sources
from .statements import ImportRefusedError, Refusal, Statement, Statements

WORDS = Wording("reading it", "Split it", "Split it")
START_S = 30.0
A_MIB_S = 10.0
"""What a file may take, and more for each MiB; to read one honest MiB takes up to 2 s."""
BATCH = 5_000
"""Statements of a message."""
_LENGTH = struct.Struct("<I")
_UNLIMITED = 1 << 60
"""What an answer may have of rows and bytes: the size of the file is its limit."""

Term = tuple[str, str, str, str | None, str | None, str | None]
"""Subject, predicate, and an IRI, or of a literal its text, datatype, language and direction."""


class _Said(msgspec.Struct, array_like=True, tag=True):
    terms: list[Term]


class _Read(msgspec.Struct, array_like=True, tag=True):
    """The end of a source."""

    source: str
    refused: list[tuple[str, str]]


class _Run(msgspec.Struct, array_like=True, tag=True):
    """A run of MLflow; paths are bytes, as they need not be UTF-8."""

    meta: dict[str, str]
    params: dict[str, str]
    metrics: dict[str, list[tuple[int, float, int | None]]]
    tags: dict[str, str]
    artifacts: list[bytes]
    experiment: str
    refused: list[tuple[str, str]]


class _Failed(msgspec.Struct, array_like=True, tag=True):
    reason: str


_Message = _Said | _Read | _Run | _Failed


def read_source(path: Path, project: Project) -> Statements:
    """Read a file or an RO-Crate, as `sources.read_source` does.

    Raises:
        ImportRefusedError: It is not what its name says, or to read it takes too much.
    """
    into = Statements(str(path))
    for message in _messages(lambda: _of_source(path), path, project):
        if isinstance(message, _Said):
            into.said.extend(map(_statement, message.terms))
        else:
            assert isinstance(message, _Read), message
            into.source = message.source
            into.refused = [Refusal(*each) for each in message.refused]
    return into


def read_run(folder: Path, project: Project) -> mlflow.MlflowRun:
    """Read a run directory, as `mlflow.read_run` does.

    Raises:
        ImportRefusedError: It is none, or to read it takes too much.
    """
    (run,) = _messages(lambda: _of_run(folder), folder, project)
    assert isinstance(run, _Run), run
    return mlflow.MlflowRun(
        folder, run.meta, run.params, run.metrics, run.tags,
        [Path(os.fsdecode(each)) for each in run.artifacts], run.experiment,
        [Refusal(*each) for each in run.refused],
    )  # fmt: skip


def _of_source(path: Path) -> Iterator[_Message]:
    found = sources.read_source(path)
    for start in range(0, len(found.said), BATCH):
        yield _Said([_term(each) for each in found.said[start : start + BATCH]])
    yield _Read(_text(found.source), [_refusal(each) for each in found.refused])


def _of_run(folder: Path) -> Iterator[_Message]:
    run = mlflow.read_run(folder)
    yield _Run(
        _texts(run.meta), _texts(run.params),
        {_text(name): points for name, points in run.metrics.items()}, _texts(run.tags),
        [os.fsencode(each) for each in run.artifacts], _text(run.experiment),
        [_refusal(each) for each in run.refused],
    )  # fmt: skip


def _messages(
    doing: Callable[[], Iterator[_Message]], path: Path, project: Project
) -> Iterator[_Message]:
    """Yield what a child says that reads a path."""

    def answer(reply: Reply) -> None:
        for data in _encoded(doing):
            reply.write(_LENGTH.pack(len(data)) + data)

    try:
        with answering(answer, _limits(path, project), WORDS) as (_, pieces):
            for message in _decoded(pieces):
                if isinstance(message, _Failed):
                    raise ImportRefusedError(message.reason)
                yield message
    except QueryError as exc:
        raise ImportRefusedError(f"{path}: {exc}. Nothing of it is taken in") from None


def _encoded(doing: Callable[[], Iterator[_Message]]) -> Iterator[bytes]:
    """Yield messages, the last that it failed if it does."""
    try:
        yield from map(msgspec.msgpack.encode, doing())
    except ImportRefusedError as exc:
        yield msgspec.msgpack.encode(_Failed(_text(str(exc))))
    except MemoryError:
        raise QueryError(f"{WORDS.subject} needs too much memory", WORDS.less) from None
    except Exception as exc:  # noqa: BLE001  what a file makes of a parser ends neither
        what = " ".join(f"{type(exc).__name__}: {exc}".split())
        raise QueryError(_text(f"{WORDS.subject} failed: {what[:300]}")) from None


def _limits(path: Path, project: Project) -> Limits:
    allowed = load_section(Querying, project.config, os.environ)
    timeout_s = min(START_S + A_MIB_S * _size(path) / (1 << 20), allowed.timeout_s)
    return Limits(timeout_s, allowed.memory_bytes, _UNLIMITED, _UNLIMITED)


def _size(path: Path) -> int:
    """Return the bytes of a file, or of those below a folder."""
    if not path.is_dir():
        return path.stat().st_size
    files = (Path(folder, name) for folder, _, names in os.walk(path) for name in names)
    return sum(file.lstat().st_size for file in files)


def _decoded(pieces: Iterator[bytes]) -> Iterator[_Message]:
    decoder: msgspec.msgpack.Decoder[_Message] = msgspec.msgpack.Decoder(_Message)
    read = bytearray()
    for piece in pieces:
        read += piece
        while len(read) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(read)
            end = _LENGTH.size + length
            if len(read) < end:
                break
            yield decoder.decode(bytes(read[_LENGTH.size : end]))
            del read[:end]


def _term(statement: Statement) -> Term:
    subject, predicate, obj = statement
    if isinstance(obj, ox.NamedNode):
        return subject, predicate, obj.value, None, None, None
    direction = getattr(obj, "direction", None)
    return (
        subject, predicate, obj.value, obj.datatype.value, obj.language,
        None if direction is None else str(direction),
    )  # fmt: skip


def _statement(term: Term) -> Statement:
    subject, predicate, text, datatype, language, direction = term
    if datatype is None:
        return Statement(subject, predicate, ox.NamedNode(text))
    return Statement(subject, predicate, _literal(text, datatype, language, direction))


def _literal(text: str, datatype: str, language: str | None, direction: str | None) -> ox.Literal:
    if language is None:
        return ox.Literal(text, datatype=_datatype(datatype))
    if direction is None:
        return ox.Literal(text, language=language)
    return ox.Literal(text, language=language, direction=ox.BaseDirection(direction))


@lru_cache(maxsize=100)
def _datatype(iri: str) -> ox.NamedNode:
    return ox.NamedNode(iri)


def _refusal(refusal: Refusal) -> tuple[str, str]:
    return _text(refusal.where), _text(refusal.reason)


def _texts(texts: dict[str, str]) -> dict[str, str]:
    return {_text(name): _text(text) for name, text in texts.items()}


def _text(text: str) -> str:
    """Replace lone surrogates, which stand for bytes of names that are not UTF-8."""
    return text.encode("utf-8", "replace").decode()
