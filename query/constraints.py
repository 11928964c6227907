"""Constraints of PROV that queries check of one run: order of events, one generation, no cycles.

Source: W3C PROV-CONSTRAINTS (30 April 2013); numbers are its constraints'.  Those of types and of
counts (28, 29, 50, 55) are shapes in ``manager/ontology/shapes.ttl``.  Associations are no keys in
a store: what goes out has one for each execution (`query.export.associations`).

Times are each host's own, so events of two executions are out of order only if they are so by more
than `TOLERANCE_S`.  The start and the end of one execution come from one clock, which does not go
back, and are compared as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from .engine import Engine

TOLERANCE_S = 1.0
"""How far clocks of a cluster's hosts may be apart, seconds: far more than NTP leaves."""


class Constraint(NamedTuple):
    source: str
    path: str
    """The property that breaks it, prefixed."""
    reason: str
    query: str
    """SELECT of ``?node`` and, if another has a part in it, ``?other``; ``{run}`` is filled in."""


_MEMBER = """?agent sprov:run <{run}> . ?association prov:agent ?agent .
  ?a prov:qualifiedAssociation ?association ."""
# Only ever taken off: pyoxigraph 0.5.13 may swap the two sides of +, and has no value for a
# duration plus a time.
_SLACK = f'"PT{TOLERANCE_S:g}S"^^xsd:dayTimeDuration'
# What is known by a name alone can be made again: a data set, a reference without version.
_ONE_VERSION = """FILTER NOT EXISTS {{
    VALUES ?named {{ provml:LearningDataSetReference provml:FeatureSetData }} ?e a ?named }}
  FILTER NOT EXISTS {{ ?e a provml:DataReference
    FILTER NOT EXISTS {{ ?e sprov:version ?version }} }}"""

CONSTRAINTS = (
    Constraint(
        "PROV-CONSTRAINTS 30 start-precedes-end",
        "prov:endedAtTime",
        "it ended before it started",
        f"""SELECT DISTINCT (?a AS ?node) {{{{ {_MEMBER}
  ?a prov:startedAtTime ?start ; prov:endedAtTime ?end FILTER(?end < ?start) }}}}""",
    ),
    Constraint(
        "sprov part-within-whole",
        "provml:isPartOf",
        "it started before what it is part of",
        f"""SELECT DISTINCT (?a AS ?node) (?whole AS ?other) {{{{ {_MEMBER}
  ?a prov:startedAtTime ?start ; provml:isPartOf ?whole . ?whole prov:startedAtTime ?from
  FILTER(?start < ?from - {_SLACK}) }}}}""",
    ),
    Constraint(
        "sprov part-within-whole",
        "provml:isPartOf",
        "it ended after what it is part of",
        f"""SELECT DISTINCT (?a AS ?node) (?whole AS ?other) {{{{ {_MEMBER}
  ?a prov:endedAtTime ?end ; provml:isPartOf ?whole . ?whole prov:endedAtTime ?to
  FILTER(?to < ?end - {_SLACK}) }}}}""",
    ),
    Constraint(
        "PROV-CONSTRAINTS 33 usage-within-activity",
        "prov:qualifiedUsage",
        "it used something before it started or after it ended",
        f"""SELECT DISTINCT (?a AS ?node) (?e AS ?other) {{{{ {_MEMBER}
  ?a prov:qualifiedUsage ?usage ; prov:startedAtTime ?start . ?usage prov:atTime ?at
  OPTIONAL {{{{ ?usage prov:entity ?e }}}} OPTIONAL {{{{ ?a prov:endedAtTime ?end }}}}
  FILTER(?at < ?start - {_SLACK} || (BOUND(?end) && ?end < ?at - {_SLACK})) }}}}""",
    ),
    Constraint(
        "PROV-CONSTRAINTS 37 generation-precedes-usage",
        "prov:used",
        "it used what was not there yet: it ended before what generated that had started",
        f"""SELECT DISTINCT (?a AS ?node) (?e AS ?other) {{{{ {_MEMBER}
  ?a prov:used ?e . ?e prov:wasGeneratedBy ?maker . ?maker prov:startedAtTime ?from .
  ?a prov:endedAtTime ?end FILTER(?end < ?from - {_SLACK}) {_ONE_VERSION} }}}}""",
    ),
    Constraint(
        "PROV-CONSTRAINTS 23 key-properties",
        "prov:qualifiedUsage",
        "its usage is another execution's too: one usage is of one execution",
        f"""SELECT DISTINCT (?a AS ?node) (?b AS ?other) {{{{ {_MEMBER}
  ?a prov:qualifiedUsage ?usage . ?b prov:qualifiedUsage ?usage FILTER(?a != ?b) }}}}""",
    ),
    Constraint(
        "PROV-CONSTRAINTS 23 key-properties",
        "prov:qualifiedGeneration",
        "its generation is another thing's too: one generation is of one thing",
        f"""SELECT DISTINCT (?e AS ?node) (?f AS ?other) {{{{ {_MEMBER}
  ?generation prov:activity ?a . ?e prov:qualifiedGeneration ?generation .
  ?f prov:qualifiedGeneration ?generation FILTER(?e != ?f) }}}}""",
    ),
    Constraint(
        "PROV-CONSTRAINTS 24 unique-generation",
        "prov:qualifiedGeneration",
        "one execution generated it twice (a store of an earlier version: `sprov rebuild`)",
        f"""SELECT DISTINCT (?e AS ?node) (?a AS ?other) {{{{ {_MEMBER}
  ?one prov:activity ?a . ?e prov:qualifiedGeneration ?one, ?two .
  ?two prov:activity ?a FILTER(?one != ?two) }}}}""",
    ),
    Constraint(
        "PROV-CONSTRAINTS 39 generation-generation-ordering",
        "prov:wasGeneratedBy",
        "it was generated a second time, by an execution that has no part in the first",
        f"""SELECT DISTINCT (?e AS ?node) (?b AS ?other) {{{{ {_MEMBER}
  ?e prov:wasGeneratedBy ?a . ?e prov:wasGeneratedBy ?b FILTER(?a != ?b) {_ONE_VERSION}
  FILTER NOT EXISTS {{{{ ?a provml:isPartOf+ ?b }}}}
  FILTER NOT EXISTS {{{{ ?b provml:isPartOf+ ?a }}}} }}}}""",
    ),
    Constraint(
        "PROV-CONSTRAINTS 42 derivation-generation-generation-ordering",
        "prov:wasDerivedFrom",
        "it was derived from what was not there yet: it was made before that was begun",
        f"""SELECT DISTINCT (?e AS ?node) (?f AS ?other) {{{{ {_MEMBER}
  ?e prov:wasGeneratedBy ?a ; prov:wasDerivedFrom ?f . ?a prov:endedAtTime ?end .
  ?f prov:wasGeneratedBy/prov:startedAtTime ?from FILTER(?end < ?from - {_SLACK})
  {_ONE_VERSION} {_ONE_VERSION.replace("?e ", "?f ")} }}}}""",
    ),
    Constraint(
        "PROV-CONSTRAINTS 52 impossible-specialization-reflexive",
        "prov:specializationOf",
        "it is a specialization of itself",
        f"""SELECT DISTINCT (?e AS ?node) {{{{ {_MEMBER}
  {{{{ ?a prov:used ?e }}}} UNION {{{{ ?e prov:wasGeneratedBy ?a }}}}
  ?e prov:specializationOf ?e }}}}""",
    ),
)

