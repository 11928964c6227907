"""What follows from a run's graph and is not stored, for export and for SHACL.

* What has `prov:value` and `provml:ofAttribute` is a `provml:AttributeValue`.
* A qualified association's agent and plan stand on the activity too, as `prov:wasAssociatedWith`
  and `provml:executes`.
* `provml:isPartOf` is a `dcterms:isPartOf`.
* A hyperparameter's value has `mls:specifiedBy` and `mls:hasValue`.
* Whatever is of a class is of the classes above it in PROV-O, PROV-ML and ML-Schema.  ProvONE's are
  left to whoever reasons with ``alignments.ttl``: they would be a triple for most nodes.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from manager.ontology import turtle
from manager.vocabulary import PREFIXES

if TYPE_CHECKING:
    from rdflib import Graph
    from rdflib.term import Node, URIRef

MATERIALISED = ("prov", "provml", "sprov", "mls")
"""Prefixes of superclasses that `complete` states."""


def complete(graph: Graph) -> Graph:
    """Add what follows to `graph`, and return it.  Doing so twice adds nothing."""
    _add_values(graph)
    _add_associations(graph)
    for part, whole in graph.subject_objects(_iri("provml:isPartOf")):
        graph.add((part, _iri("dcterms:isPartOf"), whole))
    _add_settings(graph)
    _add_superclasses(graph)
    return graph


def _iri(prefixed: str) -> URIRef:
    from rdflib import URIRef

    prefix, _, local = prefixed.partition(":")
    return URIRef(PREFIXES[prefix] + local)


def _add_values(graph: Graph) -> None:
    value = _iri("prov:value")
    for entity in set(graph.subjects(_iri("provml:ofAttribute"))):
        if (entity, value, None) in graph:
            graph.add((entity, _iri("rdf:type"), _iri("provml:AttributeValue")))


def _add_associations(graph: Graph) -> None:
    implied = (
        (_iri("prov:agent"), _iri("prov:wasAssociatedWith")),
        (_iri("prov:hadPlan"), _iri("provml:executes")),
    )
    for activity, association in graph.subject_objects(_iri("prov:qualifiedAssociation")):
        for qualified, plain in implied:
            for end in graph.objects(association, qualified):
                graph.add((activity, plain, end))


def _add_settings(graph: Graph) -> None:
    implied = (
        (_iri("provml:ofAttribute"), _iri("mls:specifiedBy")),
        (_iri("prov:value"), _iri("mls:hasValue")),
    )
    for kind in ("provml:LearningHyperparameterValue", "provml:ModelHyperparameterValue"):
        for setting in graph.subjects(_iri("rdf:type"), _iri(kind)):
            for stored, derived in implied:
                for end in graph.objects(setting, stored):
                    graph.add((setting, derived, end))


def _add_superclasses(graph: Graph) -> None:
    type_of = _iri("rdf:type")
    above = superclasses()
    for subject, kind in list(graph.subject_objects(type_of)):
        for superclass in above.get(kind, ()):
            graph.add((subject, type_of, superclass))


@cache
def superclasses() -> dict[Node, frozenset[Node]]:
    """Return the classes above each class of the ontology, all the way up."""
    from rdflib import RDFS, Graph

    ontology = Graph()
    for name in ("prov-ml", "sprov", "alignments"):
        ontology.parse(data=turtle(name), format="turtle")
    stated = tuple(PREFIXES[prefix] for prefix in MATERIALISED)
    return {
        kind: frozenset(
            above
            for above in ontology.transitive_objects(kind, RDFS.subClassOf)
            if above is not None and above != kind and str(above).startswith(stated)
        )
        for kind in set(ontology.subjects(RDFS.subClassOf))
    }
