"""How PROV-O's terms are said in PROV-DM, shared by those who write and read PROV documents.

Source: W3C PROV-O section 3.3 and table 2 (qualified influences), PROV-N section 3.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from prov import constants as c
from prov.identifier import Namespace, QualifiedName
from prov.model import ProvDocument

from manager.vocabulary import PREFIXES

PROV = PREFIXES["prov"]


class Relation(NamedTuple):
    """A PROV-O property that a PROV-DM relation stands for; names are local names of ``prov:``."""

    record: QualifiedName
    subject: QualifiedName
    object: QualifiedName
    qualified: str = ""
    """Property of the subject whose object is the influence; empty for a relation without one."""
    influence: str = ""
    """Class of the influence."""
    influencer: str = ""
    """Property of the influence whose object is the relation's object."""


RELATIONS = {
    "used": Relation(
        c.PROV_USAGE, c.PROV_ATTR_ACTIVITY, c.PROV_ATTR_ENTITY, "qualifiedUsage", "Usage", "entity"
    ),
    "wasGeneratedBy": Relation(
        c.PROV_GENERATION, c.PROV_ATTR_ENTITY, c.PROV_ATTR_ACTIVITY, "qualifiedGeneration",
        "Generation", "activity",
    ),
    "wasInvalidatedBy": Relation(
        c.PROV_INVALIDATION, c.PROV_ATTR_ENTITY, c.PROV_ATTR_ACTIVITY, "qualifiedInvalidation",
        "Invalidation", "activity",
    ),
    "wasInformedBy": Relation(
        c.PROV_COMMUNICATION, c.PROV_ATTR_INFORMED, c.PROV_ATTR_INFORMANT,
        "qualifiedCommunication", "Communication", "activity",
    ),
    "wasStartedBy": Relation(
        c.PROV_START, c.PROV_ATTR_ACTIVITY, c.PROV_ATTR_TRIGGER, "qualifiedStart", "Start",
        "entity",
    ),
    "wasEndedBy": Relation(
        c.PROV_END, c.PROV_ATTR_ACTIVITY, c.PROV_ATTR_TRIGGER, "qualifiedEnd", "End", "entity"
    ),
    "wasDerivedFrom": Relation(
        c.PROV_DERIVATION, c.PROV_ATTR_GENERATED_ENTITY, c.PROV_ATTR_USED_ENTITY,
        "qualifiedDerivation", "Derivation", "entity",
    ),
    "wasAttributedTo": Relation(
        c.PROV_ATTRIBUTION, c.PROV_ATTR_ENTITY, c.PROV_ATTR_AGENT, "qualifiedAttribution",
        "Attribution", "agent",
    ),
    "wasAssociatedWith": Relation(
        c.PROV_ASSOCIATION, c.PROV_ATTR_ACTIVITY, c.PROV_ATTR_AGENT, "qualifiedAssociation",
        "Association", "agent",
    ),
    "actedOnBehalfOf": Relation(
        c.PROV_DELEGATION, c.PROV_ATTR_DELEGATE, c.PROV_ATTR_RESPONSIBLE, "qualifiedDelegation",
        "Delegation", "agent",
    ),
    "wasInfluencedBy": Relation(
        c.PROV_INFLUENCE, c.PROV_ATTR_INFLUENCEE, c.PROV_ATTR_INFLUENCER, "qualifiedInfluence",
        "Influence", "influencer",
    ),
    "specializationOf": Relation(
        c.PROV_SPECIALIZATION, c.PROV_ATTR_SPECIFIC_ENTITY, c.PROV_ATTR_GENERAL_ENTITY
    ),
    "alternateOf": Relation(c.PROV_ALTERNATE, c.PROV_ATTR_ALTERNATE1, c.PROV_ATTR_ALTERNATE2),
    "hadMember": Relation(c.PROV_MEMBERSHIP, c.PROV_ATTR_COLLECTION, c.PROV_ATTR_ENTITY),
}  # fmt: skip
"""Local name of the PROV-O property to the relation."""

FORMAL = {
    c.PROV_ATTR_TIME: "atTime",
    c.PROV_ATTR_PLAN: "hadPlan",
    c.PROV_ATTR_GENERATION: "hadGeneration",
    c.PROV_ATTR_USAGE: "hadUsage",
    c.PROV_ATTR_ACTIVITY: "hadActivity",
    c.PROV_ATTR_STARTER: "hadActivity",
    c.PROV_ATTR_ENDER: "hadActivity",
}
"""Other formal attributes of a relation, as properties of its influence."""

ATTRIBUTES = {
    c.PROV_TYPE: PREFIXES["rdf"] + "type",
    c.PROV_LABEL: PREFIXES["rdfs"] + "label",
    c.PROV_LOCATION: PROV + "atLocation",
    c.PROV_ROLE: PROV + "hadRole",
    c.PROV_VALUE: PROV + "value",
}
"""PROV-DM's own attributes, as properties; all others are properties by their own name."""

ELEMENTS = {c.PROV_ENTITY: "Entity", c.PROV_ACTIVITY: "Activity", c.PROV_AGENT: "Agent"}

STATEMENT = PREFIXES["sprov"] + "statement"
"""Attribute of an element: predicate and object, in N-Triples, that no attribute can carry."""
IMPLIED = PREFIXES["sprov"] + "implied"
"""Attribute of a relation: its plain statement follows from others and is not one of the graph."""
INFLUENCE = PREFIXES["sprov"] + "influence"
"""Attribute of a relation: the IRI of its influence, where several relations share it."""
WHOLE = PREFIXES["sprov"] + "WholeGraph"
"""Class of the element which says that the document has a graph in full, classes and all, so that
nothing is to be added to it."""

_LOCAL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*[A-Za-z0-9_]|[A-Za-z0-9_]")


class Names:
    """Qualified names for IRIs, in namespaces that the document declares."""

    def __init__(self, document: ProvDocument) -> None:
        self._document = document
        self._namespaces: dict[str, Namespace] = {PROV: c.PROV, PREFIXES["xsd"]: c.XSD}
        for prefix, base in PREFIXES.items():
            if base not in self._namespaces:
                self._declare(prefix, base)
        self._known: dict[str, QualifiedName] = {}

    def qualified(self, iri: str) -> QualifiedName:
        found = self._known.get(iri)
        if found is None:
            base, local = _split(iri)
            namespace = self._namespaces.get(base) or self._declare("", base)
            found = self._known[iri] = QualifiedName(namespace, local)
        return found

    def _declare(self, prefix: str, base: str) -> Namespace:
        prefix = prefix or f"ns{len(self._namespaces)}"
        found = self._namespaces[base] = self._document.add_namespace(prefix, base)
        return found


def _split(iri: str) -> tuple[str, str]:
    """Return namespace and a local name that needs no escapes in any notation."""
    if iri.startswith(PREFIXES["id"]):
        kind, slash, local = iri.removeprefix(PREFIXES["id"]).partition("/")
        if slash and kind.isalnum() and kind.isascii() and _LOCAL.fullmatch(local):
            return PREFIXES["id"], f"{kind}/{local}"
    at = max(iri.rfind(mark) for mark in "#/:") + 1
    if _LOCAL.fullmatch(iri, at):
        return iri[:at], iri[at:]
    word = re.search(r"[A-Za-z0-9_]*\Z", iri)
    at = word.start() if word else len(iri)
    return iri[:at], iri[at:]
