"""What a rank says: the records of a provenance log.

Records are msgspec Structs, encoded as msgpack arrays with an integer tag.  Schema rule: only
append fields, each with a default; never rename, retype or reuse one.  A tracker may be older or
newer than the ranks that it serves.

Each frame of a log begins with the `Context` of its session and defines the signatures that it
uses, so that a frame can be read alone: losing one costs that frame and nothing else.

`seq` is the record's number in its log, from 0.  An activity is named by the log id and the `seq`
that it was given when it began.
"""

from __future__ import annotations

from typing import Any

import msgspec

ROOT = -1
"""Parent of what no activity of this log contains: its parent is the run's attempt."""

CONTEXT_TAG, SIGNATURE_TAG, TRANSFORMATION_TAG, METRIC_TAG, CLOSED_TAG = 0, 1, 2, 7, 8
NO_VALUES = b"\x90"
"""The msgpack encoding of no values."""


class Record(msgspec.Struct, array_like=True, frozen=True):
    """Base of all records; the tag tells them apart on the wire."""


class Context(Record, frozen=True, tag=0):
    """Who speaks: the session, run and rank that a frame's records belong to."""

    run: str
    """Identity of the run, 32 hex characters."""
    restart: int
    """Restart count of the job; each is an attempt of the run."""
    rank: int
    size: int
    """Ranks in the run."""
    host: str
    pid: int
    user: str
    program: str
    project: str
    workflow: str
    opened_ns: int
    """Wall clock when the session opened, UTC, nanoseconds since 1970."""
    study: str | None = None
    experiment: str | None = None
    name: str | None = None
    tags: tuple[str, ...] = ()
    scope: str = ""
    launch: str = ""
    facts: dict[str, str] = {}
    """Job facts: ``job_id``, ``cluster``, ``step_id``, ``array`` and so on, as text."""
    session: str = ""
    """Tells the sessions of one process apart."""
    wraps: bool = False
    """`sprov run` speaks, of a command that may say more in sessions of the same rank."""


class Signature(Record, frozen=True, tag=1):
    """Names that a frame's later records refer to by `id`."""

    id: int
    kind: str
    """Kind of the activity: transformation, run, training, validation, evaluation,
    feature_extraction, trial, or a section's kind such as epoch."""
    name: str
    used: tuple[str, ...] = ()
    generated: tuple[str, ...] = ()


class Transformation(Record, frozen=True, tag=2):
    """A whole data transformation execution, in one record at its end."""

    seq: int
    parent: int
    signature: int
    started_ns: int
    duration_ns: int
    used: bytes = NO_VALUES
    """Values in the order of the signature's `used`, as msgpack: encoded when the block began,
    since users go on to change what they passed."""
    generated: bytes = NO_VALUES
    error: str | None = None
    """Type and message of the exception that ended the block."""
    only_rank: int | None = None


class Started(Record, frozen=True, tag=3):
    """A stage, section or run began, or a transformation has been open for the flush age."""

    seq: int
    activity: int
    parent: int
    signature: int
    started_ns: int
    path: str = ""
    """Kind, name, index and occurrence from the run down; what ranks share.  Empty for a
    transformation, which is nobody else's."""
    index: int | None = None
    only_rank: int | None = None
    label: str = ""
    """Of a trial, what tells it from others: its signature's name is `trial`."""


class Ended(Record, frozen=True, tag=4):
    """A stage, section or run ended."""

    seq: int
    activity: int
    ended_ns: int
    error: str | None = None
    resources: dict[str, float] | None = None
    """Of the process while a stage or run lasted, by the names in `RESOURCES`."""
    with_process: bool = False
    """It is a session that was open when its process ended, by no exception: with which exit status
    is not known."""


RESOURCES = ("cpu_seconds", "max_rss_bytes", "read_bytes", "written_bytes")


class Used(Record, frozen=True, tag=5):
    seq: int
    activity: int
    signature: int
    values: bytes


class Generated(Record, frozen=True, tag=6):
    seq: int
    activity: int
    signature: int
    values: bytes
    at_ns: int = 0


class Metric(Record, frozen=True, tag=7, gc=False):
    """A point of a series; the signature's first `generated` name is the metric's name."""

    seq: int
    activity: int
    signature: int
    step: int | None
    at_ns: int
    value: float
    unit: str | None = None


class Closed(Record, frozen=True, tag=8):
    """The session ended in order: what it captured, and what it could not keep."""

    seq: int
    n_records: int
    """Records written to this log, this one included; contexts and signatures do not count."""
    lost: dict[str, int]
    """Reason to number of records that were not kept."""
    at_ns: int


class Declared(Record, frozen=True, tag=9):
    """One thing of a plan, declared: prospective provenance (`pllib.plans`)."""

    seq: int
    kind: str
    """One of `pllib.plans.KINDS`."""
    name: str
    workflow: str = ""
    """The workflow that it is of; empty for the session's own."""
    within: str = ""
    """Of an attribute or section: its plan as ``kind/name``, such as ``training/fit``; of an
    experiment: its study; of a workflow: ``study/experiment``, each percent-encoded; empty for
    none."""
    properties: bytes = b"\x80"
    """msgpack map of `pllib.plans.PROPERTIES` to a value, a name or a list of names."""
    on_the_fly: bool = False
    """An execution said it of its own plan, which promises no attributes by it."""


