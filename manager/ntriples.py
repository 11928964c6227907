"""N-Triples text, escaped as the grammar says.

Source: RDF 1.1 N-Triples, production STRING_LITERAL_QUOTE: all but ``"``, ``\\``, LF and CR stand
for themselves.  What a batch calls an identity was checked to be one (`pllib.linked.Id`); all other
text goes through here.
"""

from __future__ import annotations

import math

from pllib.identity import ID_BASE
from pllib.moments import date_time

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


def double(number: float) -> str:
    if math.isfinite(number):
        return f'"{number!r}"^^{DATATYPES["double"]}'
    text = "NaN" if math.isnan(number) else "INF" if number > 0 else "-INF"
    return f'"{text}"^^{DATATYPES["double"]}'


def node(kind: str, identity: str) -> str:
    """Return the IRI of a thing, in angle brackets."""
    return f"<{ID_BASE}{kind}/{identity}>"


def timestamp(ns: int, digits: int = 6) -> str:
    """Return UTC nanoseconds as a literal of xsd:dateTime, as `pllib.moments.date_time` does."""
    return f'"{date_time(ns, digits)}"^^{DATATYPES["dateTime"]}'
