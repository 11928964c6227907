"""Executions: what users open with `with`, from a run down to a transformation.

Runs, stages and sections write a record when they begin, and each `used`, `generated` and `metric`
at once.  A `Transformation` is one record, written at its end; its path is inlined and measured
(benchmarks/capture.py), since training loops call it most.

Promise, held by every public method: nothing of ours is raised into the block, and what the block
raises is recorded and goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from operator import index
from time import perf_counter_ns, time_ns
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, SupportsIndex

import msgspec

from . import identity, records
from .config import flatten
from .data import Handle
from .foreign import is_theirs
from .records import (
    NO_VALUES,
    TRANSFORMATION_TAG,
    Ended,
    Generated,
    Metric,
    Started,
    Used,
    encode,
)
from .shape import MAX_SHAPES, Shape
from .values import LONG_BYTES, encode_each, interned
from .values import encode as encode_values

if TYPE_CHECKING:
    from .session import Session

STAGES = ("training", "validation", "evaluation", "feature_extraction")
HYPERPARAMETER = "hp:"
"""Prefix of a used name that is a hyperparameter of the stage."""

innermost: ContextVar[Execution | None] = ContextVar("sprov_execution", default=None)

_NOTHING: list[str] = []
_pack = encode


class Handles(Mapping[str, Handle]):
    """What one call of `generated` generated, by name; made when asked for."""

    __slots__ = ("_execution", "_names", "_ordinal")

    def __init__(self, execution: Execution, names: list[str], ordinal: int) -> None:
        self._execution = execution
        self._names = names
        self._ordinal = ordinal

    def __getitem__(self, name: str) -> Handle:
        if name not in self._names:
            raise KeyError(name)
        owner = self._execution
        log_id = owner._session.log_id.hex()
        return Handle(records.Handle(log_id, owner.seq, owner.name, name, self._ordinal))

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class Execution:
    """Something that runs, uses and generates."""

    __slots__ = ()

    _session: Session
    _outer: Execution | None
    kind: str
    name: str
    seq: int
    path: str
    """Kind, name, index and occurrence from the run down; empty in a transformation."""
    only_rank: int | None

    @property
    def iri(self) -> str:
        return identity.iri("activity", identity.activity(self._session.log_id, self.seq))

    def used(self, mapping: Mapping[str, Any] | None = None, /, **values: Any) -> None:
        """Record values that this execution used."""
        self._session.guard(self._used, mapping, values)

    def generated(
        self, mapping: Mapping[str, Any] | None = None, /, **values: Any
    ) -> Mapping[str, Handle]:
        """Record values that this execution generated; return a handle to each, by name."""
        return self._session.guard(self._generated, mapping, values) or {}

    def metric(
        self, name: str, value: Any, *, step: int | None = None, unit: str | None = None
    ) -> None:
        """Record a point of a series; the default step is the innermost section's index."""
        self._session.guard(self._metric, name, value, step, unit)

    def metrics(self, mapping: Mapping[str, Any], *, step: int | None = None) -> None:
        """Record a point of each series."""
        points: dict[str, Any] = self._session.guard(lambda: dict(mapping)) or {}
        for name, value in points.items():
            self.metric(name, value, step=step)

    def transformation(
        self,
        name: str,
        *,
        used: Mapping[str, Any] | None = None,
        only_rank: int | None = None,
    ) -> Transformation:
        """Return a data transformation execution, to be used with `with`."""
        return Transformation(self, self._session, name, used, only_rank)

    def stage(
        self,
        kind: str,
        name: str | None = None,
        *,
        hyperparameters: Mapping[str, Any] | None = None,
        used: Mapping[str, Any] | None = None,
        only_rank: int | None = None,
    ) -> Stage:
        """Return a learning stage execution: a training, validation, evaluation or
        feature_extraction.  The ranks of one stage are one training."""
        kind, name = interned(kind), interned(kind if name is None else name)
        if kind not in STAGES:
            self._session.lose(f"no stage kind {kind}: one of {', '.join(STAGES)}", 0)
        values = self._session.guard(_stage_values, hyperparameters, used) or {}
        return Stage(self, kind, name, None, values, only_rank)

    def section(self, kind: str, index: int | None = None) -> Stage:
        """Return a section of a stage, such as an epoch."""
        return Stage(self, interned(kind), interned(kind), index, {}, None)

    def sections(self, kind: str, indices: int | Iterable[int]) -> Iterator[Stage]:
        """Go through sections: ``for epoch in training.sections("epoch", 10):``."""
        for number in each_index(indices):
            with self.section(kind, number) as section:
                yield section

    def _within(self) -> Execution:
        """Return the execution that what begins now is part of."""
        inner = innermost.get()
        return inner if inner is not None and inner._session is self._session else self

    def _used(self, mapping: Mapping[str, Any] | None, values: dict[str, Any]) -> None:
        names, data = _split({**(mapping or {}), **values})
        self._session.write(
            (self.kind, self.name, names, _NOTHING),
            lambda sig: _pack(Used(self._session.next_seq(), self.seq, sig, data)),
        )

    def _generated(
        self, mapping: Mapping[str, Any] | None, values: dict[str, Any]
    ) -> Mapping[str, Handle]:
        names, data = _split({**(mapping or {}), **values})
        seq, at_ns = self._session.next_seq(), time_ns()
        self._session.write(
            (self.kind, self.name, _NOTHING, names),
            lambda sig: _pack(Generated(seq, self.seq, sig, data, at_ns)),
        )
        return Handles(self, names, seq)

    def _metric(self, name: str, value: Any, step: int | None, unit: str | None) -> None:
        point = float(value)
        if step is None:
            step = self._step()
        seq, at_ns = self._session.next_seq(), time_ns()
        self._session.write(
            (self.kind, self.name, _NOTHING, [interned(name)]),
            lambda sig: _pack(
                Metric(seq, self.seq, sig, None if step is None else int(step), at_ns, point, unit)
            ),
        )

    def _step(self) -> int | None:
        within: Execution | None = self
        while within is not None:
            if isinstance(within, Stage) and within.index is not None:
                return within.index
            within = getattr(within, "_outer", None)
        return None


