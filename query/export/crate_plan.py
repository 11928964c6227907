"""The plan of a run in an RO-Crate: workflow, steps, tools and formal parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import pyoxigraph as ox

from .crate_data import Data
from .graph import Graph, iri
from .units import Units

Entity = dict[str, Any]

_PROSPECTIVE = {
    iri(name)
    for name in (
        "prov:Plan", "provml:Attribute", "provml:LearningHyperparameter",
        "provml:ModelHyperparameter",
    )
}  # fmt: skip
_TYPES = {
    "integer": "Integer", "long": "Integer", "double": "Float", "boolean": "Boolean",
    "dateTime": "DateTime", "string": "Text",
}  # fmt: skip
_FORMAL_PARAMETER = "https://bioschemas.org/profiles/FormalParameter/1.0-RELEASE"


class Plans:
    """The plans that the run carried out: each is a step of the workflow, and a tool."""

    def __init__(self, graph: Graph, units: Units, data: Data, facts: Mapping[str, str]) -> None:
        self._graph = graph
        self._data = data
        self._facts = facts
        self._source_id = f"{graph.run}#source"
        self._workflow = units.whole.plan
        self.steps = list(dict.fromkeys(unit.plan for unit in units.units))

    def tool(self, plan: str) -> str:
        return plan

    def step(self, plan: str) -> str:
        return f"#step/{plan.rpartition('/')[2]}"

    def triples(self) -> Iterator[ox.Triple]:
        """Yield the prospective part of the graph."""
        planned = {name for name in self._graph if self._graph.types(name) & _PROSPECTIVE}
        return self._graph.triples(planned)

    def workflow(self) -> Entity:
        """Return what the crate says of the workflow."""
        graph = self._graph
        said: Entity = {
            "name": graph.text(graph.run, "sprov:program")
            or graph.text(self._workflow, "rdfs:label", "workflow"),
            "description": "The plan of the program, as it was declared and carried out.",
            "sameAs": [{"@id": self._workflow}] if self._workflow else [],
            "version": self._facts.get("git_commit", ""),
            "hasPart": [{"@id": self.tool(plan)} for plan in self.steps],
            "step": [{"@id": self.step(plan)} for plan in self.steps],
            "isBasedOn": {"@id": self._source_id},
            "input": self._parameters(self._workflow, generated=False),
            "output": self._parameters(self._workflow, generated=True),
        }
        return _said(said)

    def _source(self) -> Entity:
        """Return the program's source, which the run was started from."""
        program = self._graph.text(self._graph.run, "sprov:program", "program")
        said = {
            "name": program,
            "localPath": self._facts.get("program_path", ""),
            "version": self._facts.get("git_commit", ""),
        }
        return {"@id": self._source_id, "@type": "SoftwareSourceCode", **_said(said)}

    def entities(self) -> Iterator[Entity]:
        """Yield steps, tools, parameters and the program; after all actions were made."""
        yield self._source()
        for position, plan in enumerate(self.steps, 1):
            yield self._step(plan, position)
            yield self._tool(plan)
        yield from self._formal_parameters()

    def _step(self, plan: str, position: int) -> Entity:
        return {
            "@id": self.step(plan),
            "@type": "HowToStep",
            "name": self._graph.text(plan, "rdfs:label", "step"),
            "position": str(position),
            "workExample": {"@id": self.tool(plan)},
        }

    def _tool(self, plan: str) -> Entity:
        graph = self._graph
        said = {
            "name": graph.text(plan, "rdfs:label", "tool"),
            "description": graph.text(plan, "sprov:description")
            or f"A {graph.text(plan, 'sprov:kind', 'step').replace('_', ' ')} of the program.",
            "version": self._facts.get("git_commit", ""),
            "input": self._parameters(plan, generated=False),
            "output": self._parameters(plan, generated=True),
            "isBasedOn": {"@id": self._source_id},
        }
        return {"@id": self.tool(plan), "@type": "SoftwareApplication", **_said(said)}

    @cached_property
    def _attributes(self) -> list[str]:
        known = ("provml:Attribute", "provml:LearningHyperparameter", "provml:ModelHyperparameter")
        return sorted({name for kind in known for name in self._graph.instances(kind)})

    def _parameters(self, plan: str, *, generated: bool) -> list[Entity]:
        graph = self._graph
        return [
            {"@id": name}
            for name in self._attributes
            if plan in graph.texts(name, "provml:isPartOf")
            and (graph.text(name, "sprov:direction") == "out") == generated
        ]

    def _formal_parameters(self) -> Iterator[Entity]:
        graph = self._graph
        plans = {self._workflow, *self.steps}
        for name in self._attributes:
            examples = self._data.examples(name)
            if not examples and not plans & set(graph.texts(name, "provml:isPartOf")):
                continue
            said = {
                "name": graph.text(name, "rdfs:label", "parameter"),
                "additionalType": self._type(name),
                "conformsTo": {"@id": _FORMAL_PARAMETER},
                "description": graph.text(name, "sprov:description"),
                "defaultValue": graph.text(name, "sprov:default"),
                "valueRequired": graph.text(name, "sprov:required") == "true",
                "workExample": examples,
            }
            yield {"@id": name, "@type": "FormalParameter", **_said(said)}

    def _type(self, attribute: str) -> str:
        """Return the kind of data that a parameter takes, by what it took."""
        for example in self._data.examples(attribute):
            values = self._graph.objects(example["@id"], "prov:value")
            if not values:
                return "File"
            if isinstance(values[0], ox.Literal):
                local = values[0].datatype.value.rpartition("#")[2]
                return _TYPES.get(local, "Text")
        return "Text"


def _said(properties: Entity) -> Entity:
    """Leave out what is empty."""
    return {name: value for name, value in properties.items() if value not in ("", [])}
