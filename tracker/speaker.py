"""What one frame's speaker says: its executions, and what else its records tell."""

from __future__ import annotations

import functools
from typing import Any
from urllib.parse import unquote

from pllib import identity, linked
from pllib.log import Frame
from pllib.plans import HYPERPARAMETER, MODEL_HYPERPARAMETER, RESUMED_FROM, TRIAL
from pllib.records import (
    NO_RANK,
    ROOT,
    Accounted,
    Adapted,
    AnyRecord,
    Closed,
    Context,
    Declared,
    Digested,
    Ended,
    Facts,
    Generated,
    Imported,
    Metric,
    Outcome,
    RunReference,
    Signature,
    Started,
    Summary,
    Transformation,
    Used,
    decode_values,
)

from .accounts import account, resources, tell_facts, tell_outcome
from .contexts import introduce
from .entities import Entities, Entity, Shared, derive, versions
from .literals import literal
from .prospective import Plans
from .tables import Tables

HYPERPARAMETERS: dict[str, linked.AttributeDirection] = {
    HYPERPARAMETER: "hyperparameter",
    MODEL_HYPERPARAMETER: "model_hyperparameter",
}
EVALUATING = ("evaluation", "validation")
PLAIN = frozenset({int, float, str, bool})
"""Types of most values, which are never shared."""
LARGEST_RANK = (1 << 31) - 1
LATEST_NS = (1 << 63) - 1


class _Names:
    """A signature with its identities: one a frame."""

    __slots__ = ("association", "generated", "kind", "plan", "used")

    def __init__(self, kind: str, plan: str, association: str) -> None:
        self.kind = kind
        self.plan = plan
        self.association = association
        self.used: list[str] = []
        self.generated: list[str] = []


