"""A run as a PROV document (PROV-JSON, PROV-N), from which its graph can be read back exactly.

Activities, agents and entities are elements, and PROV-O's properties between them are relations.
Usages, generations and associations are the identifiers of their relations; one that several
subjects share is named by an attribute of each.  All other triples are attributes of their subject.
A subject that is none of PROV's elements, such as a location, is an entity, and its class is said
as ``prov:type`` and no other: `terms.WHOLE` tells a reader to add none.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

import pyoxigraph as ox
from prov import constants as c
from prov.identifier import QualifiedName
from prov.model import Literal, ProvDocument

from manager.vocabulary import PREFIXES

from .graph import TYPE, Graph, Term, iri
from .terms import (
    ATTRIBUTES,
    IMPLIED,
    INFLUENCE,
    PROV,
    RELATIONS,
    STATEMENT,
    WHOLE,
    Names,
    Relation,
)

_AGENTS = {
    iri(n)
    for n in (
        "prov:Agent",
        "prov:SoftwareAgent",
        "prov:Person",
        "prov:Organization",
        "provml:Persona",
    )
}
_ACTIVITY = iri("prov:Activity")
_STARTED, _ENDED = iri("prov:startedAtTime"), iri("prov:endedAtTime")
_XSD = PREFIXES["xsd"]
_OWN = {iri: name for name, iri in ATTRIBUTES.items()}
_RESERVED = {name.uri for name in (*c.PROV_ATTRIBUTES, *ATTRIBUTES)} - {PROV + "value"}
_RESERVED |= {STATEMENT, IMPLIED, INFLUENCE}

_TIME = re.compile(
    r"[12]\d{3}-\d\d-\d\dT([01]\d|2[0-3]):\d\d:\d\d(\.\d{1,6})?(Z|[+-](0\d|1[0-3]):\d\d)"
)
_INTEGER = re.compile(r"[+-]?[0-9]+")
_KEPT = {
    _XSD + "dateTime": _TIME,
    _XSD + "integer": _INTEGER,
    _XSD + "int": _INTEGER,
    _XSD + "long": _INTEGER,
    _XSD + "double": re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?|-?INF|NaN", re.ASCII),
    _XSD + "boolean": re.compile(r"true|false|0|1"),
    PROV + "QUALIFIED_NAME": re.compile(r"(?!)"),
    _XSD + "QName": re.compile(r"(?!)"),
}
"""Lexical forms that `prov` reads and writes without a change of value, where it reads any."""
_PLAIN_TEXT = re.compile(r"[^\x00-\x08\x0b-\x1f\x7f\ufffe\uffff]*")


def prov_document(graph: Graph) -> ProvDocument:
    """Return the document of a run's graph."""
    return _Writing(graph).document