class Adapted(Record, frozen=True, tag=10):
    """A hyperparameter got a value while the activity ran; the signature's first `used` is it."""

    seq: int
    activity: int
    signature: int
    values: bytes
    """The new value, as a msgpack list of one."""
    step: int | None
    at_ns: int


class Summary(Record, frozen=True, tag=11):
    """The end of a series: what its points were.  The signature's first `generated` names it.

    NaN and infinities count in `n_points` and `n_not_finite`, and in nothing else.
    """

    seq: int
    signature: int
    n_points: int
    n_not_finite: int
    first: float
    last: float
    least: float | None = None
    most: float | None = None
    total: float = 0.0
    """Sum of the finite points."""


MIN_CONTENT_BYTES = 1024
"""Smaller files are never joined by content: too many are alike by chance, such as flags."""


class Digested(Record, frozen=True, tag=12):
    """What a file version holds, read beside the tracker or at ingest while it was unchanged."""

    seq: int
    store: str
    path: str
    size: int
    mtime_ns: int
    version: str
    """As in `FileVersion`."""
    digest: str | None
    """``algorithm:hex``; None: the file had changed before it could be read."""
    at_ns: int


class Imported(Record, frozen=True, tag=13):
    """Triples of somebody else's, as N-Triples without blank nodes."""

    seq: int
    triples: bytes


OUTCOMES = (
    "completed", "failed", "cancelled", "timed_out", "out_of_memory", "node_failure", "preempted",
    "killed",
)  # fmt: skip
"""How something ended; what else is to be said of it, Slurm's word for instance, stands beside."""


class Outcome(Record, frozen=True, tag=14):
    """How a session ended, told by another process: it could not say so itself."""

    seq: int
    log_id: str
    """Of the session that ended, hex."""
    state: str
    """One of `OUTCOMES`."""
    at_ns: int
    """When it ended; where that was only seen later, the last sign of it."""
    exit_status: int | None = None
    signal: int | None = None
    node: str = ""
    seen_ns: int = 0
    """When it was seen to have ended, if that was later than `at_ns`."""


class Facts(Record, frozen=True, tag=15):
    """Facts of the context's run that were learnt after it was opened."""

    seq: int
    facts: dict[str, str]


class Accounted(Record, frozen=True, tag=16):
    """What Slurm says of a job or of a step of it."""

    seq: int
    cluster: str
    job: str
    """As `squeue` prints it: 4242, or 4242_7 in an array."""
    step: str
    """0, batch, extern; empty for the job."""
    restart: int
    source: str
    """squeue, scontrol or sacct."""
    state: str
    """Slurm's word: COMPLETED, TIMEOUT and so on; RUNNING or SUSPENDED where it is not over."""
    at_ns: int
    """When Slurm was asked."""
    started_ns: int | None = None
    ended_ns: int | None = None
    numbers: dict[str, float] = {}
    """By the names in `ACCOUNT_NUMBERS`; others are passed over."""
    texts: dict[str, str] = {}
    """By the names in `ACCOUNT_TEXTS`."""


ACCOUNT_NUMBERS = (
    "exit_status", "signal", "elapsed_seconds", "cpu_seconds", "max_rss_bytes",
    "consumed_energy_joules", "nodes", "tasks", "requested_cpus", "requested_memory_bytes",
    "requested_gpus", "requested_seconds",
)  # fmt: skip
"""Memory is of the whole job; the largest resident set is of one task."""
ACCOUNT_TEXTS = (
    "partition", "account", "qos", "user", "job_name", "nodelist", "reason", "comment",
    "requested_tres", "allocated_tres", "working_folder", "command", "dependency", "submit_line",
)  # fmt: skip

FINAL_STATES = {
    "COMPLETED": "completed",
    "FAILED": "failed",
    "BOOT_FAIL": "node_failure",
    "CANCELLED": "cancelled",
    "DEADLINE": "timed_out",
    "LAUNCH_FAILED": "node_failure",
    "NODE_FAIL": "node_failure",
    "OUT_OF_MEMORY": "out_of_memory",
    "PREEMPTED": "preempted",
    "RECONFIG_FAIL": "node_failure",
    "REQUEUED": "preempted",
    "REVOKED": "cancelled",
    "SPECIAL_EXIT": "failed",
    "TIMEOUT": "timed_out",
}
"""Slurm's words for the end of a job or step, and ours.  Source: squeue(1), "JOB STATE CODES"."""


def outcome_of(record: Accounted) -> str | None:
    """Return how a job or step ended, one of `OUTCOMES`; None if it has not."""
    found = FINAL_STATES.get(record.state)
    return "killed" if found == "failed" and record.numbers.get("signal") else found


