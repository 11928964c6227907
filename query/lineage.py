"""Lineage: what something came from, or what it led to; found here, walked beside the store."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from manager.store.described import Activity, Entity, Lineage, Link, Trace
from manager.store.walk import Direction
from pllib.errors import QueryError
from pllib.identity import ID_BASE

from .engine import Engine
from .runs import find_run
from .terms import string

_BY_NAME = """
SELECT ?file ?path WHERE {{
  ?file rdfs:label {name} ; sprov:path ?path OPTIONAL {{ ?file sprov:modified ?modified }}
}} ORDER BY DESC(?modified) ?file
"""

_DATA_SETS = """
SELECT ?file WHERE {{
  VALUES ?class {{ provml:LearningDataSetReference provml:FeatureSetData }}
  ?file rdfs:label {name} ; a ?class OPTIONAL {{ ?file sprov:version ?version }}
}} ORDER BY DESC(?version) ?file
"""

_OF_RUN = """
SELECT ?e ?at WHERE {{
  ?agent sprov:run <{run}> . ?q prov:agent ?agent ; prov:hadPlan ?plan .
  ?attribute provml:isPartOf ?plan ; rdfs:label {name} ; sprov:direction "out" .
  ?a prov:qualifiedAssociation ?q ; prov:startedAtTime ?at .
  {{ ?e prov:wasGeneratedBy ?a ; provml:ofAttribute ?attribute }}
  UNION
  {{ ?g prov:activity ?a ; prov:hadRole ?attribute . ?e prov:qualifiedGeneration ?g }}
}} ORDER BY DESC(?at) DESC(?e) LIMIT 1
"""


def find_target(engine: Engine, text: str) -> str:
    """Return the IRI of what a user means.

    It may be an IRI, a path or the end of one, a data set's name, ``RUN:attribute`` for what a run
    generated, or ``@last``.  Of several versions it is the newest, of several values the latest.

    Raises:
        QueryError: No record speaks of it.
    """
    if text.startswith(("https://", "http://", "urn:")) and not _has_odd_characters(text):
        return text
    found = _by_path(engine, text) or _data_set(engine, text) or _of_run(engine, text)
    if not found:
        raise QueryError(f"no record speaks of {text}", "`sprov show @last` lists a run's files")
    return found


def _by_path(engine: Engine, text: str) -> str | None:
    path = os.path.abspath(text)  # noqa: PTH100  a name, not a file that must exist
    name = path.rpartition("/")[2]
    rows = engine.select(_BY_NAME.format(name=string(name)))
    end = "/" + text.strip("/")
    exact = [row for row in rows if row["path"] == path]
    ending = [row for row in rows if f"/{row['path'].lstrip('/')}".endswith(end)]
    return next((row["file"] for row in exact or ending), None)


def _data_set(engine: Engine, text: str) -> str | None:
    rows = engine.select(_DATA_SETS.format(name=string(text)))
    return rows[0]["file"] if rows else None


def _of_run(engine: Engine, text: str) -> str | None:
    run, colon, attribute = text.partition(":")
    if text != "@last" and not (run and colon and attribute):
        return None
    iri = str(find_run(engine, run)["run"])
    if not attribute:
        return iri
    rows = engine.select(_OF_RUN.format(run=iri, name=string(attribute)))
    if not rows:
        raise QueryError(f"{run} generated no {attribute}", f"`sprov show {run}` lists its results")
    return rows[0]["e"]


def _has_odd_characters(text: str) -> bool:
    return any(char in '<>"{}|^`\\' or char <= " " for char in text)


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
    return msgspec.json.decode(engine.lineage(asked), type=Lineage)


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
