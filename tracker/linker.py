"""Link what ranks said: give every value, activity and plan its identity.

`link` is a pure function of frames, and holds no state that a restart could lose: identities come
from names (`pllib.identity`), and what needs several frames is computed by query.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

import msgspec

from pllib import identity, linked
from pllib.log import Frame, record_bodies
from pllib.records import (
    ROOT,
    AnyRecord,
    Closed,
    Context,
    Ended,
    FileVersion,
    Generated,
    Handle,
    Metric,
    Reference,
    Signature,
    Started,
    Transformation,
    Used,
    decode,
    decode_values,
)

from .literals import literal

HYPERPARAMETER = "hp:"
"""Prefix that pllib gives the names of hyperparameters."""


def context_of(frame: Frame) -> Context | None:
    """Return the context that a frame begins with; None if it has none that can be read."""
    for body in record_bodies(frame.payload):
        try:
            record = decode(body)
        except msgspec.MsgspecError:
            return None
        return record if isinstance(record, Context) else None
    return None


def link(frames: Iterable[tuple[int, Frame]], journal: str, queue: str) -> linked.Batch:
    """Link frames of one run.

    Args:
        frames: (ordinal in the journal, frame), all of the run `queue`, in order.
    """
    linking = _Linking()
    ordinals = []
    for ordinal, frame in frames:
        ordinals.append(ordinal)
        linking.frame(frame)
    return linking.batch(journal, queue, ordinals)


Shared = tuple[linked.EntityKind, str]
"""A shared entity: a file, reference or what a handle stands for."""

PLAIN = frozenset({int, float, str, bool})
"""Types of most values, which are never shared."""

UNREADABLE = (LookupError, ValueError, TypeError, RecursionError, msgspec.MsgspecError)
"""What a record raises that no pllib of this version writes."""

FILE_KINDS: dict[str, linked.FileKind] = {"model": "model", "directory": "directory"}


class _Names:
    """A signature with its identities: one a frame."""

    __slots__ = ("association", "generated", "kind", "name", "plan", "used")

    def __init__(self, kind: str, name: str, plan: str, association: str) -> None:
        self.kind = kind
        self.name = name
        self.plan = plan
        self.association = association
        self.used: list[str] = []
        self.generated: list[str] = []


class _Linking:
    """The tables of one batch, keyed by identity."""

    def __init__(self) -> None:
        self.n_records = 0
        self.runs: dict[str, linked.Run] = {}
        self.agents: dict[str, linked.Agent] = {}
        self.plans: dict[str, linked.Plan] = {}
        self.attributes: dict[str, linked.Attribute] = {}
        self.associations: dict[str, linked.Association] = {}
        self.collectives: dict[str, linked.Collective] = {}
        self.activities: list[linked.Activity] = []
        self.values: dict[str, linked.Value] = {}
        self.files: dict[str, linked.File] = {}
        self.roles: dict[tuple[str, str, str], linked.Role] = {}
        self.derivations: dict[tuple[linked.EntityKind, str, linked.EntityKind, str], None] = {}
        self.series: dict[str, linked.Series] = {}
        self.points = linked.Points([], [], [], [], [], [], [], [], [])
        self.sessions: list[linked.Session] = []
        self.used_ids: dict[tuple[str, str, str], str] = {}

    def batch(self, journal: str, queue: str, ordinals: list[int]) -> linked.Batch:
        return linked.Batch(
            version=linked.WIRE_VERSION,
            journal=journal,
            queue=queue,
            first=ordinals[0] if ordinals else 0,
            last=ordinals[-1] if ordinals else 0,
            n_frames=len(ordinals),
            n_records=self.n_records,
            runs=list(self.runs.values()),
            agents=list(self.agents.values()),
            plans=list(self.plans.values()),
            attributes=list(self.attributes.values()),
            associations=list(self.associations.values()),
            collectives=list(self.collectives.values()),
            activities=self.activities,
            values=list(self.values.values()),
            files=list(self.files.values()),
            roles=list(self.roles.values()),
            derivations=list(self.derivations),
            series=list(self.series.values()),
            points=self.points if self.points.seq else None,
            sessions=self.sessions,
        )

    def frame(self, frame: Frame) -> None:
        """Link one frame; a record that a newer pllib writes, or a wrong one, is passed over."""
        context = context_of(frame)
        if context is not None:
            speaker = _Speaker(self, frame.log_id, context)
            for body in record_bodies(frame.payload):
                try:
                    record = decode(body)
                except msgspec.MsgspecError:
                    continue
                with contextlib.suppress(*UNREADABLE):
                    speaker.say(record)


class _Speaker:
    """One frame's speaker: a session, with what the frame has named so far."""

    def __init__(self, tables: _Linking, log_id: bytes, context: Context) -> None:
        self._tables = tables
        self._log_id = log_id
        self._context = context
        self._signatures: dict[int, _Names] = {}
        self._attempt = identity.attempt(context.run, context.restart)
        self._agent = identity.digest(
            "agent", self._attempt, context.rank, context.host, context.pid
        )
        self._handlers: dict[type, Any] = {
            Transformation: self._transformation,
            Started: self._started,
            Ended: self._ended,
            Used: self._used,
            Generated: self._generated,
            Metric: self._metric,
            Closed: self._closed,
        }
        self._introduce()

    def say(self, record: AnyRecord) -> None:
        if isinstance(record, Signature):
            self._define(record)
        elif not isinstance(record, Context):
            self._tables.n_records += 1
            self._handlers[type(record)](record)

    def _introduce(self) -> None:
        context, tables = self._context, self._tables
        workflow = self._plan("workflow", "")
        tables.runs.setdefault(
            self._attempt,
            linked.Run(
                context.run, self._attempt, context.restart, context.name, context.study,
                context.experiment, workflow, context.project, context.program, context.user,
                context.size, context.facts, context.tags,
            ),
        )  # fmt: skip
        tables.agents.setdefault(
            self._agent,
            linked.Agent(
                self._agent, context.run, context.rank, context.host, context.pid, context.user,
                context.program,
            ),
        )  # fmt: skip

    def _plan(self, kind: str, name: str) -> str:
        context = self._context
        plan = identity.plan(context.project, context.workflow, name)
        if plan not in self._tables.plans:
            workflow = None if kind == "workflow" else self._plan("workflow", "")
            label = context.workflow if kind == "workflow" else name
            self._tables.plans[plan] = linked.Plan(plan, kind, label, workflow)
        return plan

    def _define(self, record: Signature) -> None:
        whole = record.kind == "run"
        plan = self._plan("workflow", "") if whole else self._plan(record.kind, record.name)
        association = identity.digest("association", self._agent, plan)
        self._tables.associations.setdefault(
            association, linked.Association(association, self._agent, plan)
        )
        names = _Names(record.kind, "" if whole else record.name, plan, association)
        names.used = [self._used_attribute(names, name) for name in record.used]
        names.generated = [self._attribute(names, "out", name) for name in record.generated]
        self._signatures[record.id] = names

    def _used_attribute(self, names: _Names, name: str) -> str:
        if name.startswith(HYPERPARAMETER):
            return self._attribute(names, "hyperparameter", name[len(HYPERPARAMETER) :])
        return self._attribute(names, "in", name)

    def _attribute(self, names: _Names, direction: linked.AttributeDirection, name: str) -> str:
        context = self._context
        attribute = identity.attribute(
            context.project, context.workflow, names.name, direction, name
        )
        if attribute not in self._tables.attributes:
            self._tables.attributes[attribute] = linked.Attribute(
                attribute, names.plan, name, direction
            )
        return attribute

    def _activity(self, seq: int) -> str:
        return identity.activity(self._log_id, seq)

    def _transformation(self, record: Transformation) -> None:
        activity = self._activity(record.seq)
        names = self._signatures[record.signature]
        used, sources = self._use(activity, names, decode_values(record.used))
        values = decode_values(record.generated)
        generated, made = self._generate(activity, names, values, record.seq)
        for derived in made:
            for source in sources:
                link = (*derived, *source)
                self._tables.derivations[link] = None
        self._tables.activities.append(
            linked.Activity(
                activity, names.kind, names.association, *self._parent(record.parent),
                record.started_ns, record.started_ns + record.duration_ns, record.error,
                None, used, generated,
            )
        )  # fmt: skip

    def _parent(self, parent: int) -> tuple[str, linked.Whole]:
        """Return the identity and kind of what an activity is part of."""
        return (
            (self._attempt, "attempt") if parent == ROOT else (self._activity(parent), "activity")
        )

    def _started(self, record: Started) -> None:
        names = self._signatures[record.signature]
        collective = self._collective(record.path) if record.path else None
        self._tables.activities.append(
            linked.Activity(
                self._activity(record.activity), names.kind, names.association,
                *self._parent(record.parent), record.started_ns, None, None, record.index, [], [],
                collective,
            )
        )  # fmt: skip

    def _collective(self, path: str) -> str:
        """Return what the ranks at this path do together, with all that contains it."""
        found = identity.collective(self._attempt, path)
        if found not in self._tables.collectives:
            above, _, here = path.rpartition("/")
            kind, name, index, _ = (unquote(part) for part in here.split(":"))
            self._tables.collectives[found] = linked.Collective(
                found, kind, self._plan(kind, name),
                self._collective(above) if above else self._attempt, not above,
                int(index) if index and len(index) < 20 else None, f"{name} {index}".strip(),
            )  # fmt: skip
        return found

    def _ended(self, record: Ended) -> None:
        self._add(record.activity, ended_ns=record.ended_ns, error=record.error)

    def _used(self, record: Used) -> None:
        activity, names = self._activity(record.activity), self._signatures[record.signature]
        used, _ = self._use(activity, names, decode_values(record.values))
        self._add(record.activity, used=used)

    def _generated(self, record: Generated) -> None:
        activity, names = self._activity(record.activity), self._signatures[record.signature]
        values = decode_values(record.values)
        generated, _ = self._generate(activity, names, values, record.seq)
        self._add(record.activity, generated=generated)

    def _add(
        self,
        seq: int,
        *,
        ended_ns: int | None = None,
        error: str | None = None,
        used: list[str] | None = None,
        generated: list[linked.Value] | None = None,
    ) -> None:
        self._tables.activities.append(
            linked.Activity(
                self._activity(seq), None, None, None, "", None, ended_ns, error, None,
                used or [], generated or [],
            )
        )  # fmt: skip

    def _use(
        self, activity: str, names: _Names, values: list[Any]
    ) -> tuple[list[str], list[Shared]]:
        """Return plain values' identities, and shared entities as (kind, identity)."""
        plain: list[str] = []
        shared: list[Shared] = []
        for attribute, value in zip(names.used, values, strict=False):
            entities = None if type(value) in PLAIN else self._shared(value)
            if entities:
                shared.extend(entities)
                self._play(activity, entities, attribute, "used")
            else:
                plain.append(self._used_value(attribute, *literal(value)))
        return plain, shared

    def _used_value(self, attribute: str, datatype: linked.Datatype, lexical: str) -> str:
        key = (attribute, datatype, lexical)
        found = self._tables.used_ids.get(key)
        if found is None:
            found = identity.used_value(self._context.run, *key)
            self._tables.used_ids[key] = found
            self._tables.values[found] = linked.Value(found, attribute, datatype, lexical)
        return found

    def _generate(
        self, activity: str, names: _Names, values: list[Any], ordinal: int
    ) -> tuple[list[linked.Value], list[Shared]]:
        plain: list[linked.Value] = []
        shared: list[Shared] = []
        for attribute, value in zip(names.generated, values, strict=False):
            entities = None if type(value) in PLAIN else self._shared(value)
            if entities:
                shared.extend(entities)
                self._play(activity, entities, attribute, "generated")
            else:
                entity = identity.generated_value(activity, attribute, ordinal)
                plain.append(linked.Value(entity, attribute, *literal(value)))
        return plain, shared

    def _play(
        self,
        activity: str,
        entities: list[Shared],
        attribute: str,
        direction: linked.RoleDirection,
    ) -> None:
        for kind, entity in entities:
            self._tables.roles[(activity, entity, attribute)] = linked.Role(
                activity, entity, kind, attribute, direction
            )

    def _shared(self, value: Any) -> list[Shared]:
        """Return the shared entities that a value is or lists: files, references, handles."""
        if isinstance(value, FileVersion):
            return [("file", self._file(value))]
        if isinstance(value, Reference):
            return [("file", self._reference(value))]
        if isinstance(value, Handle):
            return [("value", self._handle(value))]
        if isinstance(value, list) and value and isinstance(value[0], FileVersion | Handle):
            return [entity for item in value for entity in self._shared(item)]
        return []

    def _file(self, value: FileVersion) -> str:
        entity = identity.file_version(value.store, value.path, value.size, value.mtime_ns)
        characteristics = tuple((k, *literal(v)) for k, v in value.characteristics.items())
        key = f"{entity}{value.kind}"
        self._tables.files[key] = linked.File(
            entity,
            FILE_KINDS.get(value.kind, "file"),
            value.store,
            value.path,
            value.size,
            value.mtime_ns,
            characteristics,
        )
        return entity

    def _reference(self, value: Reference) -> str:
        entity = identity.reference(value.store, value.key)
        self._tables.files[entity] = linked.File(entity, "reference", value.store, value.key, 0, 0)
        return entity

    def _handle(self, value: Handle) -> str:
        context = self._context
        attribute = identity.attribute(
            context.project, context.workflow, value.transformation, "out", value.name
        )
        activity = identity.activity(bytes.fromhex(value.log_id), value.activity)
        return identity.generated_value(activity, attribute, value.ordinal)

    def _metric(self, record: Metric) -> None:
        context, tables = self._context, self._tables
        names = self._signatures[record.signature]
        measure = names.generated[0]
        name = tables.attributes[measure].name
        series = identity.series(context.run, context.rank, name)
        tables.series.setdefault(
            series,
            linked.Series(
                series, context.run, context.rank, name, self._agent, measure, record.unit
            ),
        )
        points = tables.points
        points.log_id.append(self._log_id)
        points.seq.append(record.seq)
        points.series.append(series)
        points.activity.append(self._activity(record.activity))
        points.rank.append(context.rank)
        points.name.append(name)
        points.step.append(record.step)
        points.at_ns.append(record.at_ns)
        points.value.append(record.value)

    def _closed(self, record: Closed) -> None:
        self._tables.sessions.append(
            linked.Session(
                self._log_id.hex(), self._context.run, self._agent, record.n_records,
                record.lost, record.at_ns,
            )
        )  # fmt: skip
