"""What is told of a lineage: names, places, times and settings of the nodes that a walk found."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec
import pyoxigraph as ox

from pllib.identity import ID_BASE

from ..vocabulary import term
from .lineage import trace
from .walk import Direction, Graph, Pair, Relation, grouped, pairs

Text = str | None

CLASSES = {
    "provml:Checkpoint": "checkpoint",
    "provml:Model": "model",
    "sprov:Directory": "directory",
    "provml:DataReference": "reference",
    "provml:LearningDataSetReference": "data set",
    "provml:FeatureSetData": "feature data",
    "sprov:File": "file",
    "sprov:Collective": "collective",
}
"""Class to what it is called; the first that a node has counts."""


class Entity(msgspec.Struct, omit_defaults=True):
    id: str
    kind: str
    """One of `CLASSES`, ``value``, or ``entity`` for what others say of theirs."""
    level: int
    """Activities between it and the target."""
    label: str = ""
    path: Text = None
    store: Text = None
    size: int | None = None
    modified: Text = None
    version: Text = None
    digest: Text = None
    value: Text = None
    more: bool = False
    """It goes on where the walk stopped."""


class Activity(msgspec.Struct, omit_defaults=True):
    id: str
    kind: str
    """transformation, training, epoch and so on; ``collective`` for what ranks did together."""
    level: int
    plan: str = ""
    """Name of its plan."""
    label: Text = None
    index: int | None = None
    rank: int | None = None
    host: Text = None
    run: Text = None
    job: Text = None
    started: Text = None
    ended: Text = None
    error: Text = None
    settings: dict[str, str] = {}
    """Plain values that it used, or what it is part of."""


class Link(msgspec.Struct, omit_defaults=True):
    """`subject` relation `object`, in PROV's direction: from the effect to its cause."""

    subject: str
    relation: Relation
    object: str
    how: Literal["exact", "content"]
    """Recorded as such, or concluded from what files hold."""
    role: Text = None


class Lineage(msgspec.Struct):
    target: str
    direction: Direction
    n_entities: int
    """All that were found; `entities` may be fewer, by the limit."""
    n_activities: int
    entities: list[Entity]
    activities: list[Activity]
    edges: list[Link]


class Trace(msgspec.Struct, array_like=True, tag="lineage"):
    """A question: the lineage of an entity, or of what a run generated."""

    target: str
    direction: Direction
    depth: int | None = None
    limit: int | None = None
    """Entities to tell of at most, nearest first."""
    settings: bool = False


def lineage(store: ox.Store, asked: Trace, starts: Iterable[str]) -> Lineage:
    """Return a lineage with what is known of each node.

    Args:
        starts: The target, or what it generated if that is a run.
    """
    graph = trace(store, starts, asked.direction, asked.depth)
    entities, activities = _nearest(graph, asked.limit)
    teller = _Teller(store)
    kept = entities | activities
    links = [edge for edge in graph.edges if edge.subject in kept and edge.object in kept]
    roles = {**teller.used_as(activities), **teller.made_as(entities)}
    told = teller.activities(graph, activities)
    if asked.settings:
        teller.settings(told)
    return Lineage(
        asked.target,
        asked.direction,
        len(graph.entities),
        len(graph.activities),
        teller.entities(graph, entities),
        told,
        [Link(*edge, edge.how, roles.get((edge.subject, edge.object))) for edge in links],
    )


def _nearest(graph: Graph, limit: int | None) -> tuple[set[str], set[str]]:
    """Return the nearest entities, and the activities that touch them."""
    entities = set(sorted(graph.entities, key=lambda each: (graph.entities[each], each))[:limit])
    if len(entities) == len(graph.entities):
        return entities, set(graph.activities)
    activities = set()
    for edge in graph.edges:
        if edge.relation == "used" and edge.object in entities:
            activities.add(edge.subject)
        elif edge.relation == "wasGeneratedBy" and edge.subject in entities:
            activities.add(edge.object)
    wholes = {e.object for e in graph.edges if e.relation == "isPartOf" and e.subject in activities}
    return entities, activities | wholes


def _path(*terms: str) -> str:
    return f"?x {'/'.join(term(name) for name in terms)} ?y"


def classes(store: ox.Store, found: Iterable[str]) -> dict[str, str]:
    """Return what things are called by their class, of those with one of `CLASSES`."""
    names = {term(name)[1:-1]: name for name in CLASSES}
    order = list(names)
    best: dict[str, str] = {}
    for node, kind in pairs(store, _path("rdf:type"), found):
        if kind in names and (node not in best or order.index(kind) < order.index(best[node])):
            best[node] = kind
    return {node: CLASSES[names[kind]] for node, kind in best.items()}


