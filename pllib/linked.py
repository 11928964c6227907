"""Linked provenance: what the tracker hands to the manager, identities resolved.

One `Batch` is the body of ``POST /v1/provenance`` (msgpack, ``application/msgpack``).  It covers
the frames `first` to `last` of one journal that belong to one queue (a run).  All identities are
32 hex characters (`pllib.identity`), times are nanoseconds UTC, values are (datatype, lexical) with
the datatype an XSD or RDF local name such as ``double`` or ``JSON``.

The mapping of a batch to triples is a pure function of it, and a batch is a pure function of its
frames, so delivery may repeat and batches may be cut anywhere.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from .records import UNDECODABLE

WIRE_VERSION = 2

Id = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]
"""An identity.  Checked, since identities become IRIs; so are words that choose a kind of IRI."""

ManyId = Annotated[str, msgspec.Meta(min_length=32, max_length=32)]
"""An identity where a batch has tens of thousands: `decode_batch` checks them all at once."""

LogId = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]

Datatype = Literal[
    "string", "integer", "double", "boolean", "dateTime", "JSON", "nil", "described"
]  # fmt: skip
EntityKind = Literal["file", "value", "dataset"]
"""``file`` stands for models, directories and references too."""
FileKind = Literal["file", "directory", "model", "checkpoint", "reference"]
AttributeDirection = Literal["in", "out", "hyperparameter", "model_hyperparameter"]
RoleDirection = Literal["used", "generated"]
ValueType = Literal["hyperparameter", "model_hyperparameter", "evaluation"]
NodeKind = Literal[
    "study", "experiment", "plan", "attribute", "task", "algorithm", "implementation", "software",
    "schema", "datastore", "featureset", "feature", "dataset", "featuredata", "characteristic",
    "model_characteristic", "model_schema", "prospection", "evaluation_specification",
    "evaluation_procedure", "measure", "persona", "job", "step", "content", "association", "file",
    "activity", "attempt", "run", "value", "array", "accounting", "skipped", "log", "fact",
    "node",
]  # fmt: skip
Whole = Literal["activity", "collective", "attempt", ""]


class Value(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A plain value's entity."""

    id: ManyId
    attribute: ManyId
    datatype: Datatype
    """An XSD or RDF local name; ``nil`` for None; for what could not be kept ``described``, with
    JSON of `pllib.records.Described` as its lexical form."""
    lexical: str


class Attribute(msgspec.Struct, array_like=True, frozen=True, gc=False):
    id: Id
    plan: Id
    name: str
    direction: AttributeDirection