class _Writing:
    def __init__(self, graph: Graph) -> None:
        self.document = ProvDocument()
        self._graph = graph
        self._names = Names(self.document)
        self._said: set[tuple[str, str, Term]] = set()
        """Triples that a relation carries."""
        self._sharers = self._count_sharers()
        for subject in graph:
            self._relations(subject)
        for subject in graph:
            self._element(subject)
        self._communications()
        self._mark()

    def _count_sharers(self) -> dict[str, int]:
        """Return how many subjects each influence qualifies."""
        count: dict[str, int] = defaultdict(int)
        qualified = [PROV + relation.qualified for relation in RELATIONS.values()]
        for subject in self._graph:
            for predicate in qualified:
                for term in self._graph.properties(subject).get(predicate, []):
                    count[term.value] += 1
        return count

    def _relations(self, subject: str) -> None:
        properties = self._graph.properties(subject)
        for name, relation in RELATIONS.items():
            if relation.qualified:
                for term in properties.get(PROV + relation.qualified, []):
                    self._qualified(subject, name, relation, term)
            for term in properties.get(PROV + name, []):
                said = (subject, PROV + name, term)
                if isinstance(term, ox.NamedNode) and said not in self._said:
                    self._said.add(said)
                    self._relate(relation, subject, term.value)

    def _qualified(self, subject: str, name: str, relation: Relation, node: Term) -> None:
        """Write a relation for an influence, if it is one that a relation can say in full."""
        found = self._graph.properties(node.value)
        influencers = found.get(PROV + relation.influencer, [])
        classed = ox.NamedNode(PROV + relation.influence) in found.get(TYPE, [])
        if not classed or len(influencers) != 1 or not isinstance(influencers[0], ox.NamedNode):
            return
        plain = self._graph.has(subject, PROV + name, influencers[0])
        shared = self._sharers[node.value] > 1
        if not shared and not plain and name != "wasAssociatedWith":
            return
        self._said.add((subject, PROV + relation.qualified, node))
        self._note(node.value, PROV + relation.influencer, TYPE, PROV + relation.influence)
        if plain:
            self._said.add((subject, PROV + name, influencers[0]))
        formal = self._formal(node.value, name)
        extra: list[tuple[QualifiedName, Any]]
        if shared:
            extra = [(self._names.qualified(INFLUENCE), self._names.qualified(node.value))]
        else:
            extra = self._attributes(node.value)
            self._said.update((node.value, p, o) for p, objects in found.items() for o in objects)
        if not plain:
            extra.append((self._names.qualified(IMPLIED), True))
        identifier = None if shared else node.value
        self._relate(relation, subject, influencers[0].value, identifier, formal, extra)

    def _note(self, node: str, influencer: str, type_: str, influence: str) -> None:
        for term in self._graph.properties(node)[influencer]:
            self._said.add((node, influencer, term))
        self._said.add((node, type_, ox.NamedNode(influence)))

    def _formal(self, node: str, name: str) -> dict[QualifiedName, Any]:
        """Return an influence's time or plan, and note that it is said."""
        found: dict[QualifiedName, Any] = {}
        properties = self._graph.properties(node)
        times = properties.get(PROV + "atTime", [])
        if name in ("used", "wasGeneratedBy", "wasInvalidatedBy") and _is_time(times):
            found[c.PROV_ATTR_TIME] = times[0].value
            self._said.add((node, PROV + "atTime", times[0]))
        plans = properties.get(PROV + "hadPlan", [])
        if name == "wasAssociatedWith" and len(plans) == 1 and isinstance(plans[0], ox.NamedNode):
            found[c.PROV_ATTR_PLAN] = self._names.qualified(plans[0].value)
            self._said.add((node, PROV + "hadPlan", plans[0]))
        return found

    def _relate(
        self,
        relation: Relation,
        subject: str,
        obj: str,
        identifier: str | None = None,
        formal: dict[QualifiedName, Any] | None = None,
        extra: list[tuple[QualifiedName, Any]] | None = None,
    ) -> None:
        ends: dict[Any, Any] = {
            relation.subject: self._names.qualified(subject),
            relation.object: self._names.qualified(obj),
        }
        ends.update(formal or {})
        name = self._names.qualified(identifier) if identifier else None
        self.document.new_record(relation.record, name, ends, extra or [])

    def _element(self, subject: str) -> None:
        types = self._graph.types(subject)
        formal: dict[QualifiedName, Any] = {}
        kind = c.PROV_ENTITY
        if _ACTIVITY in types:
            kind = c.PROV_ACTIVITY
            for predicate, attribute in (
                (_STARTED, c.PROV_ATTR_STARTTIME),
                (_ENDED, c.PROV_ATTR_ENDTIME),
            ):
                times = self._graph.properties(subject).get(predicate, [])
                if _is_time(times):
                    formal[attribute] = times[0].value
                    self._said.add((subject, predicate, times[0]))
        elif types & _AGENTS:
            kind = c.PROV_AGENT
        attributes = self._attributes(subject)
        if attributes or formal:
            self.document.new_record(kind, self._names.qualified(subject), formal, attributes)

    def _attributes(self, subject: str) -> list[tuple[QualifiedName, Any]]:
        """Return what is not said of a subject yet, as attributes."""
        return [
            self._attribute(predicate, term)
            for predicate, terms in self._graph.properties(subject).items()
            for term in terms
            if (subject, predicate, term) not in self._said
        ]

    def _attribute(self, predicate: str, term: Term) -> tuple[QualifiedName, Any]:
        value = self._value(term)
        if value is None or predicate in _RESERVED:
            statement = f"<{predicate}> {term}"
            return self._names.qualified(STATEMENT), statement
        return _OWN.get(predicate) or self._names.qualified(predicate), value

    def _value(self, term: Term) -> Any:
        """Return a term as `prov` has it, or None if it would not come out of `prov` the same."""
        if isinstance(term, ox.NamedNode):
            return self._names.qualified(term.value)
        datatype = term.datatype.value
        kept = _KEPT.get(datatype, _PLAIN_TEXT)
        if not kept.fullmatch(term.value):
            return None
        if term.language:
            return Literal(term.value, langtag=term.language)
        if datatype == _XSD + "string":
            return term.value
        return Literal(term.value, self._names.qualified(datatype))

    def _communications(self) -> None:
        """An activity that used what another generated was informed by it."""
        makers = {
            subject: self._graph.texts(subject, "prov:wasGeneratedBy") for subject in self._graph
        }
        for subject in self._graph:
            informants = {
                maker
                for used in self._graph.texts(subject, "prov:used")
                for maker in makers.get(used, [])
                if maker != subject
            }.difference(self._graph.texts(subject, "prov:wasInformedBy"))
            for informant in sorted(informants):
                implied: list[tuple[QualifiedName, Any]] = [(self._names.qualified(IMPLIED), True)]
                relation = RELATIONS["wasInformedBy"]
                self._relate(relation, subject, informant, None, None, implied)

    def _mark(self) -> None:
        about = [
            (c.PROV_TYPE, self._names.qualified(WHOLE)),
            (self._names.qualified(iri("sprov:run")), self._names.qualified(self._graph.run)),
        ]
        name = f"{self._graph.run.replace('/run/', '/document/')}"
        self.document.new_record(c.PROV_ENTITY, self._names.qualified(name), {}, about)


def _is_time(terms: list[Term]) -> bool:
    """Tell whether there is one time, of the kind that `prov` keeps."""
    return (
        len(terms) == 1
        and isinstance(terms[0], ox.Literal)
        and terms[0].datatype.value == _XSD + "dateTime"
        and bool(_TIME.fullmatch(terms[0].value))
    )
