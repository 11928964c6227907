"""Plans: what executions follow, declared by somebody or made on the fly.

Identities come from names, so that an execution and its declaration meet whatever comes first.
"""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import unquote

import msgspec

from pllib import identity, linked
from pllib.plans import ATTRIBUTES, PROPERTIES, SECTION, THINGS
from pllib.records import Declared

from .literals import literal
from .tables import Tables

_DECLARED: tuple[str, linked.Datatype, str] = ("declared", "boolean", "true")
_properties = msgspec.msgpack.Decoder(dict[str, Any]).decode

Links = list[tuple[str, linked.NodeKind, str]]


class Plans:
    """The plans of one workflow of a project."""

    def __init__(self, tables: Tables, project: str, workflow: str) -> None:
        self._tables = tables
        self._project = project
        self._workflow = workflow

    def workflow(self) -> str:
        return self.plan("workflow", "")

    def plan(self, kind: str, name: str) -> str:
        """Return the plan of executions of this kind and name; ``run`` means the workflow's."""
        if kind in ("run", "workflow"):
            kind, name = "workflow", ""
        plan = identity.plan(self._project, self._workflow, kind, name)
        if plan not in self._tables.plans:
            whole = None if kind == "workflow" else self.workflow()
            label = self._workflow if kind == "workflow" else name
            self._tables.plans[plan] = linked.Plan(plan, kind, label, whole)
        return plan

    def attribute(self, plan: str, direction: linked.AttributeDirection, name: str) -> str:
        attribute = identity.attribute(plan, direction, name)
        tables = self._tables
        if attribute not in tables.attributes:
            tables.attributes[attribute] = linked.Attribute(attribute, plan, name, direction)
            if direction in ("hyperparameter", "model_hyperparameter"):
                tables.hyperparameters[attribute] = cast(linked.ValueType, direction)
        return attribute

    def measure(self, attribute: str, name: str) -> None:
        """Say that an attribute is a measure: of a series, or of an evaluation."""
        measure = identity.named("measure", self._project, name)
        self._tables.node("measure", measure, name)
        self._tables.node("attribute", attribute, links=(("measure", "measure", measure),))

    def experiment(self, study: str | None, name: str | None) -> str | None:
        """Return the plan that a run follows: its experiment, else its study, else none."""
        part_of: Links = []
        if study is not None:
            found = identity.named("study", self._project, study)
            part_of = [("part_of", "study", self._tables.node("study", found, study))]
        if name is None:
            return part_of[0][2] if part_of else None
        found = identity.experiment(self._project, study, name)
        return self._tables.node("experiment", found, name, links=tuple(part_of))

    def declare(self, record: Declared) -> None:
        """Take in one declared thing; what a newer pllib declares is passed over."""
        literals, links = self._properties(_properties(record.properties))
        literals = literals if record.on_the_fly else (_DECLARED, *literals)
        kind, name, tables = record.kind, record.name, self._tables
        if kind == "experiment":
            study = record.within or None
            tables.node("experiment", self.experiment(study, name) or "", None, literals)
        elif kind in THINGS:
            thing = cast(linked.NodeKind, kind)
            tables.node(thing, self.named(kind, name), name, literals, links)
        elif kind in ATTRIBUTES:
            plan = self.plan(*_plan_key(record.within))
            attribute = self.attribute(plan, cast(linked.AttributeDirection, kind), name)
            tables.node("attribute", attribute, None, literals, links)
        else:
            plan = self.plan(kind.removeprefix(SECTION), name)
            tables.node("plan", plan, None, literals, (*links, *self._whole(record)))

    def _whole(self, record: Declared) -> Links:
        if record.kind == "workflow" and record.within:
            return [("part_of", "experiment", self.experiment(*_study(record.within)) or "")]
        if record.within:
            return [("part_of", "plan", self.plan(*_plan_key(record.within)))]
        return []

    def named(self, kind: str, name: str) -> str:
        if kind == "persona":
            return identity.user(name)
        return identity.named(kind, self._project, name)

    def _properties(
        self, given: dict[str, Any]
    ) -> tuple[
        tuple[tuple[str, linked.Datatype, str], ...], tuple[tuple[str, linked.NodeKind, str], ...]
    ]:
        literals: list[tuple[str, linked.Datatype, str]] = []
        links: Links = []
        for name, value in given.items():
            target = PROPERTIES[name].target if name in PROPERTIES else ""
            if not target:
                literals.append((name, *literal(value)))
                continue
            for item in value if isinstance(value, list) else [value]:
                thing = cast(linked.NodeKind, target)
                found = self._tables.node(thing, self.named(target, str(item)), str(item))
                links.append((name, thing, found))
        return tuple(literals), tuple(links)


def _plan_key(within: str) -> tuple[str, str]:
    """Return kind and name of the plan that ``kind/name`` says."""
    kind, _, name = within.partition("/")
    return kind.removeprefix(SECTION), name


def _study(within: str) -> tuple[str | None, str]:
    """Return study and experiment of ``study/experiment``, each percent-encoded."""
    study, _, name = within.rpartition("/")
    return unquote(study) or None, unquote(name)
