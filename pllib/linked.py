"""Linked provenance: what the tracker hands to the manager, identities resolved.

One `Batch` is the body of ``POST /v1/provenance`` (msgpack, ``application/msgpack``).  It covers
the frames `first` to `last` of one journal that belong to one queue (a run).  All identities are
32 hex characters (`pllib.identity`), times are nanoseconds UTC, values are (datatype, lexical) with
the datatype an XSD or RDF local name such as ``double`` or ``JSON``.

The mapping of a batch to triples is a pure function of it, and a batch is a pure function of its
frames, so delivery may repeat and batches may be cut anywhere.
"""

from __future__ import annotations

import msgspec

WIRE_VERSION = 1


class Value(msgspec.Struct, array_like=True, frozen=True):
    """A plain value's entity."""

    id: str
    attribute: str
    datatype: str
    """``string``, ``integer``, ``double``, ``boolean``, ``JSON`` or ``nil``; for what could not be
    kept, ``described`` (lexical is JSON of `pllib.records.Described`)."""
    lexical: str


class Attribute(msgspec.Struct, array_like=True, frozen=True):
    id: str
    plan: str
    name: str
    direction: str
    """in, out or hyperparameter."""


class Plan(msgspec.Struct, array_like=True, frozen=True):
    """What was planned: a data transformation, learning stage or section; or a workflow."""

    id: str
    kind: str
    """workflow, transformation, training, validation, evaluation, feature_extraction, trial, or a
    section's kind."""
    name: str
    workflow: str | None
    """Identity of the workflow's plan; None for a workflow."""


class Run(msgspec.Struct, array_like=True, frozen=True):
    """A run and its attempt, as one rank's context tells it."""

    id: str
    attempt: str
    restart: int
    name: str | None
    study: str | None
    experiment: str | None
    workflow: str
    project: str
    program: str
    user: str
    size: int
    facts: dict[str, str]
    tags: tuple[str, ...] = ()


class Agent(msgspec.Struct, array_like=True, frozen=True):
    """A rank as a software agent that acted on behalf of a user, on a node."""

    id: str
    run: str
    rank: int
    host: str
    pid: int
    user: str
    program: str


class Association(msgspec.Struct, array_like=True, frozen=True):
    """Shared by all executions of one plan by one agent."""

    id: str
    agent: str
    plan: str


class File(msgspec.Struct, array_like=True, frozen=True):
    """A version of a file, directory or model; or a reference, when `kind` says so."""

    id: str
    kind: str
    """file, directory, model or reference."""
    store: str
    path: str
    size: int
    mtime_ns: int
    characteristics: tuple[tuple[str, str, str], ...] = ()
    """(name, datatype, lexical)"""


class Collective(msgspec.Struct, array_like=True, frozen=True):
    """What all ranks of an attempt do together."""

    id: str
    kind: str
    plan: str
    part_of: str
    """Identity of the collective that contains it, or of the attempt."""
    top: bool
    """True when `part_of` is the attempt."""
    index: int | None
    label: str


class Role(msgspec.Struct, array_like=True, frozen=True):
    """A qualified usage or generation: a shared entity and the attribute that is its role."""

    activity: str
    entity: str
    entity_kind: str
    """file (also directory, model), reference or value."""
    attribute: str
    direction: str
    """used or generated."""


class Activity(msgspec.Struct, array_like=True, frozen=True):
    """An execution by one rank, as far as these frames tell of it."""

    id: str
    kind: str | None
    """None when these frames only add to it."""
    association: str | None
    part_of: str | None
    part_of_kind: str
    """activity, collective or attempt."""
    started_ns: int | None
    ended_ns: int | None
    error: str | None
    index: int | None
    used: list[str]
    """Plain values."""
    generated: list[Value]
    collective: str | None = None
    """What ranks share, of which this is one rank's part."""


class Series(msgspec.Struct, array_like=True, frozen=True):
    id: str
    run: str
    rank: int
    name: str
    agent: str
    measure: str
    """Identity of the attribute that is measured."""
    unit: str | None


class Points(msgspec.Struct, array_like=True, frozen=True):
    """Points of one run in columns, all of one length.  (log_id, seq) identifies a point."""

    log_id: list[bytes]
    seq: list[int]
    series: list[str]
    activity: list[str]
    rank: list[int]
    name: list[str]
    step: list[int | None]
    at_ns: list[int]
    value: list[float]


class Session(msgspec.Struct, array_like=True, frozen=True):
    """The end of one rank's session: what it captured and lost."""

    log_id: str
    run: str
    agent: str
    n_records: int
    lost: dict[str, int]
    closed_ns: int


class Batch(msgspec.Struct, array_like=True, frozen=True):
    version: int
    journal: str
    """Identity of the journal (its log id, hex)."""
    queue: str
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
    derivations: list[tuple[str, str, str, str]]
    """(derived kind, derived, source kind, source)"""
    series: list[Series]
    points: Points | None
    sessions: list[Session]


class Accepted(msgspec.Struct, frozen=True):
    """The manager's answer (JSON, status 202): taken, in order, but not durable yet.

    A tracker that sees another `instance` than before asks for the watermarks and goes back."""

    instance: str
    committed: int | None
    """Highest frame ordinal of this journal queue that is durable in the store."""


encode_batch = msgspec.msgpack.Encoder().encode
decode_batch = msgspec.msgpack.Decoder(Batch).decode