def each_index(indices: int | Iterable[int]) -> Iterable[int]:
    """Return the indices that a number of sections stands for, or those given."""
    return range(index(indices)) if isinstance(indices, SupportsIndex) else indices


def as_index(value: Any) -> int | None:
    """Return a section's index if it is a whole number of 64 bits, else None."""
    if not hasattr(value, "__index__"):
        return None
    number = index(value)
    return number if abs(number) < 1 << 63 else None


def _stage_values(hyperparameters: Any, used: Mapping[str, Any] | None) -> dict[str, Any]:
    return {**as_hyperparameters(hyperparameters), **(used or {})}


def as_hyperparameters(config: Any) -> dict[str, Any]:
    """Return a configuration of any kind as used values, marked as hyperparameters."""
    return {f"{HYPERPARAMETER}{name}": value for name, value in flatten(config).items()}


def _split(values: Mapping[str, Any]) -> tuple[list[str], bytes]:
    """Return names and encoded values."""
    return [interned(name) for name in values], encode_list([*values.values()])


def encode_list(values: list[Any]) -> bytes:
    """Encode values, one by one if together they can't be or get too long."""
    try:
        data = encode_values(values)
    except Exception as exc:
        if is_theirs(exc):
            raise
        return encode_each(values)
    return data if len(data) <= LONG_BYTES else encode_each(values)


