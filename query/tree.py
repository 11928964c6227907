"""A lineage as a tree of text: entities, below each what made (or used) it, and so on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from manager.store.described import Entity
from manager.store.walk import Direction

from .lineage import Step, View

MAX_INDENT = 30
"""Steps of indentation; what is deeper is not readable as a tree."""

_RELATIONS = {
    "wasDerivedFrom": "derived from ",
    "hadMember": "has ",
    "sameContent": "same content: ",
}


class Tree:
    """The lines of a tree."""

    def __init__(self, view: View, direction: Direction, here: Path, *, settings: bool) -> None:
        self._view = view
        self._up = direction == "up"
        self._here = here
        self._settings = settings
        self._told: set[str] = set()
        self._below: dict[str, list[tuple[str, str]]] = defaultdict(list)
        self.n_cut = 0
        """Branches that were too deep to be shown."""
        for edge in view.edges:
            ends = (edge.subject, edge.object) if self._up else (edge.object, edge.subject)
            self._below[ends[0]].append((edge.relation, ends[1]))

    def lines(self) -> Iterator[str]:
        for target in self._view.targets:
            yield self._title(target, "")
            yield from self._grow(target, "", 0)

    def _grow(self, node: str, indent: str, depth: int) -> Iterator[str]:
        below = sorted(self._below[node], key=self._order)
        if node in self._told or not below:
            return
        if depth >= MAX_INDENT:
            self.n_cut += 1
            yield f"{indent}└ ..."
            return
        self._told.add(node)
        for nth, (relation, far) in enumerate(below):
            last = nth == len(below) - 1
            yield f"{indent}{'└' if last else '├'} {self._title(far, relation)}"
            yield from self._grow(far, indent + ("  " if last else "│ "), depth + 1)

    def _order(self, below: tuple[str, str]) -> tuple[bool, str, str]:
        relation, far = below
        step = self._view.steps.get(far)
        if step is not None:
            return relation == "isPartOf", step.one.started or "", step.id
        return True, self._name(self._view.entities[far]), far

    def _title(self, node: str, relation: str) -> str:
        step = self._view.steps.get(node)
        known = "  (above)" if node in self._told and self._below[node] else ""
        if step is not None:
            return self._step(step, relation) + known
        entity = self._view.entities[node]
        how = _RELATIONS.get(relation, "")
        return f"{how}{self._name(entity)}{_details(entity)}{known}" + (
            " ..." if entity.more else ""
        )

    def _step(self, step: Step, relation: str) -> str:
        part = ("part of " if self._up else "with ") if relation == "isPartOf" else ""
        arrow = "<- " if self._up else "-> "
        text = f"{arrow}{part}{step.name}  ({step.where})"
        if step.error:
            text += f"  failed: {one_line(step.error)}"
        if self._settings and step.settings:
            text += "  " + " ".join(
                f"{name}={one_line(v)}" for name, v in sorted(step.settings.items())
            )
        return text

    def _name(self, entity: Entity) -> str:
        if entity.value is not None:
            return f"{entity.label} = {one_line(entity.value)}"
        return one_line(entity.path or entity.label).removeprefix(f"{self._here}/")


def _details(entity: Entity) -> str:
    words = [entity.kind] if entity.kind not in ("file", "value", "entity") else []
    words += [entity.version] if entity.version and entity.kind != "directory" else []
    return f"  ({', '.join(words)})" if words else ""


def one_line(text: str, longest: int = 200) -> str:
    """Return text that can't break a line or drive a terminal."""
    plain = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    return plain if len(plain) <= longest else plain[: longest - 1] + "…"