CYCLE = Constraint(
    "PROV-CONSTRAINTS 42 derivation-generation-generation-ordering",
    "prov:wasDerivedFrom",
    "it was derived from itself",
    f"""SELECT DISTINCT (?e AS ?node) (?source AS ?other) {{{{ {_MEMBER}
  {{{{ ?e prov:wasGeneratedBy ?a }}}} UNION {{{{ ?a prov:used ?e }}}}
  ?e prov:wasDerivedFrom ?source {_ONE_VERSION} }}}}""",
)
_SOURCES = f"""SELECT (?e AS ?node) (?source AS ?other) {{{{ VALUES ?e {{{{ {{iris}} }}}}
  ?e prov:wasDerivedFrom ?source {_ONE_VERSION} }}}}"""
_CHUNK = 1_000

Broken = tuple[str, str]
"""A node, and the other things that have a part in it: IRIs, separated by spaces."""


def broken(engine: Engine, run: str, constraint: Constraint) -> Iterator[Broken]:
    """Yield where a run breaks a constraint.

    Raises:
        QueryError: It takes longer than the engine's limit.
    """
    for row in engine.select(constraint.query.format(run=run)):
        yield row["node"], row.get("other", "")


def cycles(engine: Engine, run: str) -> Iterator[Broken]:
    """Yield each cycle of derivations that can be reached from what a run used or generated."""
    sources: dict[str, list[str]] = {}
    rows = engine.select(CYCLE.query.format(run=run))
    while rows:
        for row in rows:
            sources.setdefault(row["node"], []).append(row["other"])
        todo = sorted({row["other"] for row in rows} - sources.keys())
        sources.update((node, []) for node in todo)
        rows = []
        for first in range(0, len(todo), _CHUNK):
            iris = " ".join(f"<{node}>" for node in todo[first : first + _CHUNK])
            rows.extend(engine.select(_SOURCES.format(iris=iris)))
    for cycle in find_cycles(sources):
        yield cycle[0], " ".join(cycle[1:])


def find_cycles(sources: dict[str, list[str]]) -> Iterator[list[str]]:
    """Yield a cycle for each edge that closes one, depth first; none for a graph without.

    Args:
        sources: Node to the nodes that it leads to.
    """
    done: set[str] = set()
    for root in sources:
        path: dict[str, Iterable[str]] = {}
        following = None if root in done else root
        while following is not None or path:
            if following is not None:
                path[following] = iter(sources.get(following, ()))
            last = next(reversed(path))
            following = next((node for node in path[last] if node not in done), None)
            if following in path:
                nodes = list(path)
                yield nodes[nodes.index(following) :]
                following = None
            elif following is None:
                done.add(last)
                del path[last]
