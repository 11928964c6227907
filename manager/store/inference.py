"""What follows from a graph by rule and is not stored, since it would be triples for every value.

`infer` adds what exports have and shapes are checked on:

* what has `prov:value` and `provml:ofAttribute` is a `provml:AttributeValue`, and has the
  attribute's name and the value as its label;
* a qualified association's agent and plan stand on the activity too, as `prov:wasAssociatedWith`
  and `provml:executes`;
* `provml:isPartOf` is a `dcterms:isPartOf`;
* a hyperparameter's value has `mls:specifiedBy` and `mls:hasValue`;
* whatever is of a class is of the classes above it in PROV-O, PROV-ML and ML-Schema.  ProvONE's
  are left to whoever reasons with ``alignments.ttl``: they would be a triple for most nodes.

`infer_times` adds to queries the times of runs, attempts and collectives: the least start of their
parts, and the greatest end once all have one.  They change while a run goes on, so nothing that is
stored or goes out has them.
"""

from __future__ import annotations

from functools import cache

import pyoxigraph as ox

from ..ontology import turtle
from ..vocabulary import PREFIXES, TYPE

LABEL_CHARACTERS = 80
"""Of a value, in its label."""
MATERIALISED = ("prov", "provml", "sprov", "mls")
"""Prefixes of superclasses that `infer` states."""

_SETTING = """{ VALUES ?kind { provml:LearningHyperparameterValue provml:ModelHyperparameterValue }
    ?s a ?kind ;"""
_RULES = (
    "INSERT { ?v a provml:AttributeValue } WHERE { ?v provml:ofAttribute ?at ; prov:value ?x }",
    f"""INSERT {{ ?v rdfs:label ?label }} WHERE {{
      ?v provml:ofAttribute ?at ; prov:value ?x . ?at rdfs:label ?name
      FILTER NOT EXISTS {{ ?v rdfs:label ?own }}
      BIND(CONCAT(STR(?name), " = ", SUBSTR(STR(?x), 1, {LABEL_CHARACTERS})) AS ?label) }}""",
    """INSERT { ?a prov:wasAssociatedWith ?who } WHERE {
      ?a prov:qualifiedAssociation ?q . ?q prov:agent ?who }""",
    """INSERT { ?a provml:executes ?plan } WHERE {
      ?a prov:qualifiedAssociation ?q . ?q prov:hadPlan ?plan }""",
    "INSERT { ?part dcterms:isPartOf ?whole } WHERE { ?part provml:isPartOf ?whole }",
    f"INSERT {{ ?s mls:specifiedBy ?at }} WHERE {_SETTING} provml:ofAttribute ?at }}",
    f"INSERT {{ ?s mls:hasValue ?x }} WHERE {_SETTING} prov:value ?x }}",
)

_PARTS = {
    "provml:LearningExperimentExecution": "?part a provml:WorkflowExecution ; "
    "provml:isPartOf ?attempt . ?attempt a sprov:Attempt ; provml:isPartOf ?whole .",
    "sprov:Attempt": "?part a provml:WorkflowExecution ; provml:isPartOf ?whole .",
    "sprov:Collective": "?part provml:isPartOf ?whole ; prov:startedAtTime ?any "
    "FILTER NOT EXISTS { ?part a sprov:Collective }",
}
"""A class of wholes without times, and how parts that have some are found."""
_START = """INSERT {{ ?whole prov:startedAtTime ?time }} WHERE {{
  {{ SELECT ?whole (MIN(?start) AS ?time) {{
    ?whole a {kind} . {parts} ?part prov:startedAtTime ?start
    FILTER NOT EXISTS {{ ?whole prov:startedAtTime ?own }} }} GROUP BY ?whole }} }}"""
_END = """INSERT {{ ?whole prov:endedAtTime ?time }} WHERE {{
  {{ SELECT ?whole (MAX(?end) AS ?time) {{
    ?whole a {kind} . {parts}
    OPTIONAL {{ ?part prov:endedAtTime ?ended }} OPTIONAL {{ ?part sprov:outcomeAt ?seen }}
    BIND(COALESCE(?ended, ?seen) AS ?end) FILTER NOT EXISTS {{ ?whole prov:endedAtTime ?own }}
  }} GROUP BY ?whole HAVING(COUNT(*) = COUNT(?end)) }} }}"""


def inferred(store: ox.Store) -> ox.Store:
    """Return all that a store has, and what follows from it, in memory."""
    found = ox.Store()
    found.bulk_extend(store)
    infer(found)
    infer_times(found)
    return found


def infer(store: ox.Store) -> None:
    """Add what follows by rule.  Doing so twice adds nothing."""
    for rule in _RULES:
        store.update(rule, prefixes=PREFIXES)
    type_of = ox.NamedNode(TYPE[1:-1])
    above = superclasses()
    classes = {quad.object.value for quad in store.quads_for_pattern(None, type_of, None)
               if isinstance(quad.object, ox.NamedNode)}  # fmt: skip
    for name in sorted(classes & above.keys()):
        kinds = " , ".join(f"<{kind}>" for kind in sorted(above[name]))
        if kinds:
            store.update(f"INSERT {{ ?s a {kinds} }} WHERE {{ ?s a <{name}> }}")


def infer_times(store: ox.Store) -> None:
    """Add the times of runs, attempts and what all ranks did together."""
    for kind, parts in _PARTS.items():
        for rule in (_START, _END):
            store.update(rule.format(kind=kind, parts=parts), prefixes=PREFIXES)


@cache
def superclasses() -> dict[str, frozenset[str]]:
    """Return the classes above each class of the ontology, all the way up."""
    direct: dict[str, set[str]] = {}
    for name in ("prov-ml", "sprov", "alignments"):
        for quad in ox.parse(input=turtle(name), format=ox.RdfFormat.TURTLE):
            if quad.predicate.value == f"{PREFIXES['rdfs']}subClassOf" and isinstance(
                quad.object, ox.NamedNode
            ):
                direct.setdefault(str(quad.subject.value), set()).add(quad.object.value)
    stated = tuple(PREFIXES[prefix] for prefix in MATERIALISED)
    return {
        name: frozenset(kind for kind in _all_above(name, direct) if kind.startswith(stated))
        for name in direct
    }


def _all_above(name: str, direct: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    todo = [*direct.get(name, ())]
    while todo:
        kind = todo.pop()
        if kind not in found:
            found.add(kind)
            todo.extend(direct.get(kind, ()))
    return found - {name}
