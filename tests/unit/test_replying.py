"""Answers go out in pieces, within limits, and say how they end."""

from __future__ import annotations

import io
from collections.abc import Callable

import msgspec
import pyoxigraph as ox
import pytest

from manager.store.answer import RESULTS, answer
from manager.store.replying import (
    DATA,
    END,
    ERROR,
    HEAD,
    MEDIA,
    PIECE_BYTES,
    Failure,
    Reply,
    send,
)
from manager.store.sandbox import Limits
from pllib.errors import QueryError, UnavailableError

PLENTY = Limits(1.0, 1 << 30, 1 << 30, 1 << 30)


def sent(reply: Callable[[Reply], None], limits: Limits = PLENTY) -> list[tuple[bytes, bytes]]:
    """Return kind and content of all messages."""
    sink = io.BytesIO()
    send(sink, limits, reply)
    sink.seek(0)
    found = []
    while head := sink.read(HEAD.size):
        kind, length = HEAD.unpack(head)
        found.append((kind, sink.read(length)))
    return found


def written(data: bytes, media: str = "text/csv", times: int = 1) -> Callable[[Reply], None]:
    def write(reply: Reply) -> None:
        reply.begin(media)
        for _ in range(times):
            reply.write(data)

    return write


def test_an_answer_has_its_media_type_its_pieces_and_an_end():
    messages = sent(written(b"x" * 1000, times=200))
    assert messages[0] == (MEDIA, b"text/csv")
    assert messages[-1] == (END, b"")
    pieces = messages[1:-1]
    assert {kind for kind, _ in pieces} == {DATA}
    assert b"".join(piece for _, piece in pieces) == b"x" * 200_000
    assert max(len(piece) for _, piece in pieces) < PIECE_BYTES + 1000


@pytest.mark.parametrize(
    ("n_bytes", "kinds"), [(0, [MEDIA, END]), (PIECE_BYTES, [MEDIA, DATA, END])]
)
def test_no_piece_is_empty(n_bytes, kinds):
    assert [kind for kind, _ in sent(written(b"x" * n_bytes))] == kinds


@pytest.mark.parametrize("count", [1, 2, 5_000])
@pytest.mark.parametrize("form", list(RESULTS))
def test_rows_are_counted_as_they_are(form, count):
    """Also where a piece ends within what ends a row."""
    store = ox.Store()
    for n in range(count):
        store.add(ox.Quad(ox.NamedNode(f"urn:{n}"), ox.NamedNode("urn:p"), ox.Literal("a\tb{},")))
    query = "SELECT ?s ?o { ?s ?p ?o }"
    for most, ending in ((count, END), (count - 1, ERROR)):
        limits = Limits(1.0, 1 << 30, most, 1 << 30)
        messages = sent(lambda reply: answer(store, query, [form], reply), limits)
        assert messages[-1][0] == ending


def test_too_many_bytes_are_refused():
    limits = Limits(1.0, 1 << 30, 1 << 30, 1_000)
    assert sent(written(b"x" * 1_000), limits)[-1][0] == END
    (only,) = sent(written(b"x" * 1_001), limits)
    assert only[0] == ERROR
    assert b"1,000 bytes" in only[1]


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (QueryError("no", "do"), QueryError),
        (UnavailableError("no", "do"), UnavailableError),
        (MemoryError(), QueryError),
        (ZeroDivisionError("of an engine"), QueryError),
    ],
)
def test_what_goes_wrong_is_told(raised, kind):
    def go_wrong(reply: Reply) -> None:
        raise raised

    ((which, content),) = sent(go_wrong)
    assert which == ERROR
    error = msgspec.msgpack.decode(content, type=Failure).error()
    assert type(error) is kind
    if isinstance(raised, QueryError | UnavailableError):
        assert str(error) == "no. do"


def test_what_nobody_reads_is_no_error_of_the_query():
    class Closed(io.BytesIO):
        def write(self, data: object) -> int:
            raise BrokenPipeError

    store = ox.Store()
    store.add(ox.Quad(ox.NamedNode("urn:s"), ox.NamedNode("urn:p"), ox.Literal("x" * PIECE_BYTES)))
    with pytest.raises(BrokenPipeError):
        send(Closed(), PLENTY, lambda reply: answer(store, "SELECT * { ?s ?p ?o }", [], reply))
