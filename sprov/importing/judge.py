"""What of an import may come in: no control terms, no contradictions, nothing about other runs.

Refused are, each with the node that it is about:

* what the store keeps for itself (`manager.imported`), and triples too long for a record;
* a class in ``provml:`` or ``sprov:`` that the ontology does not have;
* a thing whose classes exclude each other, as ``prov:Activity`` and ``prov:Entity`` do, and a
  relation between things of the wrong kind;
* derivations that form a cycle;
* anything that would add to a thing that the store knows, or make a new thing part, product or
  agent of an activity that it knows.  What the store has already, or what follows from it by rule,
  is no refusal: it is left out.

Source: W3C PROV-CONSTRAINTS, constraints 50 (typing) and 55 (entity and activity are disjoint).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from manager.imported import refusal
from query.components import components

from .ontology import Ontology, iri
from .present import Present
from .statements import MAX_STATEMENT_BYTES, Statement, Statements

TYPE = iri("rdf:type")
ACTIVITY, ENTITY, AGENT = iri("prov:Activity"), iri("prov:Entity"), iri("prov:Agent")

ENDS = {
    iri(f"prov:{name}"): ends
    for name, ends in {
        "used": (ACTIVITY, ENTITY),
        "wasGeneratedBy": (ENTITY, ACTIVITY),
        "wasInvalidatedBy": (ENTITY, ACTIVITY),
        "wasInformedBy": (ACTIVITY, ACTIVITY),
        "wasAssociatedWith": (ACTIVITY, AGENT),
        "wasDerivedFrom": (ENTITY, ENTITY),
        "wasRevisionOf": (ENTITY, ENTITY),
        "wasQuotedFrom": (ENTITY, ENTITY),
        "hadPrimarySource": (ENTITY, ENTITY),
        "specializationOf": (ENTITY, ENTITY),
        "alternateOf": (ENTITY, ENTITY),
        "hadMember": (ENTITY, ENTITY),
        "wasAttributedTo": (ENTITY, AGENT),
        "actedOnBehalfOf": (AGENT, AGENT),
    }.items()
}
"""Relation to the classes of its subject and object."""

DERIVATIONS = {
    iri(f"prov:{name}")
    for name in ("wasDerivedFrom", "wasRevisionOf", "wasQuotedFrom", "hadPrimarySource")
}
BINDING = {
    iri(name)
    for name in (
        "prov:wasGeneratedBy", "prov:wasInvalidatedBy", "prov:activity", "provml:isPartOf",
        "dcterms:isPartOf", "sprov:run",
    )
}  # fmt: skip
"""Properties by which a new thing would change what is known of an activity."""


SHARED = {iri("sprov:Job"), iri("sprov:JobStep")}
"""Activities that many runs are part of, so that another one changes nothing."""


def mentioned(sources: Iterable[Statements]) -> set[str]:
    """Return the IRIs that the store must be asked about, but those that are refused anyway."""
    found = set()
    for source in sources:
        for statement in source.said:
            found.add(statement.subject)
            if statement.target and statement.predicate in (*ENDS, *BINDING):
                found.add(statement.target)
    return {iri for iri in found if len(iri) < MAX_STATEMENT_BYTES}


def judge(sources: list[Statements], ontology: Ontology, present: Present) -> None:
    """Take out of `sources` what may not come in, and what the store has already."""
    for source in sources:
        _keep_loadable(source)
        _keep_known_classes(source, ontology)
    types = _types(sources, present)
    contradictions = {
        node: clash for node, classes in types.items() if (clash := ontology.clash(classes))
    }
    for source in sources:
        _keep_consistent(source, contradictions)
        _keep_related(source, types, ontology)
    looping = _looping(sources)
    for source in sources:
        _keep_acyclic(source, looping)
        _keep_new(source, present)


def _split(source: Statements, reasons: Iterable[tuple[Statement, str | None]]) -> None:
    """Keep triples without a reason; refuse the others, one line for a node and reason."""
    kept = []
    refused: dict[tuple[str, str], int] = defaultdict(int)
    for statement, reason in reasons:
        if reason is None:
            kept.append(statement)
        else:
            refused[statement.subject, reason] += 1
    source.said = kept
    for (node, reason), count in refused.items():
        source.refuse(f"<{node}>", reason if count == 1 else f"{reason} ({count} triples)")


def _keep_loadable(source: Statements) -> None:
    def reason(statement: Statement) -> str | None:
        size = len(str(statement).encode())
        if size > MAX_STATEMENT_BYTES:
            return f"a triple of {size} bytes, {MAX_STATEMENT_BYTES} are allowed"
        return refusal(statement.quad)

    _split(source, [(statement, reason(statement)) for statement in source.said])


def _keep_known_classes(source: Statements, ontology: Ontology) -> None:
    def reason(statement: Statement) -> str | None:
        if statement.predicate != TYPE or ontology.has(statement.object.value):
            return None
        return f"there is no class {statement.object.value}"

    _split(source, [(statement, reason(statement)) for statement in source.said])


def _types(sources: list[Statements], present: Present) -> dict[str, set[str]]:
    """Return the classes of every subject and end of a relation, here and in the store."""
    found: dict[str, set[str]] = {}
    for source in sources:
        for statement in source.said:
            end = statement.target if statement.predicate in ENDS else None
            for node in (statement.subject, end):
                if node is not None and node not in found:
                    found[node] = present.types(node)
            if statement.predicate == TYPE:
                found[statement.subject].add(statement.object.value)
    return found


def _keep_consistent(source: Statements, contradictions: dict[str, tuple[str, str]]) -> None:
    def reason(statement: Statement) -> str | None:
        clash = contradictions.get(statement.subject)
        return f"it can't be both {clash[0]} and {clash[1]}" if clash else None

    _split(source, [(statement, reason(statement)) for statement in source.said])


def _keep_related(source: Statements, types: dict[str, set[str]], ontology: Ontology) -> None:
    def reason(statement: Statement) -> str | None:
        ends = ENDS.get(statement.predicate)
        if ends is None:
            return None
        for node, wanted in zip((statement.subject, statement.target), ends, strict=True):
            if node is None:
                return f"{statement.predicate} of a literal"
            if ontology.clash({*types[node], wanted}):
                return f"{statement.predicate} needs <{node}> to be a {wanted}, and it is none"
        return None

    _split(source, [(statement, reason(statement)) for statement in source.said])


def _keep_acyclic(source: Statements, looping: dict[str, int]) -> None:
    def reason(statement: Statement) -> str | None:
        if statement.predicate not in DERIVATIONS:
            return None
        loop = looping.get(statement.subject)
        same = loop is not None and loop == looping.get(statement.target or "")
        return "its derivations form a cycle" if same else None

    _split(source, [(statement, reason(statement)) for statement in source.said])


def _keep_new(source: Statements, present: Present) -> None:
    knows: dict[str, bool] = {}

    def known(node: str) -> bool:
        if node not in knows:
            knows[node] = present.knows(node)
        return knows[node]

    def reason(statement: Statement) -> str | None:
        predicate, target = statement.predicate, statement.target
        if known(statement.subject):
            return f"the store knows it, and {predicate} would add to it"
        if target is None or predicate not in BINDING:
            return None
        known_types = present.types(target)
        if ACTIVITY in known_types and not known_types & SHARED:
            return f"{predicate} would add to <{target}>, which the store knows"
        return None

    new = [item for item in source.said if not (known(item.subject) and present.says(item))]
    _split(source, [(statement, reason(statement)) for statement in new])


def _looping(sources: list[Statements]) -> dict[str, int]:
    """Return the nodes that are in a cycle of derivations, each with the number of its cycle."""
    links: dict[str, set[str]] = defaultdict(set)
    for source in sources:
        for statement in source.said:
            if statement.predicate in DERIVATIONS:
                links[statement.subject].add(statement.object.value)
    return {
        node: number
        for number, component in enumerate(components(links))
        for node in component
        if len(component) > 1 or node in links[node]
    }
