"""RDF: Turtle, N-Triples, N-Quads and JSON-LD.  Nothing is fetched: contexts must be embedded.

A line of N-Triples or N-Quads that is wrong costs itself.  After an error in Turtle or JSON-LD no
more can be trusted, so that the file is refused.
"""

from __future__ import annotations

import re
from itertools import accumulate

import pyoxigraph as ox

from .statements import ImportRefusedError, Skolemiser, Statements

FORMATS = {
    "turtle": ("Turtle", ox.RdfFormat.TURTLE),
    "ntriples": ("N-Triples", ox.RdfFormat.N_TRIPLES),
    "nquads": ("N-Quads", ox.RdfFormat.N_QUADS),
    "jsonld": ("JSON-LD", ox.RdfFormat.JSON_LD),
}
MAX_DEPTH = 500
"""Levels of JSON-LD: pyoxigraph 0.5.13 takes time by their square, 45 s for 50,000."""
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)).difference(b"[]{}"))
BY_LINE = ("ntriples", "nquads")


def read_rdf(data: bytes, form: str, into: Statements) -> None:
    """Read RDF; triples of named graphs come in as all others do.

    Args:
        form: A name of `FORMATS`.

    Raises:
        ImportRefusedError: It is not what it claims to be.
    """
    name, rdf_format = FORMATS[form]
    names = Skolemiser(data)
    if form == "jsonld" and _depth(data) > MAX_DEPTH:
        raise ImportRefusedError(f"{into.source}: nested deeper than {MAX_DEPTH} levels")
    try:
        base = None if form in BY_LINE else names.base
        quads = list(ox.parse(input=data, format=rdf_format, base_iri=base))
    except (SyntaxError, ValueError, RecursionError) as exc:
        if form not in BY_LINE:
            raise ImportRefusedError(_message(into.source, name, exc)) from None
        quads = _by_line(data, form, into)
    names.read(quads, into)


def _depth(data: bytes) -> int:
    """Return how deep JSON is nested."""
    brackets = _STRING.sub(b"", data).translate(None, _NO_BRACKETS)
    steps = (1 if bracket in b"[{" else -1 for bracket in brackets)
    return max(accumulate(steps), default=0)


def _by_line(data: bytes, form: str, into: Statements) -> list[ox.Quad]:
    name, rdf_format = FORMATS[form]
    quads: list[ox.Quad] = []
    for number, line in enumerate(data.split(b"\n"), 1):
        try:
            quads.extend(ox.parse(input=line, format=rdf_format))
        except (SyntaxError, ValueError) as exc:
            into.refuse(f"line {number}", f"not {name}: {_reason(exc)}")
    if not quads:
        raise ImportRefusedError(f"{into.refused[0]}; no line of the file is {name}")
    return quads


def _message(source: str, name: str, exc: BaseException) -> str:
    if "LoadDocumentCallback" in str(exc):
        return (
            f"{source}: its JSON-LD context is elsewhere, and nothing is fetched. "
            "Embed the context, or import the RO-Crate that the file is of"
        )
    line = getattr(exc, "lineno", None)
    where = f"{source}, line {line}" if line else source
    return f"{where}: not {name}: {_reason(exc)}"


def _reason(exc: BaseException) -> str:
    return " ".join(str(exc.args[0] if exc.args else exc).split())[:300]