class Plan(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What was planned: a data transformation, learning stage or section; or a workflow."""

    id: Id
    kind: str
    """workflow, transformation, training, validation, evaluation, feature_extraction, trial, or a
    section's kind."""
    name: str
    workflow: Id | None
    """Identity of the workflow's plan; None for a workflow."""


class Run(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A run and its attempt, as one rank's context tells it."""

    id: Id
    attempt: Id
    restart: int
    name: str | None
    study: str | None
    experiment: str | None
    workflow: Id
    project: str
    program: str
    user: str
    size: int
    facts: dict[str, str]
    tags: tuple[str, ...] = ()


class Agent(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A rank as a software agent that acted on behalf of a user, on a node."""

    id: Id
    run: Id
    rank: int
    host: str
    pid: int
    user: str
    program: str


class Association(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Shared by all executions of one plan by one agent."""

    id: Id
    agent: Id
    plan: Id


class File(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A version of a file, directory, model or checkpoint; or a reference, as `kind` says."""

    id: Id
    kind: FileKind
    store: str
    path: str
    size: int
    mtime_ns: int
    version: str = ""
    """Of a directory or reference; empty for none."""


class Collective(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What all ranks of an attempt do together."""

    id: Id
    kind: str
    plan: Id
    part_of: Id
    """Identity of the collective that contains it, or of the attempt."""
    top: bool
    """True when `part_of` is the attempt."""
    index: int | None
    label: str
    user: Id | None = None
    """Identity of the user that it is associated with; earlier trackers did not tell."""


class Role(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A qualified usage or generation: a shared entity and the attribute that is its role."""

    activity: Id
    entity: Id
    entity_kind: EntityKind
    attribute: Id
    direction: RoleDirection
    at_ns: int | None = None
    """When, if not when the activity began or ended: a hyperparameter that was adapted."""
    step: int | None = None


class Node(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Anything else that has a name, or more to say of a thing in another table.

    Properties are names that the manager knows (`manager.vocabulary`); it passes over others.
    """

    kind: NodeKind
    id: Id
    label: str | None = None
    literals: tuple[tuple[str, Datatype, str], ...] = ()
    """(property, datatype, lexical)"""
    links: tuple[tuple[str, NodeKind, Id], ...] = ()
    """(property, kind, identity)"""


class Activity(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """An execution by one rank, as far as these frames tell of it."""

    id: Id
    kind: str | None
    """None when these frames only add to it."""
    association: Id | None
    part_of: Id | None
    part_of_kind: Whole
    started_ns: int | None
    ended_ns: int | None
    error: str | None
    index: int | None
    used: list[ManyId]
    """Plain values."""
    generated: list[Value]
    collective: Id | None = None
    """What ranks share, of which this is one rank's part."""


class SeriesSummary(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What the points of a series were; not finite ones are counted and left out of the rest."""

    n_points: int
    n_not_finite: int
    first: float
    last: float
    least: float | None
    most: float | None
    mean: float | None


class Series(msgspec.Struct, array_like=True, frozen=True, gc=False):
    id: Id
    run: Id
    rank: int
    name: str
    agent: Id
    measure: Id
    """Identity of the attribute that is measured."""
    unit: str | None
    summary: SeriesSummary | None = None


class PointSource(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What many points have in common."""

    log_id: LogId
    series: Id
    rank: Annotated[int, msgspec.Meta(ge=-(1 << 31), lt=1 << 31)]
    name: str


class Points(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Points of one run in columns.  (log id, seq) identifies a point.

    Columns are packed little-endian numbers, as many in each: a point is no object on its way from
    the tracker to Parquet.
    """

    sources: list[PointSource]
    activities: list[ManyId]
    frames: list[tuple[LogId, Annotated[int, msgspec.Meta(ge=0)]]]
    """(log id, number) of the frames that the points are all the points of."""
    source: bytes
    """Index into `sources`, unsigned 32 bits, as is `activity`."""
    activity: bytes
    has_step: bytes
    """One byte each, 0 or 1."""
    seq: bytes
    """64 bits, as are the rest."""
    step: bytes
    at_ns: bytes
    value: bytes
    """IEEE 754 doubles, NaN and infinities too."""

    @property
    def n_points(self) -> int:
        return len(self.has_step)


class Session(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The end of one rank's session: what it captured and lost."""

    log_id: Id
    run: Id
    agent: Id
    n_records: int
    lost: dict[str, int]
    closed_ns: int


class Batch(msgspec.Struct, array_like=True, frozen=True, gc=False):
    version: int
    journal: Id
    """Identity of the journal (its log id, hex)."""
    queue: Id
    """The run that the batch is of."""
    first: int
    last: int
    """Frame ordinals in the journal, inclusive."""
    n_frames: int
    n_records: int
    runs: list[Run]
    agents: list[Agent]
    plans: list[Plan]
    attributes: list[Attribute]
    associations: list[Association]
    collectives: list[Collective]
    activities: list[Activity]
    values: list[Value]
    """Values that were used."""
    files: list[File]
    roles: list[Role]
    derivations: list[tuple[EntityKind, Id, EntityKind, Id]]
    """(derived kind, derived, source kind, source)"""
    series: list[Series]
    points: Points | None
    sessions: list[Session]
    nodes: list[Node] = []
    types: list[tuple[ManyId, ValueType]] = []
    """Plain values that people look for by class."""
    imported: list[bytes] = []
    """N-Triples."""
    skipped: dict[str, int] = {}
    """Records that are not in `n_records`, since they can't be linked, by reason."""


class Accepted(msgspec.Struct, frozen=True):
    """The manager's answer (JSON, status 202): taken, in order, but not durable yet."""

    instance: str
    committed: int | None
    """Highest frame ordinal of this journal queue that is durable in the store."""


encode_batch = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Batch).decode


class _Head(msgspec.Struct, array_like=True, frozen=True):
    version: int


_decode_head = msgspec.msgpack.Decoder(_Head).decode


def batch_version(data: bytes) -> int | None:
    """Return the version of a batch, also of one that can't be decoded; None if it is no batch."""
    try:
        return _decode_head(data).version
    except UNDECODABLE:
        return None


def decode_batch(data: bytes) -> Batch:
    """Decode a batch and check that its identities are that.

    Raises:
        msgspec.MsgspecError: It is no batch, or an identity is none.
    """
    try:
        batch = _decode(data)
    except UNDECODABLE as exc:
        raise msgspec.ValidationError(str(exc)) from None
    many = [value.id for value in batch.values]
    many.extend(value.attribute for value in batch.values)
    for activity in batch.activities:
        many.extend(activity.used)
        for value in activity.generated:
            many.append(value.id)
            many.append(value.attribute)
    many.extend(entity for entity, _ in batch.types)
    if batch.points is not None:
        many.extend(batch.points.activities)
        _check_columns(batch.points)
    text = "".join(many)
    try:
        whole = 2 * len(bytes.fromhex(text)) == len(text)
    except ValueError:
        whole = False
    if not whole:
        raise msgspec.ValidationError("an identity is not 32 hexadecimal digits")
    return batch


def _check_columns(points: Points) -> None:
    """Check that columns are of one length, and that what they point to is there.

    Raises:
        msgspec.ValidationError: It is not so.
    """
    n = points.n_points
    narrow = points.source, points.activity
    wide = points.seq, points.step, points.at_ns, points.value
    if any(len(column) != 4 * n for column in narrow) or any(len(c) != 8 * n for c in wide):
        raise msgspec.ValidationError("columns of points differ in length")
    lengths = len(points.sources), len(points.activities)
    for column, length in zip(narrow, lengths, strict=True):
        if n and max(memoryview(column).cast("I")) >= length:
            raise msgspec.ValidationError("a point is of something that its batch does not tell")
