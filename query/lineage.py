"""Lineage: what something came from, or what it led to; found here, walked beside the store."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from manager.store.described import Activity, Entity, Lineage, Link, Trace
from manager.store.walk import Direction
from pllib.identity import ID_BASE

from .engine import Engine
from .replies import decode


def trace(
    engine: Engine,
    target: str,
    direction: Direction = "up",
    depth: int | None = None,
    limit: int | None = None,
    *,
    settings: bool = False,
) -> Lineage:
    """Return the lineage of an entity, or of what a run generated, by IRI.

    Args:
        depth: Activities between the target and the last entities; None for all.
        limit: Entities to tell of, nearest first; None for all.
    """
    asked = Trace(target, direction, depth, limit, settings)
    return decode(engine.lineage(asked), Lineage, engine.place)


@dataclass
class Step:
    """What ranks did together or alike, as one."""

    id: str
    parts: list[Activity]

    @property
    def one(self) -> Activity:
        return self.parts[0]

    @property
    def name(self) -> str:
        one = self.one
        kind = (
            "" if one.kind in ("transformation", one.plan, "collective", "activity") else one.kind
        )
        index = "" if one.index is None else str(one.index)
        return " ".join(word for word in (kind, one.plan, index) if word)

    @property
    def where(self) -> str:
        """Which ranks, in which job, and when it began."""
        ranks = sorted({part.rank for part in self.parts if part.rank is not None})
        words = [f"rank {ranks[0]}" if len(ranks) == 1 else f"{len(ranks)} ranks" if ranks else ""]
        words.append(f"job {self.one.job}" if self.one.job else "")
        started = min((part.started for part in self.parts if part.started), default="")
        words.append(started[:16].replace("T", " "))
        return ", ".join(word for word in words if word)

    @property
    def settings(self) -> dict[str, str]:
        return {name: v for part in self.parts for name, v in part.settings.items()}

    @property
    def error(self) -> str | None:
        return next((part.error for part in self.parts if part.error), None)


@dataclass
class View:
    """A lineage to be shown: ranks merged, edges by their near and far ends."""

    targets: list[str]
    entities: dict[str, Entity] = field(default_factory=dict)
    steps: dict[str, Step] = field(default_factory=dict)
    edges: list[Link] = field(default_factory=list)
    n_more: int = 0
    """Entities that were found and are not told of."""


def view(lineages: Iterable[Lineage]) -> View:
    """Merge lineages, and what ranks did together or alike."""
    given = list(lineages)
    shown = View(sorted({target for one in given for target in _starts(one)}))
    activities: dict[str, Activity] = {}
    links: dict[tuple[str, str, str], Link] = {}
    for one in given:
        shown.entities.update({entity.id: entity for entity in one.entities})
        activities.update({activity.id: activity for activity in one.activities})
        links.update({(e.subject, e.relation, e.object): e for e in one.edges})
        shown.n_more += one.n_entities - len(one.entities)
    groups = _groups(activities, links.values())
    for activity, group in groups.items():
        step = shown.steps.setdefault(group, Step(group, []))
        if activities[activity].kind != "collective" or activity == group:
            step.parts.append(activities[activity])
    for step in shown.steps.values():
        step.parts.sort(key=lambda part: (part.kind == "collective", part.rank or 0))
    merged: dict[tuple[str, str, str], Link] = {}
    for link in links.values():
        ends = groups.get(link.subject, link.subject), groups.get(link.object, link.object)
        if ends[0] != ends[1]:
            key = ends[0], link.relation, ends[1]
            merged[key] = Link(*key, link.how, link.role)
    shown.edges = _without_members(merged)
    return shown


def _starts(one: Lineage) -> list[str]:
    """Return the target, or what it generated if that is a run."""
    if not one.target.startswith(f"{ID_BASE}run/"):
        return [one.target]
    return [entity.id for entity in one.entities if entity.level == 0]


def _without_members(edges: dict[tuple[str, str, str], Link]) -> list[Link]:
    """Leave out that a file was used (made) with the data set that has it: the set tells that."""
    sets: dict[str, set[str]] = defaultdict(set)
    for owner, relation, member in edges:
        if relation == "hadMember":
            sets[member].add(owner)
    kept = []
    for (near, relation, far), link in edges.items():
        entity = far if relation == "used" else near
        others = sets.get(entity, ()) if relation in ("used", "wasGeneratedBy") else ()
        pairs = [(near, each) if relation == "used" else (each, far) for each in others]
        if not any((subject, relation, target) in edges for subject, target in pairs):
            kept.append(link)
    return kept


def _groups(activities: dict[str, Activity], links: Iterable[Link]) -> dict[str, str]:
    """Return the group of each activity: its collective, or the first of those that did alike."""
    used: dict[str, set[str]] = defaultdict(set)
    group: dict[str, str] = {}
    for link in links:
        if link.relation == "isPartOf":
            whole, part = activities.get(link.object), activities.get(link.subject)
            if whole and part and whole.kind == "collective" and part.plan == whole.plan:
                group[part.id] = whole.id
        elif link.relation == "used":
            used[link.subject].add(f"<{link.object}")
        elif link.relation == "wasGeneratedBy":
            used[link.object].add(f">{link.subject}")
    alike: dict[tuple[object, ...], str] = {}
    for each in activities.values():
        if each.id not in group:
            key = each.kind, each.plan, each.run, each.index, frozenset(used[each.id])
            same = each.run is not None and each.kind != "collective"
            group[each.id] = alike.setdefault(key, each.id) if same else each.id
    return group
