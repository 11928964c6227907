"""How what a run did differs from the plan that was declared for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyoxigraph as ox

from pllib.identity import ID_BASE

from ..vocabulary import term
from .walk import pairs

if TYPE_CHECKING:
    from .executions import Plan

_PLAIN = f"{ID_BASE}entity/"
_XSD = "http://www.w3.org/2001/XMLSchema#"
_TYPES = {
    "integer": {f"{_XSD}integer"},
    "double": {f"{_XSD}double"},
    "number": {f"{_XSD}integer", f"{_XSD}double"},
    "boolean": {f"{_XSD}boolean"},
    "string": {f"{_XSD}string"},
    "json": {"http://www.w3.org/1999/02/22-rdf-syntax-ns#JSON"},
    "file": {"sprov:File"},
    "directory": {"sprov:Directory"},
    "model": {"provml:Model"},
    "dataset": {"provml:LearningDataSetReference", "provml:FeatureSetData"},
    "reference": {"provml:DataReference"},
}
"""Declared type to what a value of it may be: datatypes, or classes of shared entities."""


def deviations(store: ox.Store, plans: list[Plan]) -> list[dict[str, Any]]:
    """Return what is missing, of another type or undeclared, one row for each attribute.

    Plans whose executions are too many to be listed are left out.
    """
    declared = dict(pairs(store, f"?x {term('sprov:declared')} ?y", [plan.id for plan in plans]))
    rows = []
    for plan in plans:
        if plan.id in declared and plan.executions:
            rows += _of_plan(store, plan)
    return rows


def _of_plan(store: ox.Store, plan: Plan) -> list[dict[str, Any]]:
    def known(name: str) -> dict[str, str]:
        return dict(pairs(store, f"?x {term(name)} ?y", plan.attributes))

    declared, required, types = (
        known("sprov:declared"),
        known("sprov:required"),
        known("sprov:declaredType"),
    )
    found = _values(store, plan)
    executions = {execution.id for execution in plan.executions}
    rows = []
    for attribute, (direction, name) in plan.attributes.items():
        seen = found.get(attribute, {})
        what = []
        if attribute not in declared and seen:
            what.append(("undeclared", len(seen), ""))
        missing = len(executions - seen.keys())
        if required.get(attribute) == "true" and missing:
            what.append(("missing", missing, ""))
        wanted = _TYPES.get(types.get(attribute, "any"))
        wrong = [kinds for kinds in seen.values() if wanted and not kinds & wanted]
        if wrong:
            others = ", ".join(sorted({_short(kind) for kinds in wrong for kind in kinds}))
            what.append(("type", len(wrong), f"{types[attribute]} was declared, found {others}"))
        rows += [
            {
                "plan": plan.name,
                "direction": direction,
                "name": name,
                "deviation": deviation,
                "executions": count,
                "detail": detail,
            }
            for deviation, count, detail in what
        ]
    return rows


def _values(store: ox.Store, plan: Plan) -> dict[str, dict[str, set[str]]]:
    """Return attribute → execution → datatypes and classes of the values it had there."""
    ids = [execution.id for execution in plan.executions]
    plain = [
        (activity, value)
        for name in (f"?x {term('prov:used')} ?y", f"?y {term('prov:wasGeneratedBy')} ?x")
        for activity, value in pairs(store, name, ids)
        if value.startswith(_PLAIN)
    ]
    values = {value for _, value in plain}
    attribute = dict(pairs(store, f"?x {term('provml:ofAttribute')} ?y", values))
    datatype = dict(pairs(store, f"?x {term('prov:value')} ?v BIND(DATATYPE(?v) AS ?y)", values))
    found: dict[str, dict[str, set[str]]] = {}
    for activity, value in plain:
        kinds = found.setdefault(attribute.get(value, ""), {}).setdefault(activity, set())
        kinds.add(datatype.get(value, ""))
    for activity, role, entity in _roles(store, ids):
        kinds = found.setdefault(role, {}).setdefault(activity, set())
        kinds.update(_classes(store, entity))
    return found


def _roles(store: ox.Store, ids: list[str]) -> list[tuple[str, str, str]]:
    """Return (execution, attribute, shared entity)."""
    usages = pairs(store, f"?x {term('prov:qualifiedUsage')} ?y", ids)
    made = pairs(store, f"?y {term('prov:activity')} ?x", ids)
    every = [each for _, each in usages + made]
    role = dict(pairs(store, f"?x {term('prov:hadRole')} ?y", every))
    entity = dict(pairs(store, f"?x {term('prov:entity')} ?y", every))
    entity.update(pairs(store, f"?y {term('prov:qualifiedGeneration')} ?x", every))
    return [(a, role[q], entity[q]) for a, q in usages + made if q in role and q in entity]


def _classes(store: ox.Store, entity: str) -> set[str]:
    names = {
        term(each)[1:-1]: each for kinds in _TYPES.values() for each in kinds if "//" not in each
    }
    return {
        names[kind]
        for _, kind in pairs(store, f"?x {term('rdf:type')} ?y", [entity])
        if kind in names
    }


def _short(kind: str) -> str:
    return kind.rpartition("#")[2].rpartition(":")[2] or "nothing"
