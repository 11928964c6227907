"""Shared entities: what several executions know as the same thing, from what a value says of it."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

from pllib import identity, linked
from pllib.records import DatasetReference, FileVersion, Handle, Reference

from .literals import literal
from .prospective import Plans
from .tables import Derivation, Tables

Entity = tuple[linked.EntityKind, str]

_FILE_KINDS: dict[str, linked.FileKind] = {
    "model": "model",
    "checkpoint": "checkpoint",
    "directory": "directory",
}
_SHARED = (FileVersion, Reference, Handle, DatasetReference)


class Shared(NamedTuple):
    """What a value stands for: `things`, and with data sets the files that they are made of."""

    things: list[Entity]
    members: list[Entity]
    plain: list[Any] = []
    """What a list lists beside such things, as files that were not there."""
    makers: dict[Entity, str] = {}
    """Of what is known to have been generated before: by which activity."""

    @property
    def entities(self) -> list[Entity]:
        return [*self.things, *self.members]

    def earlier_than(self, activity: str) -> frozenset[Entity]:
        """Return what another activity generated: nothing is generated twice."""
        return frozenset(entity for entity, maker in self.makers.items() if maker != activity)


def versions(tables: Tables, shared: Shared) -> frozenset[Entity]:
    """Return what can't be made again; data sets, and references without a version, can."""
    found = [entity for kind, entity in shared.entities if kind == "file"]
    references = {entity: tables.files.get((entity, "reference")) for entity in found}
    return frozenset(
        ("file", entity)
        for entity, reference in references.items()
        if reference is None or reference.version
    )


def derive(tables: Tables, made: list[Entity], sources: list[Entity]) -> None:
    """Say what was made of what, where one side is a single thing.

    With several of both nobody has said which is of which.
    """
    if len(set(made)) == 1 or len(set(sources)) == 1:
        for derived, source in itertools.product(made, sources):
            if derived != source:  # what is known by a name alone
                edge: Derivation = (*derived, *source)
                tables.derivations[edge] = None


class Entities:
    """Finds the shared entities of one context's values."""

    def __init__(self, tables: Tables, plans: Plans) -> None:
        self._tables = tables
        self._plans = plans

    def of(self, value: Any) -> Shared | None:
        """Return what a value is, or a list of what it lists; None for a plain value."""
        if isinstance(value, FileVersion):
            return Shared([("file", self.file(value))], [])
        if isinstance(value, Reference):
            return Shared([("file", self._reference(value))], [])
        if isinstance(value, Handle):
            activity = identity.activity(bytes.fromhex(value.log_id), value.activity)
            thing: Entity = ("value", self._handle(value, activity))
            return Shared([thing], [], makers={thing: activity})
        if isinstance(value, DatasetReference):
            files = [self.file(file) for file in value.files]
            members: list[Entity] = [("file", file) for file in files]
            return Shared([("dataset", self._dataset(value, files))], members)
        if isinstance(value, list) and any(isinstance(item, _SHARED) for item in value):
            found = [self.of(item) for item in value if isinstance(item, _SHARED)]
            return Shared(
                [entity for shared in found if shared for entity in shared.things],
                [entity for shared in found if shared for entity in shared.members],
                [item for item in value if not isinstance(item, _SHARED)],
                {k: v for shared in found if shared for k, v in shared.makers.items()},
            )
        return None

    def file(self, value: FileVersion) -> str:
        entity = identity.file_version(
            value.store, value.path, value.size, value.mtime_ns, value.version
        )
        self._tables.files[entity, value.kind] = linked.File(
            entity,
            _FILE_KINDS.get(value.kind, "file"),
            value.store,
            value.path,
            value.size,
            value.mtime_ns,
            value.version,
        )
        if value.kind == "checkpoint":
            self._checkpoint(entity, value)
        self._characterise("file", entity, "model_characteristic", value.characteristics)
        return entity

    def _checkpoint(self, entity: str, value: FileVersion) -> None:
        literals: list[tuple[str, linked.Datatype, str]] = []
        if value.step is not None:
            literals.append(("step", *literal(value.step)))
        if value.best:
            literals.append(("best", "boolean", "true"))
        if value.score is not None:
            literals.append(("score", *literal(value.score)))
        self._tables.node("file", entity, None, tuple(literals))

    def _characterise(
        self,
        kind: linked.NodeKind,
        owner: str,
        characteristic: linked.NodeKind,
        given: dict[str, Any],
    ) -> None:
        for name, value in given.items():
            datatype, lexical = literal(value)
            found = identity.digest("characteristic", owner, name, datatype, lexical)
            self._tables.node(characteristic, found, name, (("value", datatype, lexical),))
            self._tables.node(kind, owner, links=(("characteristic", characteristic, found),))

    def _reference(self, value: Reference) -> str:
        entity = identity.reference(value.store, value.key, value.version)
        self._tables.files[entity, "reference"] = linked.File(
            entity, "reference", value.store, value.key, 0, 0, value.version
        )
        store = self._plans.named("datastore", value.store)
        self._tables.node("datastore", store, value.store)
        self._tables.node("file", entity, links=(("store", "datastore", store),))
        return entity

    def _handle(self, value: Handle, activity: str) -> str:
        plan = self._plans.plan(value.kind, value.transformation)
        attribute = self._plans.attribute(plan, "out", value.name)
        return identity.generated_value(activity, attribute, value.ordinal)

    def _dataset(self, value: DatasetReference, files: list[str]) -> str:
        kind: linked.NodeKind = "dataset" if value.features is None else "featuredata"
        entity = identity.dataset(value.name, value.version, value.fingerprint, value.split, files)
        literals = [
            (name, *literal(text))
            for name in ("version", "fingerprint", "split")
            if (text := getattr(value, name)) is not None
        ]
        links: list[tuple[str, linked.NodeKind, str]] = [("member", "file", f) for f in files]
        if value.features is not None:
            links.append(("of_feature_set", "featureset", self._features(value)))
        self._tables.node(kind, entity, value.name, tuple(literals), tuple(links))
        self._characterise(kind, entity, "characteristic", value.characteristics)
        return entity

    def _features(self, value: DatasetReference) -> str:
        named = self._plans.named
        features = [(name, named("feature", name)) for name in value.features or ()]
        for name, feature in features:
            self._tables.node("feature", feature, name)
        found = named("featureset", value.name)
        return self._tables.node(
            "featureset", found, value.name,
            links=tuple(("features", "feature", feature) for _, feature in features),
        )  # fmt: skip