class _Teller:
    def __init__(self, store: ox.Store) -> None:
        self._store = store

    def _known(self, found: Iterable[str], *terms: str) -> dict[str, str]:
        return dict(pairs(self._store, _path(*terms), found))

    def entities(self, graph: Graph, found: set[str]) -> list[Entity]:
        kinds = classes(self._store, found)
        label, value = self._known(found, "rdfs:label"), self._known(found, "prov:value")
        attribute = self._known(value, "provml:ofAttribute", "rdfs:label")
        path, store = self._known(found, "sprov:path"), self._known(found, "sprov:store")
        size, modified = self._known(found, "sprov:size"), self._known(found, "sprov:modified")
        version = self._known(found, "sprov:version")
        digest = self._known(found, "prov:specializationOf", "sprov:digest")
        return [
            Entity(
                id=each,
                kind=kinds.get(each, "value" if each in value else "entity"),
                level=graph.entities[each],
                label=label.get(each) or attribute.get(each) or _short(each),
                path=path.get(each),
                store=store.get(each),
                size=int(size[each]) if each in size else None,
                modified=modified.get(each),
                version=version.get(each),
                digest=digest.get(each),
                value=value.get(each),
                more=each in graph.unexplored,
            )
            for each in sorted(found, key=lambda each: (graph.entities[each], each))
        ]

    def activities(self, graph: Graph, found: set[str]) -> list[Activity]:
        kinds = classes(self._store, found)
        association = self._known(found, "prov:qualifiedAssociation")
        plan = self._known(set(association.values()), "prov:hadPlan")
        executes = self._known(found, "provml:executes")
        plans = {*plan.values(), *executes.values()}
        plan_label, plan_kind = self._known(plans, "rdfs:label"), self._known(plans, "sprov:kind")
        agent = self._known(set(association.values()), "prov:agent")
        agents = set(agent.values())
        rank, run = self._known(agents, "sprov:rank"), self._known(agents, "sprov:run")
        host = self._known(agents, "prov:atLocation", "rdfs:label")
        job = self._known(set(run.values()), "sprov:job")
        label, index = self._known(found, "rdfs:label"), self._known(found, "sprov:index")
        started = self._known(found, "prov:startedAtTime")
        ended = self._known(found, "prov:endedAtTime")
        error = self._known(found, "sprov:error")

        def tell(each: str) -> Activity:
            by = association.get(each, "")
            whose, of = agent.get(by, ""), executes.get(each) or plan.get(by, "")
            kind = plan_kind.get(of, "activity")
            return Activity(
                id=each,
                kind="collective" if kinds.get(each) == "collective" else kind,
                level=graph.activities[each],
                plan=plan_label.get(of) or label.get(each) or _short(each),
                label=label.get(each),
                index=int(index[each]) if each in index else None,
                rank=int(rank[whose]) if whose in rank else None,
                host=host.get(whose),
                run=run.get(whose),
                job=job.get(run.get(whose, "")),
                started=started.get(each),
                ended=ended.get(each),
                error=error.get(each),
            )

        return [tell(each) for each in sorted(found, key=lambda one: (graph.activities[one], one))]

    def used_as(self, activities: set[str]) -> dict[Pair, str]:
        """Return the role of each shared entity that activities used."""
        usages = pairs(self._store, _path("prov:qualifiedUsage"), activities)
        found = {usage for _, usage in usages}
        entity = self._known(found, "prov:entity")
        role = self._known(found, "prov:hadRole", "rdfs:label")
        return {
            (activity, entity[u]): role[u] for activity, u in usages if u in entity and u in role
        }

    def made_as(self, entities: set[str]) -> dict[Pair, str]:
        """Return the role of each shared entity in what generated it."""
        generations = pairs(self._store, _path("prov:qualifiedGeneration"), entities)
        found = {generation for _, generation in generations}
        activity = self._known(found, "prov:activity")
        role = self._known(found, "prov:hadRole", "rdfs:label")
        return {
            (each, activity[g]): role[g] for each, g in generations if g in activity and g in role
        }

    def settings(self, told: list[Activity]) -> None:
        """Set the plain values that activities used, or what they are part of."""
        whole: dict[str, list[str]] = {each.id: [] for each in told}
        todo = set(whole)
        while todo:
            new = set()
            for part, of in pairs(self._store, _path("provml:isPartOf"), todo):
                whole[part].append(of)
                if of not in whole and of.startswith(f"{ID_BASE}activity/"):
                    new.add(of)
            whole.update({each: [] for each in new})
            todo = new
        own = self._own(whole)
        for each in told:
            values = sorted(_inherited(each.id, whole, own, each.ended or _EVER))
            each.settings = {name: value for _, _, name, value in values}

    def _own(self, activities: Iterable[str]) -> dict[str, list[Setting]]:
        """Return the plain values that activities used, by activity."""
        used = pairs(self._store, _path("prov:used"), activities)
        values = {value for _, value in used if value.startswith(f"{ID_BASE}entity/")}
        value = self._known(values, "prov:value")
        name = self._known(values, "provml:ofAttribute", "rdfs:label")
        since = self._adapted(activities)
        own: dict[str, list[Setting]] = defaultdict(list)
        for activity, entity in used:
            if entity in value and entity in name:
                for at in since.get((activity, entity), [""]):
                    own[activity].append((at, name[entity], value[entity]))
        return own

    def _adapted(self, activities: Iterable[str]) -> dict[Pair, list[str]]:
        """Return since when a value was used, for values that were adapted."""
        usages = pairs(self._store, _path("prov:qualifiedUsage"), activities)
        at = self._known((usage for _, usage in usages), "prov:atTime")
        entity = self._known(at, "prov:entity")
        return grouped(
            ((activity, entity[usage]), at[usage]) for activity, usage in usages if usage in at
        )


Setting = tuple[str, str, str]
"""Since when (empty: from the start), name and value."""
_EVER = "9999"


def _inherited(
    activity: str, whole: dict[str, list[str]], own: dict[str, list[Setting]], until: str
) -> Iterator[tuple[int, str, str, str]]:
    """Yield what an activity used up to a moment: what is its own last, then by time."""
    for each in whole.get(activity, ()):
        for level, at, name, value in _inherited(each, whole, own, until):
            yield level - 1, at, name, value
    for at, name, value in own.get(activity, ()):
        if at <= until:
            yield 0, at, name, value


def _short(iri: str) -> str:
    kind, _, digest = iri.removeprefix(ID_BASE).partition("/")
    return f"{kind}/{digest[:8]}" if iri.startswith(ID_BASE) else iri