AnyRecord = (
    Context
    | Signature
    | Transformation
    | Started
    | Ended
    | Used
    | Generated
    | Metric
    | Closed
    | Declared
    | Adapted
    | Summary
    | Digested
    | Imported
    | Outcome
    | Facts
    | Accounted
)

NO_RANK = -1
"""Rank of a context that is no rank's: the tracker, `sprov ingest` or `sprov import` speaks."""


class FileVersion(msgspec.Struct, array_like=True, frozen=True):
    """A file as it was when it was looked at, from ``fstat`` of an open descriptor."""

    path: str
    store: str
    """The mount's source for a shared file system, host and boot for a local one."""
    size: int
    mtime_ns: int
    kind: str = "file"
    """file, directory, model or checkpoint."""
    characteristics: dict[str, Any] = {}
    version: str = ""
    """Of a directory: digest of its manifest, or what the user calls it."""
    step: int | None = None
    """Of a checkpoint, as is `best`."""
    best: bool = False
    score: float | None = None
    """The metric that a checkpoint was kept for."""


class Described(msgspec.Struct, array_like=True, frozen=True):
    """What can be said of a value that can't be kept whole."""

    type: str
    reason: str
    shape: tuple[int, ...] | None = None
    dtype: str | None = None
    length: int | None = None
    digest: str | None = None
    preview: str | None = None


class Handle(msgspec.Struct, array_like=True, frozen=True):
    """A value that some execution of this process generated earlier."""

    log_id: str
    activity: int
    transformation: str
    name: str
    ordinal: int
    kind: str = "transformation"
    """Kind of the execution that `transformation` names."""


class Reference(msgspec.Struct, array_like=True, frozen=True):
    """A record in a database, object store or container file."""

    store: str
    key: str
    version: str = ""


class DatasetReference(msgspec.Struct, array_like=True, frozen=True):
    """A data set, or the data of a feature set, by name."""

    name: str
    version: str | None = None
    fingerprint: str | None = None
    split: str | None = None
    files: tuple[FileVersion, ...] = ()
    characteristics: dict[str, Any] = {}
    features: tuple[str, ...] | None = None
    """Names of features when it is a feature set's data, else None."""


class RunReference(msgspec.Struct, array_like=True, frozen=True):
    """Another run, by its identity."""

    run: str


EXT_FILE, EXT_DESCRIBED, EXT_HANDLE, EXT_REFERENCE, EXT_BIG_INTEGER = 1, 2, 3, 4, 5
EXT_DATASET, EXT_RUN = 6, 7


class BigInteger(int):
    """An integer beyond 64 bits, as it comes out of a log."""


def decode_extension(code: int, data: memoryview) -> Any:
    """Decode a value that msgpack has no type for; an unknown code is described, not refused."""
    decoder = _extensions.get(code)
    if decoder is None:
        return Described(type=f"ext{code}", reason="written by a newer sprov", length=len(data))
    value = decoder.decode(data)
    return BigInteger(value, 16) if code == EXT_BIG_INTEGER else value


_extensions: dict[int, msgspec.msgpack.Decoder[Any]] = {
    code: msgspec.msgpack.Decoder(kind, ext_hook=decode_extension)
    for code, kind in (
        (EXT_FILE, FileVersion),
        (EXT_DESCRIBED, Described),
        (EXT_HANDLE, Handle),
        (EXT_REFERENCE, Reference),
        (EXT_BIG_INTEGER, str),
        (EXT_DATASET, DatasetReference),
        (EXT_RUN, RunReference),
    )
}
decode = msgspec.msgpack.Decoder(AnyRecord).decode
UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding raises.  A text that is not UTF-8 is no MsgspecError (msgspec 0.22)."""
_decode_values = msgspec.msgpack.Decoder(list[Any], ext_hook=decode_extension).decode
_decode_value = msgspec.msgpack.Decoder(Any, ext_hook=decode_extension).decode
decode_raws = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
encode = msgspec.msgpack.Encoder().encode


def decode_values(data: bytes) -> list[Any]:
    """Return the values of a record; what was encoded and can't be read is described."""
    try:
        return _decode_values(data)
    except UNDECODABLE:
        return [_readable(bytes(raw)) for raw in decode_raws(data)]


def _readable(value: bytes) -> Any:
    try:
        return _decode_value(value)
    except UNDECODABLE:  # as a mapping whose keys are objects
        return Described("unknown", "can't be read back", length=len(value))


def is_array(value: bytes) -> bool:
    """Tell whether an encoded value is a list.  Source: the msgpack specification, "Array"."""
    return value[0] & 0xF0 == 0x90 or value[0] in (0xDC, 0xDD)


def is_shared(value: bytes) -> bool:
    """Tell whether an encoded value has an identity of its own, or lists such values alone."""
    found = _readable(value)
    shared = (FileVersion, Reference, DatasetReference, Handle)
    if isinstance(found, list) and found:
        return all(isinstance(item, shared) for item in found)
    return isinstance(found, shared)
