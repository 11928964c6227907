"""The executions of a run that an RO-Crate tells as actions.

A unit is a transformation, or a learning stage or trial by all its ranks; what sections such as
epochs used and generated counts as their stage's.  A run of more than `MAX_UNITS` units has one for
each plan instead, of all its executions.  The graph beside the crate's metadata has each of them.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace

from .graph import Graph, iri

MAX_UNITS = 1_000

_TRANSFORMATION = iri("provml:DataTransformationExecution")
_STAGES = {
    iri(f"provml:{stage}Execution")
    for stage in ("Training", "Validation", "Evaluation", "FeatureExtraction")
} | {iri("sprov:TrialExecution")}
_COLLECTIVE = iri("sprov:Collective")


@dataclass
class Unit:
    """One action: executions that belong together, and what they used and generated."""

    id: str
    plan: str
    label: str = ""
    executions: list[str] = field(default_factory=list)
    agents: set[str] = field(default_factory=set)
    started: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    """Times as text, of the executions that have one."""
    errors: list[str] = field(default_factory=list)
    used: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Entity to the attributes that it was used as."""
    generated: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))


class Units:
    """All units of a run, by the time when they began; `whole` is the run itself."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._made = self._generated()
        self._unit_of: dict[str, tuple[str, str]] = {}
        self.whole = Unit(graph.run, graph.text(graph.run, "sprov:workflow"))
        found = self._gather(merge=False)
        if len(found) > MAX_UNITS:
            found = self._gather(merge=True)
        if not found:  # a program without any: its ranks' parts are the one step that there is
            found = self._attempt()
        self.units = sorted(
            found.values(), key=lambda unit: (min(unit.started, default=""), unit.id)
        )

    def _generated(self) -> dict[str, list[str]]:
        made = defaultdict(list)
        for subject in self._graph:
            for activity in self._graph.texts(subject, "prov:wasGeneratedBy"):
                made[activity].append(subject)
        return made

    def _gather(self, *, merge: bool) -> dict[str, Unit]:
        """Give every execution to its unit; those of none are the whole's."""
        units: dict[str, Unit] = {}
        self.whole = Unit(self._graph.run, self.whole.plan)
        for activity in self._graph.instances("prov:Activity"):
            association = self._graph.text(activity, "prov:qualifiedAssociation")
            if activity == self._graph.run or not association:
                continue
            name, plan = self._owner(activity)
            if name == self._graph.run:
                unit = self.whole
            else:
                name = f"#executions/{plan.rpartition('/')[2]}" if merge else name
                unit = units.setdefault(name, Unit(name, plan))
            self._add(unit, activity, association)
        for unit in units.values():
            self._name(unit)
        return units

    def _attempt(self) -> dict[str, Unit]:
        whole = self.whole
        attempts = [
            name
            for execution in whole.executions
            for name in self._graph.texts(execution, "provml:isPartOf")
        ]
        name = min(attempts, default=f"{whole.id}#program")
        label = self._graph.text(whole.plan, "rdfs:label", "program")
        return {name: replace(whole, id=name, label=label)}

    def _owner(self, activity: str) -> tuple[str, str]:
        """Return the unit that an execution belongs to, and the unit's plan."""
        above = []
        at = activity
        while at not in self._unit_of:
            above.append(at)
            types = self._graph.types(at)
            wholes = self._graph.texts(at, "provml:isPartOf")
            shared = [whole for whole in wholes if _COLLECTIVE in self._graph.types(whole)]
            if _TRANSFORMATION in types or types & _STAGES:
                self._unit_of[at] = (shared[0] if shared else at), self._plan(at)
                break
            parents = [whole for whole in wholes if whole not in shared and whole in self._graph]
            if not parents or parents[0] in above:
                self._unit_of[at] = self._graph.run, self.whole.plan
                break
            at = parents[0]
        for name in above:
            self._unit_of[name] = self._unit_of[at]
        return self._unit_of[activity]

    def _plan(self, activity: str) -> str:
        association = self._graph.text(activity, "prov:qualifiedAssociation")
        return self._graph.text(association, "prov:hadPlan")

    def _add(self, unit: Unit, activity: str, association: str) -> None:
        graph = self._graph
        own = graph.types(activity) & {_TRANSFORMATION, iri("provml:WorkflowExecution"), *_STAGES}
        if own:  # a section's times say nothing of its stage
            unit.executions.append(activity)
            unit.started += graph.texts(activity, "prov:startedAtTime")
            ended = graph.texts(activity, "prov:endedAtTime")
            unit.ended += ended
            unit.errors += graph.texts(activity, "sprov:error")
            if not ended:  # as others tell of it
                outcomes = graph.texts(activity, "sprov:outcome")
                unit.errors += [outcome for outcome in outcomes if outcome != "completed"]
        unit.agents.update(graph.texts(association, "prov:agent"))
        roles = self._roles(activity)
        for entity in graph.texts(activity, "prov:used"):
            unit.used[entity].update(roles.get(entity) or graph.texts(entity, "provml:ofAttribute"))
        for entity in self._made.get(activity, []):
            unit.generated[entity].update(self._made_as(entity, activity))

    def _roles(self, activity: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for usage in self._graph.texts(activity, "prov:qualifiedUsage"):
            entity = self._graph.text(usage, "prov:entity")
            found[entity] += self._graph.texts(usage, "prov:hadRole")
        return found

    def _made_as(self, entity: str, activity: str) -> list[str]:
        graph = self._graph
        roles = [
            role
            for generation in graph.texts(entity, "prov:qualifiedGeneration")
            if activity in graph.texts(generation, "prov:activity")
            for role in graph.texts(generation, "prov:hadRole")
        ]
        return roles or graph.texts(entity, "provml:ofAttribute")

    def _name(self, unit: Unit) -> None:
        plan = self._graph.text(unit.plan, "rdfs:label", "execution")
        unit.label = self._graph.text(unit.id, "rdfs:label", plan)
        if unit.label == plan and len(unit.executions) > 1:
            unit.label = f"{plan} ({len(unit.executions)} executions)"