class Speaker:
    """One frame's speaker: a session, with what the frame has named so far."""

    def __init__(self, tables: Tables, log_id: bytes, number: int, context: Context) -> None:
        """Args:
        number: Of the frame in its log.
        """
        self._tables = tables
        self._log_id = log_id
        self._context = context
        self._signatures: dict[int, _Names] = {}
        self._resumes: set[str] = set()
        self._attempt = identity.attempt(context.run, context.restart)
        self._plans = Plans(tables, context.project, context.workflow)
        self._entities = Entities(tables, self._plans)
        self._handlers: dict[type, Any] = {
            Transformation: self._transformation,
            Started: self._started,
            Ended: self._ended,
            Used: self._used,
            Generated: self._generated,
            Adapted: self._adapted,
            Summary: self._summary,
            Closed: self._closed,
            Declared: self._declared,
            Digested: self._digested,
            Imported: self._imported,
            Outcome: functools.partial(tell_outcome, tables),
            Facts: self._facts,
            Accounted: functools.partial(account, tables),
        }
        if not NO_RANK <= context.rank <= LARGEST_RANK:
            raise OverflowError(context.rank)
        self._agent = "" if context.rank == NO_RANK else introduce(tables, self._plans, context)
        if number == 0 and context.facts:  # all frames of a log say the same
            tell_facts(tables, context.run, context.host, context.facts)
        if context.wraps:
            wraps = ("wraps", "boolean", "true")
            tables.node("activity", self._activity(0), literals=(wraps,))  # type: ignore[arg-type]

    def say(self, record: AnyRecord) -> None:
        if isinstance(record, Signature):
            self._define(record)
        elif not isinstance(record, Context):
            self._handlers[type(record)](record)
            self._tables.n_records += 1

    def _define(self, record: Signature) -> None:
        if not self._agent:
            return
        plan = self._plans.plan(record.kind, record.name)
        association = identity.digest("association", self._agent, plan)
        self._tables.associations.setdefault(
            association, linked.Association(association, self._agent, plan)
        )
        names = _Names(record.kind, plan, association)
        names.used = [self._used_attribute(plan, name) for name in record.used]
        names.generated = [self._plans.attribute(plan, "out", name) for name in record.generated]
        self._signatures[record.id] = names

    def _used_attribute(self, plan: str, name: str) -> str:
        prefix, colon, rest = name.partition(":")
        if prefix + colon in HYPERPARAMETERS:
            return self._plans.attribute(plan, HYPERPARAMETERS[prefix + colon], rest)
        attribute = self._plans.attribute(plan, "in", name)
        if name == RESUMED_FROM:
            self._resumes.add(attribute)
        return attribute

    def _activity(self, seq: int) -> str:
        return identity.activity(self._log_id, seq)

    def _transformation(self, record: Transformation) -> None:
        activity = self._activity(record.seq)
        names = self._signatures[record.signature]
        ended_ns = record.started_ns + record.duration_ns
        if ended_ns > LATEST_NS:
            raise OverflowError(ended_ns)
        used, sources = self._use(activity, names, decode_values(record.used))
        values = decode_values(record.generated)
        there = versions(self._tables, sources)
        generated, made = self._generate(activity, names, values, record.seq, there)
        derive(self._tables, made, sources.things)
        self._tables.activities.append(
            linked.Activity(
                activity, names.kind, names.association, *self._parent(record.parent),
                record.started_ns, ended_ns, record.error,
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
        activity = self._activity(record.activity)
        collective = self._collective(record.path) if record.path else None
        if record.label:
            self._tables.node("activity", activity, record.label)
        self._tables.activities.append(
            linked.Activity(
                activity, names.kind, names.association, *self._parent(record.parent),
                record.started_ns, None, None, record.index, [], [], collective,
            )
        )  # fmt: skip

    def _collective(self, path: str) -> str:
        """Return what the ranks at this path do together, with all that contains it."""
        found = identity.collective(self._attempt, path)
        if found not in self._tables.collectives:
            above, _, here = path.rpartition("/")
            kind, name, index, _ = (unquote(part) for part in here.split(":"))
            self._tables.collectives[found] = linked.Collective(
                found, kind, self._plans.plan(kind, TRIAL if kind == TRIAL else name),
                self._collective(above) if above else self._attempt, not above,
                int(index) if index and len(index) < 20 else None, f"{name} {index}".strip(),
                identity.user(self._context.user),
            )  # fmt: skip
        return found

    def _ended(self, record: Ended) -> None:
        self._add(record.activity, ended_ns=record.ended_ns, error=record.error)
        if record.with_process:
            literals: tuple[tuple[str, linked.Datatype, str], ...] = (
                ("ended_with_process", "boolean", "true"),
            )
            self._tables.node("activity", self._activity(record.activity), literals=literals)
        if record.resources:
            used = resources(record.resources)
            self._tables.node("activity", self._activity(record.activity), literals=used)

    def _used(self, record: Used) -> None:
        activity, names = self._activity(record.activity), self._signatures[record.signature]
        used, _ = self._use(activity, names, decode_values(record.values))
        self._add(record.activity, used=used)

    def _generated(self, record: Generated) -> None:
        activity, names = self._activity(record.activity), self._signatures[record.signature]
        values = decode_values(record.values)
        generated, _ = self._generate(activity, names, values, record.seq)
        self._add(record.activity, generated=generated)

    def _adapted(self, record: Adapted) -> None:
        """A value that is used from a moment on: its usage says since when."""
        names = self._signatures[record.signature]
        attribute, (value,) = names.used[0], decode_values(record.values)
        entity = self._used_value(attribute, *literal(value))
        activity = self._activity(record.activity)
        self._tables.roles[activity, entity, attribute, record.at_ns] = linked.Role(
            activity, entity, "value", attribute, "used", record.at_ns, record.step
        )

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

    def _use(self, activity: str, names: _Names, values: list[Any]) -> tuple[list[str], Shared]:
        """Return plain values' identities, and what the rest are."""
        plain: list[str] = []
        rest = Shared([], [])
        for attribute, value in zip(names.used, values, strict=False):
            shared = None if type(value) in PLAIN else self._entities.of(value)
            if shared is not None:
                rest.things.extend(shared.things)
                rest.members.extend(shared.members)
                self._play(activity, shared, attribute, "used")
                if shared.plain:
                    plain.append(self._used_value(attribute, *literal(shared.plain)))
            elif isinstance(value, RunReference) and identity.is_one(value.run):
                self._resume(activity, "run", value.run)
            else:
                plain.append(self._used_value(attribute, *literal(value)))
        return plain, rest

    def _used_value(self, attribute: str, datatype: linked.Datatype, lexical: str) -> str:
        key = (attribute, datatype, lexical)
        tables = self._tables
        found = tables.used_ids.get(key)
        if found is None:
            found = identity.used_value(self._context.run, *key)
            tables.used_ids[key] = found
            tables.values[found] = linked.Value(found, attribute, datatype, lexical)
            if attribute in tables.hyperparameters:
                tables.types[found] = tables.hyperparameters[attribute]
        return found

    def _generate(
        self,
        activity: str,
        names: _Names,
        values: list[Any],
        ordinal: int,
        there: frozenset[Entity] = frozenset(),
    ) -> tuple[list[linked.Value], list[Entity]]:
        """Return plain values, and the shared things that are new.

        Args:
            there: Versions that the activity used: what was there before was not made by it.
        """
        plain: list[linked.Value] = []
        things: list[Entity] = []
        for attribute, value in zip(names.generated, values, strict=False):
            shared = None if type(value) in PLAIN else self._entities.of(value)
            if shared is not None:
                earlier = there | shared.earlier_than(activity)
                things.extend(thing for thing in shared.things if thing not in earlier)
                self._play(activity, shared, attribute, "generated", earlier)
            if shared is None or shared.plain:
                entity = identity.generated_value(activity, attribute, ordinal)
                rest = value if shared is None else shared.plain
                plain.append(linked.Value(entity, attribute, *literal(rest)))
        if names.kind in EVALUATING:
            self._evaluate(plain)
        return plain, things

    def _evaluate(self, values: list[linked.Value]) -> None:
        """Numbers that an evaluation or validation generates are evaluations of a model."""
        for value in values:
            if value.datatype in ("double", "integer"):
                self._tables.types[value.id] = "evaluation"
                name = self._tables.attributes[value.attribute].name
                self._plans.measure(value.attribute, name)

    def _play(
        self,
        activity: str,
        shared: Shared,
        attribute: str,
        direction: linked.RoleDirection,
        earlier: frozenset[Entity] = frozenset(),
    ) -> None:
        """Say which part things play; what is `earlier` is used, as whatever it is named."""
        for kind, entity in shared.entities:
            self._tables.roles[activity, entity, attribute, None] = linked.Role(
                activity, entity, kind, attribute,
                "used" if (kind, entity) in earlier else direction,
            )  # fmt: skip
            if attribute in self._resumes and kind == "file":
                self._resume(activity, "file", entity)

    def _resume(self, activity: str, kind: linked.NodeKind, source: str) -> None:
        self._tables.node("activity", activity, links=(("resumed_from", kind, source),))

    def measure(self, frame: Frame, metrics: list[Metric]) -> dict[str, int]:
        """Add the frame's points, once its signatures are known.

        Returns:
            How many were skipped, by reason.
        """
        skipped = self._tables.points.add(frame, metrics, self._source)
        self._tables.n_records += len(metrics) - sum(skipped.values())
        return skipped

    def _source(self, metric: Metric) -> linked.PointSource:
        name, series = self._series(metric.signature, metric.unit)
        return linked.PointSource(self._log_id, series, self._context.rank, name)

    def _series(
        self, signature: int, unit: str | None, summary: linked.SeriesSummary | None = None
    ) -> tuple[str, str]:
        """Return name and identity of the series that a signature's first generated name is."""
        context, tables = self._context, self._tables
        measured = self._signatures[signature].generated[0]
        name = tables.attributes[measured].name
        series = identity.series(self._log_id, name)
        key = series, measured, self._agent, unit, summary
        if key not in tables.series:
            self._plans.measure(measured, name)
            tables.series[key] = linked.Series(
                series, context.run, context.rank, name, self._agent, measured, unit, summary
            )
        return name, series

    def _summary(self, record: Summary) -> None:
        n_finite = record.n_points - record.n_not_finite
        mean = record.total / n_finite if n_finite else None
        summary = linked.SeriesSummary(
            record.n_points, record.n_not_finite, record.first, record.last, record.least,
            record.most, mean,
        )  # fmt: skip
        self._series(record.signature, None, summary)

    def _closed(self, record: Closed) -> None:
        if self._context.rank != NO_RANK:
            self._tables.sessions.append(
                linked.Session(
                    self._log_id.hex(), self._context.run, self._agent, record.n_records,
                    record.lost, record.at_ns,
                )
            )  # fmt: skip

    def _declared(self, record: Declared) -> None:
        workflow = record.workflow or self._context.workflow
        Plans(self._tables, self._context.project, workflow).declare(record)

    def _digested(self, record: Digested) -> None:
        file = identity.file_version(
            record.store, record.path, record.size, record.mtime_ns, record.version
        )
        node = self._tables.node
        if record.digest is None:
            node("file", file, None, (("overwritten", "boolean", "true"),))
            return
        content = identity.content(record.digest)
        size = ("size", *literal(record.size))
        node("content", content, None, (("digest", "string", record.digest), size))
        node("file", file, links=(("content", "content", content),))

    def _facts(self, record: Facts) -> None:
        tell_facts(self._tables, self._context.run, self._context.host, record.facts)

    def _imported(self, record: Imported) -> None:
        self._tables.imported.append(record.triples)
