"""Classes that the vocabularies have, and which of them exclude each other."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import pyoxigraph as ox

import manager
from manager.vocabulary import PREFIXES


def iri(prefixed: str) -> str:
    prefix, _, local = prefixed.partition(":")
    return PREFIXES[prefix] + local


OWN = (PREFIXES["provml"], PREFIXES["sprov"])
"""Namespaces in which only what the ontology defines may be used as a class."""

_OWL = "http://www.w3.org/2002/07/owl#"
_RDFS = PREFIXES["rdfs"]
_ABOVE = {
    iri(f"prov:{name}"): {iri(f"prov:{above}")}
    for name, above in {
        "Plan": "Entity", "Collection": "Entity", "EmptyCollection": "Collection",
        "Bundle": "Entity", "Person": "Agent", "Organization": "Agent", "SoftwareAgent": "Agent",
    }.items()
}  # fmt: skip
"""Of PROV-O itself, which the ontology need not repeat."""


class Ontology:
    """What ``manager/ontology/*.ttl`` says of classes."""

    def __init__(self, quads: list[ox.Quad]) -> None:
        self._classes: set[str] = set()
        self._above = {name: set(above) for name, above in _ABOVE.items()}
        self._disjoint = {(iri("prov:Activity"), iri("prov:Entity"))}
        for quad in quads:
            if isinstance(quad.subject, ox.NamedNode) and isinstance(quad.object, ox.NamedNode):
                self._learn(quad.subject.value, quad.predicate.value, quad.object.value)

    def _learn(self, subject: str, predicate: str, obj: str) -> None:
        if predicate == iri("rdf:type") and obj in (_OWL + "Class", _RDFS + "Class"):
            self._classes.add(subject)
        elif predicate == _RDFS + "subClassOf":
            self._above.setdefault(subject, set()).add(obj)
        elif predicate == _OWL + "disjointWith":
            self._disjoint.add((subject, obj))

    def has(self, name: str) -> bool:
        """Tell whether a class exists, as far as it is ours to say."""
        return not name.startswith(OWN) or name in self._classes

    def clash(self, classes: set[str]) -> tuple[str, str] | None:
        """Return two classes that exclude each other, of these and those above them, if any do."""
        found: set[str] = set()
        todo = list(classes)
        while todo:
            name = todo.pop()
            if name not in found:
                found.add(name)
                todo.extend(self._above.get(name, ()))
        for one, other in sorted(self._disjoint):
            if one in found and other in found:
                return one, other
        return None


@lru_cache(maxsize=1)
def ontology() -> Ontology:
    """Read the ontology that the manager serves."""
    folder = Path(manager.__file__).parent / "ontology"
    quads: list[ox.Quad] = []
    for path in sorted(folder.glob("*.ttl")):
        quads.extend(ox.parse(input=path.read_bytes(), format=ox.RdfFormat.TURTLE))
    return Ontology(quads)
