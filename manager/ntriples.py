"""N-Triples text, escaped as the grammar says.

Source: RDF 1.1 N-Triples, production STRING_LITERAL_QUOTE: all but ``"``, ``\\``, LF and CR stand
for themselves.  What a batch calls an identity was checked to be one (`pllib.linked.Id`); all other
text goes through here.
"""

from __future__ import annotations

import datetime

from pllib.identity import ID_BASE

from .vocabulary import DATATYPES

_ESCAPES = str.maketrans({'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\0": "\\u0000"})


def string(text: str) -> str:
    """Return a literal of xsd:string."""
    return f'"{text.translate(_ESCAPES)}"'


def literal(datatype: str, lexical: str) -> str:
    """Return a literal of one of `vocabulary.DATATYPES`, ``string`` or ``nil`` (JSON null)."""
    if datatype == "string":
        return string(lexical)
    if datatype == "nil":
        return f'"null"^^{DATATYPES["JSON"]}'
    return f'"{lexical.translate(_ESCAPES)}"^^{DATATYPES[datatype]}'


def integer(number: int) -> str:
    return f'"{number}"^^{DATATYPES["integer"]}'


def node(kind: str, identity: str) -> str:
    """Return the IRI of a thing, in angle brackets."""
    return f"<{ID_BASE}{kind}/{identity}>"


_seconds: dict[int, str] = {}


def timestamp(ns: int) -> str:
    """Return UTC nanoseconds as xsd:dateTime with microseconds, without trailing zeros."""
    second, rest = divmod(ns, 1_000_000_000)
    text = _seconds.get(second)
    if text is None:
        if len(_seconds) > 10_000:
            _seconds.clear()
        moment = datetime.datetime.fromtimestamp(second, datetime.timezone.utc)
        text = _seconds[second] = f'"{moment:%Y-%m-%dT%H:%M:%S}'
    micros = rest // 1000
    fraction = f".{micros:06d}".rstrip("0") if micros else ""
    return f'{text}{fraction}Z"^^{DATATYPES["dateTime"]}'
