"""A walk over a store: terms of IRIs, wholes and ranks of activities, and joins by content.

Each level of a walk asks for each term once, for all its IRIs.  Measured with pyoxigraph 0.5.13 at
10 M triples: an IRI costs 4 us to parse and 7 us to look up, and each answer 3 us to decode, by
query, by property path and by pattern alike; a query that joined contents was planned from the
wrong end and took a minute.  So joins are made here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeVar

import pyoxigraph as ox

from pllib.identity import ID_BASE
from pllib.moments import sortable
from pllib.records import MIN_CONTENT_BYTES

from ..vocabulary import term

Direction = Literal["up", "down"]
Relation = Literal[
    "wasGeneratedBy", "used", "isPartOf", "hadMember", "wasDerivedFrom", "sameContent"
]
Pair = tuple[str, str]
Key = TypeVar("Key")

MAX_ENTITIES = 100_000
CHUNK = 2_000

PLAIN = f"{ID_BASE}entity/"
COLLECTIVE = f"{ID_BASE}collective/"
NO_SET = (PLAIN, f"{ID_BASE}file/")
USES_NOTHING = tuple(f"{ID_BASE}{kind}/" for kind in ("attempt", "run", "job", "step"))

GENERATED_BY = f"?x {term('prov:wasGeneratedBy')} ?y"
GENERATED = f"?y {term('prov:wasGeneratedBy')} ?x"
USED = f"?x {term('prov:used')} ?y"
USED_BY = f"?y {term('prov:used')} ?x"
PART_OF = f"?x {term('provml:isPartOf')} ?y"
PARTS = f"?y {term('provml:isPartOf')} ?x"
MEMBERS = f"?x {term('prov:hadMember')} ?y"
MEMBER_OF = f"?y {term('prov:hadMember')} ?x"
DERIVED_FROM = f"?x {term('prov:wasDerivedFrom')} ?y"
DERIVED = (
    f"?y {term('prov:wasDerivedFrom')} ?x "
    f"FILTER NOT EXISTS {{ ?y {term('prov:wasGeneratedBy')} ?z }}"
)
CONTENT = f"?x {term('prov:specializationOf')} ?y"
VERSIONS = f"?y {term('prov:specializationOf')} ?x"
SIZE = f"?x {term('sprov:size')} ?y"
STARTED = f"?x {term('prov:startedAtTime')} ?y"
LABEL = f"?x {term('rdfs:label')} ?y"


class Edge(NamedTuple):
    """`subject` relation `object`, in PROV's direction: from the effect to its cause."""

    subject: str
    relation: Relation
    object: str

    @property
    def how(self) -> Literal["exact", "content"]:
        """How it is known: recorded as such, or by what files hold."""
        return "content" if self.relation == "sameContent" else "exact"


@dataclass
class Graph:
    """What a walk found: entities and activities by IRI, each with its level."""

    entities: dict[str, int] = field(default_factory=dict)
    activities: dict[str, int] = field(default_factory=dict)
    edges: dict[Edge, None] = field(default_factory=dict)
    unexplored: set[str] = field(default_factory=set)
    """Entities where the walk stopped for its depth or size, and which go on."""


def pairs(store: ox.Store, pattern: str, subjects: Iterable[str]) -> list[Pair]:
    """Return (x, y) that match a pattern of ?x and ?y, for these IRIs as ?x.

    The query answers with the number of ?x: to decode it would cost as much as ?y.
    """
    known = list(subjects)
    found: list[Pair] = []
    for start in range(0, len(known), CHUNK):
        some = known[start : start + CHUNK]
        rows = " ".join(f"(<{iri}> {number})" for number, iri in enumerate(some))
        result = store.query(f"SELECT ?n ?y {{ VALUES (?x ?n) {{ {rows} }} {pattern} }}")
        assert isinstance(result, ox.QuerySolutions)
        found.extend((some[int(row[0].value)], row[1].value) for row in result)
    return found


def _distinct(store: ox.Store, pattern: str, subjects: Iterable[str]) -> set[str]:
    """Return what ?y matches a pattern for any of these IRIs as ?x; each is decoded once."""
    known = list(subjects)
    found: set[str] = set()
    for start in range(0, len(known), CHUNK):
        iris = " ".join(f"<{iri}>" for iri in known[start : start + CHUNK])
        result = store.query(f"SELECT DISTINCT ?y {{ VALUES ?x {{ {iris} }} {pattern} }}")
        assert isinstance(result, ox.QuerySolutions)
        found.update(row[0].value for row in result)
    return found


def grouped(found: Iterable[tuple[Key, str]]) -> dict[Key, list[str]]:
    groups: dict[Key, list[str]] = defaultdict(list)
    for key, value in found:
        groups[key].append(value)
    return groups