class Stage(Execution):
    """A stage or section: its start is recorded at once, and so is all that is said in it."""

    __slots__ = (
        "_outer", "_parent", "_session", "_values", "index", "kind", "name", "occurrences",
        "only_rank", "path", "seq",
    )  # fmt: skip

    def __init__(
        self,
        parent: Execution,
        kind: str,
        name: str,
        index: int | None,
        used: Mapping[str, Any],
        only_rank: int | None,
    ) -> None:
        self._parent = parent
        self._session = parent._session
        self.kind = kind
        self.name = name
        self.index = as_index(index)
        self.only_rank = as_index(only_rank)
        self.occurrences: dict[str, tuple[int, int]] = {}
        self.path = ""
        self.seq = -1
        self._values = used

    def __enter__(self) -> Stage:
        self._session.guard(self._begin)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._session.guard(self._end, error)

    def _begin(self) -> None:
        parent = self._outer = self._parent._within()
        session = self._session
        self.seq = session.next_seq()
        self.path = _path(parent, self.kind, self.name, self.index)
        if self.only_rank is None and parent.only_rank is not None:
            self.only_rank = parent.only_rank
        innermost.set(self)
        at_ns = time_ns()
        session.write(
            (self.kind, self.name, _NOTHING, _NOTHING),
            lambda sig: _pack(
                Started(
                    session.next_seq(),
                    self.seq,
                    parent.seq,
                    sig,
                    at_ns,
                    self.path,
                    self.index,
                    self.only_rank,
                )
            ),
        )
        if self._values:
            self._used(self._values, {})
            self._values = {}

    def _end(self, error: BaseException | None) -> None:
        leave(self)
        session, at_ns = self._session, time_ns()
        session.write(
            (self.kind, self.name, _NOTHING, _NOTHING),
            lambda _: _pack(Ended(session.next_seq(), self.seq, at_ns, describe_error(error))),
        )


def leave(execution: Execution) -> None:
    """Make what is around an execution the innermost again, if it or a part of it is that.

    Parts may still be open: a generator that was left by `break` ends when it is collected.
    """
    inner = innermost.get()
    while inner is not None and inner is not execution:
        inner = inner._outer
    if inner is execution:
        innermost.set(execution._outer)


def _path(parent: Execution, kind: str, name: str, index: int | None) -> str:
    """Return where an execution is: what all ranks that do the same agree on.

    The last part tells apart those of one kind, name and index in one parent: it counts how often
    their index did not increase, so that what is remembered does not grow with their number.
    """
    here = f"{_quote(kind)}:{_quote(name)}"
    occurrences: dict[str, tuple[int, int]] = getattr(parent, "occurrences", {})
    last, nth = occurrences.get(here, (-1, 0))
    number = last if index is None else index
    if here in occurrences and number <= last:
        nth += 1
    occurrences[here] = number, nth
    return f"{parent.path}/{here}:{'' if index is None else index}:{nth}".lstrip("/")


def _quote(text: str) -> str:
    """Percent-encode what separates the parts of a path."""
    return interned(text).replace("%", "%25").replace("/", "%2F").replace(":", "%3A")


def describe_error(error: BaseException | None) -> str | None:
    """Return type and message of an exception, cut at 1,000 characters."""
    if error is None or isinstance(error, GeneratorExit):  # a loop over sections was left
        return None
    try:
        text = f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001  a foreign __str__ may raise anything
        text = type(error).__name__
    return text[:1000].encode("utf-8", "backslashreplace").decode()


