"""The graph that is exported: what is stored of a run, completed by rule unless told otherwise."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator

import pyoxigraph as ox

from manager.vocabulary import PREFIXES

Term = ox.NamedNode | ox.Literal
Properties = dict[str, list[Term]]
"""Predicate IRI to objects, in order of their text."""


def iri(prefixed: str) -> str:
    """Return a full IRI: ``prov:used`` → ``http://www.w3.org/ns/prov#used``."""
    prefix, _, local = prefixed.partition(":")
    return PREFIXES[prefix] + local


TYPE = iri("rdf:type")


class Graph:
    """A run's triples by subject; no blank nodes."""

    def __init__(self, run: str, ntriples: bytes) -> None:
        self.run = run
        self._subjects: dict[str, Properties] = defaultdict(lambda: defaultdict(list))
        for quad in sorted(ox.parse(input=ntriples, format=ox.RdfFormat.N_TRIPLES), key=str):
            self._subjects[quad.subject.value][quad.predicate.value].append(quad.object)

    def __iter__(self) -> Iterator[str]:
        """Yield subjects in order."""
        return iter(self._subjects)

    def __contains__(self, subject: str) -> bool:
        return subject in self._subjects

    def properties(self, subject: str) -> Properties:
        return self._subjects.get(subject, {})

    def objects(self, subject: str, prefixed: str) -> list[Term]:
        """Return the objects of one predicate, such as ``prov:used``."""
        return self.properties(subject).get(iri(prefixed), [])

    def texts(self, subject: str, prefixed: str) -> list[str]:
        return [term.value for term in self.objects(subject, prefixed)]

    def text(self, subject: str, prefixed: str, default: str = "") -> str:
        """Return the IRI or lexical form of the first object, or `default`."""
        return next(iter(self.texts(subject, prefixed)), default)

    def types(self, subject: str) -> set[str]:
        return {term.value for term in self.properties(subject).get(TYPE, [])}

    def instances(self, prefixed: str) -> list[str]:
        """Return the subjects that have this class."""
        wanted = iri(prefixed)
        return [subject for subject in self if wanted in self.types(subject)]

    def has(self, subject: str, predicate: str, term: Term) -> bool:
        return term in self.properties(subject).get(predicate, [])

    def triples(self, only: Container[str] | None = None) -> Iterator[ox.Triple]:
        """Yield triples by subject, classes first; all of them, or those of some subjects."""
        for subject, properties in self._subjects.items():
            if only is not None and subject not in only:
                continue
            node = ox.NamedNode(subject)
            for predicate in sorted(properties, key=lambda name: (name != TYPE, name)):
                for term in properties[predicate]:
                    yield ox.Triple(node, ox.NamedNode(predicate), term)


def turtle(triples: Iterable[ox.Triple]) -> bytes:
    return _serialised(triples, ox.RdfFormat.TURTLE)


def nquads(triples: Iterable[ox.Triple], run: str) -> bytes:
    """Return N-Quads in the named graph whose name is the run's."""
    name = ox.NamedNode(run)
    quads = (ox.Quad(t.subject, t.predicate, t.object, name) for t in triples)
    return _serialised(quads, ox.RdfFormat.N_QUADS)


def as_nquads(ntriples: bytes, run: str) -> bytes:
    """Return N-Triples, of one triple a line, as N-Quads in the graph of the run's name."""
    return ntriples.replace(b" .\n", f" <{run}> .\n".encode())


def _serialised(items: Iterable[ox.Triple] | Iterable[ox.Quad], form: ox.RdfFormat) -> bytes:
    # The prefix id: would only lengthen its names: Turtle has / escaped in them.
    prefixes = {name: base for name, base in PREFIXES.items() if name != "id"}
    return ox.serialize(items, format=form, prefixes=prefixes) or b""
