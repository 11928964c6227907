"""Forms: which nodes of a graph look alike to every shape, so that one of them stands for all.

pyshacl 0.40 takes 5 s for 1,000 transformations of five values, and all triples as Python objects;
a run of 100,000 such records has 400,000 nodes and 18 forms.

Two nodes have one form if they have the same classes and the same properties, leading to nodes that
look alike to a depth of two, counted to `MANY`.  Of a literal its datatype counts, whether it is
well formed, and its sign.  Shapes that ask for more than that can't be checked in this way:
``tests/unit/test_ontology.py`` holds ``shapes.ttl`` to it.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator

from manager.vocabulary import TYPE, term

Statement = tuple[bytes, bytes]
"""Predicate and object, as N-Triples has them."""

DEPTH = 2
MANY = 3
"""Shapes count to one, and see two as too many."""
READ_WHOLE = frozenset({term("sprov:direction").encode()})
"""Predicates whose literals shapes read (``sh:in``)."""

_TYPE = TYPE.encode()
_XSD = b"http://www.w3.org/2001/XMLSchema#"
_LITERAL = re.compile(rb'"(.*)"(?:\^\^<([^>]*)>|(@[\w-]+))?', re.DOTALL)
_WELL_FORMED = {
    _XSD + b"integer": re.compile(rb"[+-]?\d+"),
    _XSD + b"double": re.compile(rb"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?|[+-]?INF|NaN"),
    _XSD + b"boolean": re.compile(rb"true|false|0|1"),
    _XSD + b"dateTime": re.compile(rb"-?\d{4,}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?"),
}


class Statements:
    """What is said of each node of a graph."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        """Args:
        pieces: N-Triples without blank nodes and comments, cut between lines.
        """
        self._said: dict[bytes, set[Statement]] = defaultdict(set)
        known: dict[bytes, bytes] = {}
        for piece in pieces:
            for line in piece.split(b"\n"):
                if line:
                    subject, predicate, rest = line.split(b" ", 2)
                    obj = rest.rstrip(b" .")
                    predicate = known.setdefault(predicate, predicate)
                    self._said[known.setdefault(subject, subject)].add(
                        (predicate, known.setdefault(obj, obj) if obj[:1] == b"<" else obj)
                    )

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._said)

    def __len__(self) -> int:
        return len(self._said)

    def of(self, node: bytes) -> set[Statement]:
        return self._said.get(node, set())

    def around(self, node: bytes, depth: int = DEPTH) -> Iterator[bytes]:
        """Yield the lines about a node and those that it leads to; at the end classes alone."""
        for predicate, obj in self.of(node):
            if depth or predicate == _TYPE:
                yield b"%b %b %b .\n" % (node, predicate, obj)
                if predicate != _TYPE and obj[:1] == b"<":
                    yield from self.around(obj, depth - 1)


class Forms:
    """Tells the forms of a graph's nodes."""

    def __init__(self, said: Statements) -> None:
        self._said = said
        self._numbers: dict[Hashable, int] = {}
        self._looks: list[dict[bytes, int]] = [{} for _ in range(DEPTH + 1)]

    def groups(self) -> dict[int, list[bytes]]:
        """Return all nodes by form."""
        found: dict[int, list[bytes]] = defaultdict(list)
        for node in self._said:
            found[self._look(node, DEPTH)].append(node)
        return dict(found)

    def _look(self, node: bytes, depth: int) -> int:
        known = self._looks[depth]
        if node not in known:
            statements = self._said.of(node)
            seen: Hashable
            if depth:
                counts = Counter((p, self._object(p, obj, depth)) for p, obj in statements)
                seen = frozenset((pair, min(n, MANY)) for pair, n in counts.items())
            else:
                seen = frozenset(obj for p, obj in statements if p == _TYPE)
            known[node] = self._numbers.setdefault((depth, seen), len(self._numbers))
        return known[node]

    def _object(self, predicate: bytes, obj: bytes, depth: int) -> Hashable:
        if predicate == _TYPE or predicate in READ_WHOLE:
            return obj
        return self._look(obj, depth - 1) if obj[:1] == b"<" else _literal(obj)


def _literal(text: bytes) -> Hashable:
    """Return datatype or language, whether the lexical form is one of it, and its sign."""
    found = _LITERAL.fullmatch(text)
    if found is None:
        return text
    lexical, datatype, language = found.groups()
    form = _WELL_FORMED.get(datatype or b"")
    well_formed = form is None or form.fullmatch(lexical) is not None
    return datatype or language, well_formed, lexical[:1] == b"-"