class Transformation(Execution, msgspec.Struct, eq=False, gc=False):
    """A data transformation execution: one record, written when the block ends.

    Values of the first `generated` are in that record; later ones are written at once.  It is a
    Struct because its constructor then is C's, in half the time; `gc=False` because nothing that
    it refers to refers back.
    """

    _parent: Execution
    _session: Session
    name: str
    _used_values: Any
    only_rank: int | None
    _made: bytes | None = None
    _shape: Shape | None = None
    _names: tuple[list[Any], list[Any]] = ([], [])
    _outer: Any = None
    seq: int = -1
    started_ns: int = 0
    _clock: int = 0

    kind: ClassVar[str] = "transformation"  # type: ignore[misc]
    path: ClassVar[str] = ""  # type: ignore[misc]

    def __enter__(self) -> Transformation:
        session = self._session
        used = self._used_values
        try:
            self._shape = shape = session.shapes[self.name]
            if used:
                data = self._used_values = encode_values(shape.pick_used(used))
                if len(used) != shape.n_used or len(data) > LONG_BYTES:
                    self._reshape(used)
            elif shape.n_used:
                self._reshape({})
            else:
                self._used_values = NO_VALUES
        except Exception as exc:
            if is_theirs(exc):
                raise
            session.guard(self._reshape, used)
        outer = innermost.get()
        if outer is None or outer._session is not session:
            outer = self._parent
        self._outer = outer
        self.seq = seq = next(session.sequence)
        self.started_ns = time_ns()
        # Only now: the sender and signal handlers may look at it from here on.
        session.open_transformations[seq] = self
        innermost.set(self)
        self._clock = perf_counter_ns()
        return self

    def generated(
        self, mapping: Mapping[str, Any] | None = None, /, **values: Any
    ) -> Mapping[str, Handle]:
        if self._made is not None:
            return self._session.guard(self._generated, mapping, values) or {}
        try:
            if mapping is not None:
                values = {**mapping, **values} if values else mapping  # type: ignore[assignment]
            shape: Any = self._shape
            data = self._made = encode_values(shape.pick_generated(values))
            if len(values) != shape.n_generated or len(data) > LONG_BYTES:
                self._session.guard(self._regenerate, values)
        except Exception as exc:
            if is_theirs(exc):
                raise
            self._session.guard(self._regenerate, values)
        return self  # type: ignore[return-value]

    def __getitem__(self, name: str) -> Handle:
        """Return a handle to a value of the first `generated`: itself what that returned.

        A mapping of its own for each call would be a tenth of the whole cost.
        """
        return Handles(self, self._generated_names(), self.seq)[name]

    def parent_seq(self) -> int:
        return int(self._outer.seq)

    def keys(self) -> list[str]:
        return self._generated_names()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        duration_ns = perf_counter_ns() - self._clock
        session = self._session
        try:
            innermost.set(self._outer)
            del session.open_transformations[self.seq]
            writer: Any = session.local.writer
            if error is None and self.only_rank is None and not writer.busy:
                writer.busy = True
                number = writer.numbers.get(self._shape)
                made = self._made
                if made is None and number is not None and not self._shape.n_generated:  # type: ignore[union-attr]
                    made = NO_VALUES
                if number is not None and made is not None:
                    record = _pack(
                        (
                            TRANSFORMATION_TAG, self.seq, self._outer.seq, number,
                            self.started_ns, duration_ns, self._used_values, made,
                        )
                    )  # fmt: skip
                    length = len(record)
                    at = writer.at
                    stop = at + length + 7 & -4
                    if stop <= writer.limit:
                        writer.map[at + 4 : at + 4 + length] = record
                        writer.words[at >> 2] = length
                        writer.at = stop
                        writer.n_records += 1
                        writer.busy = False
                        return
                writer.busy = False
        except BaseException as exc:
            session.interrupted()
            if not isinstance(exc, Exception) or is_theirs(exc):
                raise
        session.guard(self._write, duration_ns, error)

    def _reshape(self, used: Any) -> None:
        """Take values whose names are not those of the last transformation of this name."""
        if used is None:
            used = {}
        elif not isinstance(used, Mapping):
            used = {"used": used}
        self._shape, self._names, self._used_values = None, (_NOTHING, _NOTHING), NO_VALUES
        names, values = [*used], [*used.values()]
        self._names, self._used_values = (names, _NOTHING), encode_list(values)

    def _regenerate(self, values: Mapping[str, Any]) -> None:
        names = [*values]
        used = self._names[0] if self._shape is None else self._shape.used
        self._shape, self._names = None, (used, names)
        self._made = encode_list([*values.values()])

    def _generated_names(self) -> list[str]:
        if self._made is None:
            return []
        return self._names[1] if self._shape is None else self._shape.generated

    def _write(self, duration_ns: int, error: BaseException | None) -> None:
        """Write the record where the inlined path does not: new names, a new chunk, a failure."""
        shape, made = self._shape, self._made
        if made is None:
            made = NO_VALUES
        used = self._names[0] if shape is None else shape.used
        generated = self._generated_names()
        fields = (
            self.started_ns, duration_ns, self._used_values, made, describe_error(error),
            as_index(self.only_rank),
        )  # fmt: skip
        head = (TRANSFORMATION_TAG, self.seq, self._outer.seq)
        name = interned(self.name)
        shape = self._session.shape("transformation", name, used, generated)
        self._session.write_shaped(shape, lambda number: _pack((*head, number, *fields)))
        shapes = self._session.shapes
        if len(shapes) >= MAX_SHAPES:
            shapes.clear()
        shapes[name] = shape