class Walk:
    """What both directions need: terms of IRIs, wholes and ranks, and joins by content."""

    onward = ""
    """The pattern by which an entity goes on."""

    def __init__(self, store: ox.Store, graph: Graph) -> None:
        self.store = store
        self.graph = graph
        self.wholes: dict[str, list[str]] = {}
        self.ranks: dict[str, list[str]] = {}
        """What each rank did of a collective."""
        self.barren: set[str] = set()
        """Wholes that nothing is inherited from: whose they are need not be known."""
        self._plain: dict[str, bool] = {}
        """Plain values that were asked for, and whether they go on."""

    def step(self, front: set[str], level: int) -> set[str]:
        """Go from entities through activities to entities; return these."""
        raise NotImplementedError

    def pairs(self, pattern: str, subjects: Iterable[str]) -> list[Pair]:
        return pairs(self.store, pattern, subjects)

    def link(self, found: Iterable[Pair], relation: Relation, *, back: bool = False) -> set[str]:
        """Add edges, from the second to the first if `back`; return the second ones."""
        ends = set()
        for near, far in found:
            edge = Edge(far, relation, near) if back else Edge(near, relation, far)
            self.graph.edges[edge] = None
            ends.add(far)
        return ends

    def enter(self, activities: Iterable[str], level: int) -> None:
        for activity in activities:
            self.graph.activities.setdefault(activity, level)

    def climb(self, activities: Iterable[str]) -> set[str]:
        """Learn what activities are part of, and other ranks' parts of that; return what is new."""
        found: set[str] = set()
        todo = {each for each in activities if each not in self.wholes}
        while todo:
            self.wholes.update({each: [] for each in todo})
            if self.barren and self._are_barren(_distinct(self.store, PART_OF, todo)):
                break
            for part, whole in self.pairs(PART_OF, todo):
                if not whole.startswith(USES_NOTHING):
                    self.wholes[part].append(whole)
            todo = {w for part in todo for w in self.wholes[part] if w not in self.wholes}
            found |= todo
        collectives = {each for each in found if each.startswith(COLLECTIVE)}
        self.ranks.update({each: [] for each in collectives})
        for collective, part in self.pairs(PARTS, collectives):
            if not part.startswith(COLLECTIVE):
                self.ranks[collective].append(part)
                found.add(part)
        return found

    def _are_barren(self, wholes: set[str]) -> bool:
        return all(each in self.barren or each.startswith(USES_NOTHING) for each in wholes)

    def around(self, activity: str) -> list[str]:
        """Return all that an activity is part of."""
        found = dict.fromkeys(self.wholes[activity])
        todo = list(found)
        while todo:
            new = [w for w in self.wholes[todo.pop()] if w not in found]
            found.update(dict.fromkeys(new))
            todo += new
        return list(found)

    def shared(self, found: list[Pair]) -> list[Pair]:
        """Leave out plain values, but for those that go on: what one made and another used."""
        plain = {entity for _, entity in found if entity.startswith(PLAIN)} - self._plain.keys()
        self._plain.update(dict.fromkeys(plain, False))
        self._plain.update((entity, True) for entity, _ in self.pairs(self.onward, plain))
        return [pair for pair in found if self._plain.get(pair[1], True)]

    def origins(self, copies: Iterable[str]) -> list[Pair]:
        """Return (copy, version it is a copy of), for versions nobody is recorded to have written.

        It is a copy of what has the same content, of `MIN_CONTENT_BYTES` or more, and was written
        by an activity that began before any that used the copy; of those with the same name only,
        if there are any.
        """
        contents = dict(self.pairs(CONTENT, copies))
        sizes = self.pairs(SIZE, set(contents.values()))
        large = {content for content, size in sizes if int(size) >= MIN_CONTENT_BYTES}
        versions = grouped(self.pairs(VERSIONS, large))
        others = {v for found in versions.values() for v in found}.difference(contents)
        written = self._first(self.pairs(GENERATED_BY, others))
        read = self._first(self.pairs(USED_BY, contents))
        found = []
        for copy, content in contents.items():
            before = [
                version
                for version in versions.get(content, ())
                if version in written and (copy not in read or written[version] < read[copy])
            ]
            found += [(copy, version) for version in self._of_that_name(copy, before)]
        return found

    def _of_that_name(self, copy: str, versions: list[str]) -> list[str]:
        """Return those with the same name as `copy`, or all if none has."""
        if len(versions) < 2:
            return versions
        names = dict(self.pairs(LABEL, [copy, *versions]))
        return [each for each in versions if names.get(each) == names.get(copy)] or versions

    def _first(self, found: list[Pair]) -> dict[str, str]:
        """Return the moment when the first of each entity's activities began."""
        starts = self.pairs(STARTED, {activity for _, activity in found})
        began = {activity: sortable(at) for activity, at in starts}
        first: dict[str, str] = {}
        for entity, activity in found:
            if activity in began:
                first[entity] = min(first.get(entity, began[activity]), began[activity])
        return first
