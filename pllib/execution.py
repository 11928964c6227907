"""Executions: what users open with `with`, from a run down to a transformation.

Runs, stages and sections write a record when they begin, and at once what they say
(`pllib.recording`).  A `Transformation` is one record, written at its end; its path is inlined and
measured (benchmarks/capture.py), since training loops call it most.

Promise, held by every public method: nothing of ours is raised into the block, and what the block
raises is recorded and goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from time import perf_counter_ns
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from . import resources, unexpected
from .config import as_hyperparameters
from .data import Handle
from .failures import describe_error
from .foreign import is_theirs
from .handles import Handles, Made
from .nesting import as_index, each_index, leave, path_in
from .plans import MODEL_HYPERPARAMETER, STAGES, TRIAL
from .recording import NOTHING, Recording, innermost, learning
from .records import NO_VALUES, TRANSFORMATION_TAG, Ended, Started, encode
from .shape import Shape
from .values import LONG_BYTES
from .values import encode as encode_values
from .words import interned

if TYPE_CHECKING:
    from .session import Session

_pack = encode


class Execution(Recording):
    """Something that runs, and what runs in it."""

    __slots__ = ()

    _outer: Execution | None
    path: str
    """Kind, name, index and occurrence from the run down; empty in a transformation."""
    only_rank: int | None
    _has_path: ClassVar[bool] = True
    occurrences: dict[str, tuple[int, int]]
    """Of what began in it, by kind and name: the last index, and how often it did not increase."""

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
        hyperparameters: Any = None,
        model_hyperparameters: Any = None,
        used: Mapping[str, Any] | None = None,
        only_rank: int | None = None,
        task: str | None = None,
        algorithm: str | None = None,
        implementation: str | None = None,
        software: str | None = None,
        evaluation: str | None = None,
        model_schema: str | None = None,
        prospection: str | None = None,
    ) -> Stage:
        """Return a learning stage execution; the ranks of one stage are one training.

        Args:
            kind: training, validation, evaluation or feature_extraction.
            hyperparameters, model_hyperparameters: Configurations of any kind (`pllib.open`).
            task, algorithm, implementation, software, evaluation, model_schema, prospection: Names
                of what its plan is for, realizes, uses or is specified by.
        """
        kind, name = interned(kind), interned(kind if name is None else name)
        session = self._session
        if kind not in STAGES:
            session.lose(f"no stage kind {kind}: one of {', '.join(STAGES)}", 0)
        plan = {
            "task": task, "algorithm": algorithm, "implementation": implementation,
            "software": software, "evaluation": evaluation, "model_schema": model_schema,
            "prospection": prospection,
        }  # fmt: skip
        if any(value is not None for value in plan.values()):
            session.guard(lambda: learning().declare_stage(session, kind, name, plan))
        values = session.guard(as_hyperparameters, session, hyperparameters) or {}
        more = session.guard(
            as_hyperparameters, session, model_hyperparameters, MODEL_HYPERPARAMETER
        )
        return Stage(self, kind, name, None, [values, more, used], only_rank)

    def trial(
        self,
        name: str,
        hyperparameters: Any = None,
        *,
        used: Mapping[str, Any] | None = None,
        only_rank: int | None = None,
    ) -> Stage:
        """Return a trial of a sweep: what is done in it is done with these hyperparameters."""
        values = self._session.guard(as_hyperparameters, self._session, hyperparameters)
        return Stage(self, TRIAL, TRIAL, None, [values, used], only_rank, interned(name))

    def section(self, kind: str, index: int | None = None) -> Stage:
        """Return a section of a stage, such as an epoch."""
        return Stage(self, interned(kind), interned(kind), index, NOTHING, None)

    def sections(self, kind: str, indices: int | Iterable[int]) -> Iterator[Stage]:
        """Go through sections: ``for epoch in training.sections("epoch", 10):``."""
        for number in each_index(indices):
            with self.section(kind, number) as section:
                yield section

    def _within(self) -> Execution:
        """Return the execution that what begins now is part of."""
        inner = innermost.get()
        return inner if inner is not None and inner._session is self._session else self


class Stage(Execution):
    """A stage, section or trial: its start is recorded at once, and so is all that is said in it.

    Args:
        values: Mappings of what it uses from the start.
        label: Of a trial, its name.
    """

    __slots__ = (
        "_began", "_is_over", "_known", "_outer", "_parent", "_session", "_values", "index", "kind",
        "label", "name", "occurrences", "only_rank", "path", "seq", "step",
    )  # fmt: skip

    def __init__(
        self,
        parent: Execution,
        kind: str,
        name: str,
        index: int | None,
        values: list[Any],
        only_rank: int | None,
        label: str = "",
    ) -> None:
        self._parent = parent
        self._session = parent._session
        self.kind = kind
        self.name = name
        self.label = label
        self.index = self.step = as_index(index)
        self.only_rank = as_index(only_rank)
        self.occurrences: dict[str, tuple[int, int]] = {}
        self._known = {}
        self.path = ""
        self.seq = -1
        self._is_over = False
        self._values = values
        self._began: resources.Used | None = None

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
        if self.seq >= 0:  # it is entered again: what is known of it is of the last time
            session.forget(self)
        if session._left:
            from .unwinding import forget_caught

            forget_caught(session)
        self.seq = session.next_seq()
        self._is_over = False
        self.path = path_in(parent, self.kind, self.label or self.name, self.index)
        if self.only_rank is None and parent.only_rank is not None:
            self.only_rank = parent.only_rank
        if self.index is None:
            self.step = parent.step
        if self.kind not in STAGES and self.kind != TRIAL:
            self._known = parent._known
        innermost.set(self)
        at_ns = session._now_ns()
        if self.kind in STAGES:
            self._began = session.guard(resources.used)
        session.write(
            (self.kind, self.name, NOTHING, NOTHING),
            lambda sig: _pack(
                Started(
                    session.next_seq(), self.seq, parent.seq, sig, at_ns, self.path, self.index,
                    self.only_rank, self.label,
                )
            ),
        )  # fmt: skip
        for values in self._values:
            if values:
                session.guard(self.start_with, values)
        self._values = NOTHING

    def _end(self, error: BaseException | None) -> None:
        """Write the end, unless what is around it ended with an error and has done so."""
        if self._is_over:
            return
        self._is_over = True
        leave(self, error)
        session, at_ns = self._session, self._session._now_ns()
        if isinstance(error, GeneratorExit):
            from .unwinding import note_left  # few programs need it

            note_left(self, at_ns)
        took = None if self._began is None else session.guard(resources.used_since, self._began)
        session.write(
            (self.kind, self.name, NOTHING, NOTHING),
            lambda _: _pack(
                Ended(session.next_seq(), self.seq, at_ns, describe_error(error), took)
            ),
        )


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
    _is_large: bool = False
    _pieces: list[Handles] | None = None
    _outer: Any = None
    seq: int = -1
    _clock: int = 0

    kind: ClassVar[str] = "transformation"  # type: ignore[misc]
    path: ClassVar[str] = ""  # type: ignore[misc]
    _has_path: ClassVar[bool] = False

    def __enter__(self) -> Transformation:
        session = self._session
        used = self._used_values
        self.seq = seq = next(session.sequence)
        try:
            self._shape = shape = session.shapes[self.name]
            if used.__class__ is dict and len(used) == shape.n_used:
                data = self._used_values = encode_values(shape.pick_used(used))
                if len(data) > LONG_BYTES:
                    self._is_large = True
                    session.guard(unexpected.use, self, used)
            elif used is None and not shape.n_used:
                self._used_values = NO_VALUES
            else:
                session.guard(unexpected.use, self, used)
        except Exception as exc:
            if is_theirs(exc):
                raise
            session.guard(unexpected.use, self, used)
        outer = innermost.get()
        if outer is None or outer._session is not session:
            outer = self._parent
        self._outer = outer
        # Only now: the sender and signal handlers may look at it from here on.
        session.open_transformations[seq] = self
        innermost.set(self)
        self._clock = perf_counter_ns()
        return self

    def generated(
        self, mapping: Mapping[str, Any] | None = None, /, **values: Any
    ) -> Mapping[str, Handle]:
        if self._made is not None:
            return super().generated(mapping, **values)
        try:
            if mapping is not None:
                values = {**mapping, **values} if values else mapping  # type: ignore[assignment]
            shape = self._shape
            if shape is not None and values.__class__ is dict and len(values) == shape.n_generated:
                data = encode_values(shape.pick_generated(values))
                if len(data) <= LONG_BYTES:
                    self._made = data
                    return Made(self)  # type: ignore[return-value]
                self._is_large = True
        except Exception as exc:
            if is_theirs(exc):
                raise
        self._session.guard(unexpected.generate, self, values)
        return Made(self)  # type: ignore[return-value]

    def handles(self) -> Handles:
        """Return handles to the values of the first `generated`."""
        made = NO_VALUES if self._made is None else self._made
        handles = Handles(self, self._generated_names(), made, self.seq)
        handles._pieces = self._pieces or []
        return handles

    @property
    def step(self) -> int | None:  # type: ignore[override]
        return None if self._outer is None else self._outer.step

    @property
    def _known(self) -> dict[str, bytes]:  # type: ignore[override]
        return self._within()._known if self._outer is None else self._outer._known

    @property
    def started_ns(self) -> int:
        return self._clock + self._session._clock_offset

    def parent_seq(self) -> int:
        return int(self._outer.seq)

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
                shape, made = self._shape, self._made
                if made is None:
                    made = NO_VALUES
                    if shape is not None and shape.n_generated:
                        shape = shape.forms.get(())
                number = writer.numbers.get(shape)
                if number is not None:
                    record = _pack(
                        (
                            TRANSFORMATION_TAG, self.seq, self._outer.seq, number,
                            self._clock + session._clock_offset, duration_ns, self._used_values,
                            made,
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

    def _write(self, duration_ns: int, error: BaseException | None) -> None:
        unexpected.write(self, duration_ns, describe_error(error), as_index(self.only_rank))

    def _used_names(self) -> list[str]:
        return self._names[0] if self._shape is None else self._shape.used

    def _generated_names(self) -> list[str]:
        if self._made is None:
            return []
        return self._names[1] if self._shape is None else self._shape.generated
