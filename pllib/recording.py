"""What an execution says while it runs: values that it used and generated, metrics, settings.

Each call writes a record at once.  `metric` is inlined and measured (benchmarks/capture.py), since
training loops call it most.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from contextvars import ContextVar
from time import perf_counter_ns
from types import ModuleType
from typing import TYPE_CHECKING, Any

from . import identity
from .data import Handle
from .foreign import is_theirs
from .handles import Handles
from .pieces import in_pieces
from .records import NO_VALUES, Generated, Metric, Used, encode
from .series import F64, HEAD, POINT_BYTES, STEPPED_BYTES, U64, line_of, pack_stepped, take_turn
from .shape import MAX_SHAPES
from .values import encode_list
from .words import interned

if TYPE_CHECKING:
    from .execution import Execution
    from .session import Session

MAX_NAMES = 128
"""Of used values in a record; a configuration with more is several records."""
NOTHING: list[str] = []

innermost: ContextVar[Execution | None] = ContextVar("sprov_execution", default=None)


class Recording:
    """Something that runs, uses and generates."""

    __slots__ = ()

    _session: Session
    kind: str
    name: str
    seq: int
    step: int | None
    """Index of the innermost section that it is, or is in."""
    _known: dict[str, bytes]
    """The hyperparameters that were recorded last, as `pllib.learning` marks them."""

    @property
    def iri(self) -> str:
        """Empty before it has begun."""
        if self.seq < 0:
            return ""
        return identity.iri("activity", identity.activity(self._session.log_id, self.seq))

    def used(self, mapping: Mapping[str, Any] | None = None, /, **values: Any) -> None:
        """Record values that this execution used."""
        self._session.guard(self._used, mapping, values)

    def generated(
        self, mapping: Mapping[str, Any] | None = None, /, **values: Any
    ) -> Mapping[str, Handle]:
        """Record values that this execution generated; return a handle to each, by name."""
        handles = self._session.guard(self._generated, mapping, values)
        return Handles(self, [], NO_VALUES, self.seq) if handles is None else handles

    def metric(
        self, name: str, value: Any, *, step: int | None = None, unit: str | None = None
    ) -> None:
        """Record a point of a series.

        The default step is the index of the section that this is or is in, else that of the
        innermost open one.
        """
        session, at = self._session, -1
        try:
            line: Any = session.local.lines.get(name)
            if line is not None and line.unit is not unit:  # it may be equal
                line = line.others.get((self, unit))
            if line is not None:
                writer = line.writer
                if value.__class__ is not float:
                    value = as_number(value)
                number = step
                if step is None and not line.stepped:
                    number = self._innermost_step()
                if not writer.busy:
                    at = writer.busy = True  # `at` first: what goes wrong from here on is ours
                    at = writer.at
                    stop = at + POINT_BYTES
                    if line.owner is self and stop <= writer.limit:
                        seq = next(session.sequence)
                        if number is None:
                            line.pack(
                                writer.map, at + 4, HEAD, seq, line.middle,
                                perf_counter_ns() + session._clock_offset, F64, value,
                            )  # fmt: skip
                            writer.words[at >> 2] = line.length
                        else:
                            pack_stepped(
                                writer.map, at + 4, HEAD, seq, line.start, number, U64,
                                perf_counter_ns() + session._clock_offset, F64, value,
                            )  # fmt: skip
                            writer.words[at >> 2] = STEPPED_BYTES
                        writer.at = stop
                        writer.n_records += 1
                        line.points.append(value)
                        line.last_seq = seq
                        writer.busy = False
                        return
                    writer.busy = False
        except BaseException as exc:
            if at >= 0 and isinstance(exc, struct.error):  # a step that is no 64-bit number
                writer.erase(at, stop)
            if at >= 0 and writer.busy:  # without `at` it may be busy with what we interrupted
                writer.interrupted()
            if not isinstance(exc, Exception) or is_theirs(exc):
                raise
        if take_turn(session.local.lines, name, self, unit):
            self.metric(name, value, step=step, unit=unit)
        else:
            session.guard(self._metric, name, value, step, unit)

    def metrics(self, mapping: Mapping[str, Any], *, step: int | None = None) -> None:
        """Record a point of each series."""
        points: dict[str, Any] = self._session.guard(lambda: dict(mapping)) or {}
        for name, value in points.items():
            self.metric(name, value, step=step)

    def hyperparameter(self, name: str, value: Any, *, step: int | None = None) -> None:
        """Record that a hyperparameter has a new value; nothing if it is the last one again.

        The last one is that of the stage around, its initial hyperparameters included.
        """
        self._session.guard(lambda: learning().adapt(self, name, value, step))

    def checkpoint(
        self,
        path: str | os.PathLike[str],
        *,
        step: int | None = None,
        metric: Any = None,
        best: bool = False,
    ) -> None:
        """Record a model version that was just saved, a file or directory.

        Args:
            step: By default as in `metric`.
            metric: What it scored: a number, or numbers by name of which the first is the score.
            best: It is the best so far.
        """
        self._session.guard(lambda: learning().checkpoint(self, path, step, metric, best))

    def resumed_from(self, path_or_run: Any) -> None:
        """Record that this goes on from a checkpoint (its path), or from a run.

        A run is its IRI, the digest in it, or an open session; other text is kept as it is.
        """
        self._session.guard(lambda: learning().resumed_from(self, path_or_run))

    def start_with(self, values: Mapping[str, Any]) -> None:
        """Record values that it uses from the start; hyperparameters may be adapted later."""
        both, more = in_pieces(values)
        names = [*both]
        for at in range(0, len(names), MAX_NAMES):
            used = self._used_some({name: both[name] for name in names[at : at + MAX_NAMES]})
            self._known.update(learning().initial(*used))
        for piece in more:
            self._used_some(piece)

    def default_step(self) -> int | None:
        """Return the step of what is recorded without one."""
        return self.step if self.step is not None else self._innermost_step()

    def _innermost_step(self) -> int | None:
        inner = innermost.get()
        return None if inner is None or inner._session is not self._session else inner.step

    def _used(self, mapping: Mapping[str, Any] | None, values: dict[str, Any]) -> None:
        both, more = in_pieces({**(mapping or {}), **values})
        names = [*both]
        for at in range(0, max(len(names), 1), MAX_NAMES):
            self._used_some({name: both[name] for name in names[at : at + MAX_NAMES]})
        for piece in more:
            self._used_some(piece)

    def _used_some(self, values: Mapping[str, Any]) -> tuple[list[str], bytes]:
        names, data = _split(values)
        self._session.write(
            (self.kind, self.name, names, NOTHING),
            lambda sig: encode(Used(self._session.next_seq(), self.seq, sig, data)),
        )
        return names, data

    def _generated(
        self, mapping: Mapping[str, Any] | None, values: dict[str, Any]
    ) -> Mapping[str, Handle]:
        both, more = in_pieces({**(mapping or {}), **values})
        handles = self._generated_some(both)
        for piece in more:
            handles._pieces.append(self._generated_some(piece))
        return handles

    def _generated_some(self, values: Mapping[str, Any]) -> Handles:
        names, data = _split(values)
        seq, at_ns = self._session.next_seq(), self._session._now_ns()
        self._session.write(
            (self.kind, self.name, NOTHING, names),
            lambda sig: encode(Generated(seq, self.seq, sig, data, at_ns)),
        )
        return Handles(self, names, data, seq)

    def _metric(self, name: Any, value: Any, step: Any, unit: Any) -> None:
        """Write a point where the inlined path does not: another series, execution or chunk."""
        session, point = self._session, as_number(value)
        number = self.default_step() if step is None else as_step(step)
        shape = session.shape(self.kind, self.name, NOTHING, [interned(name)])
        measured_in = None if unit is None else interned(unit)
        seq, at_ns = session.next_seq(), session._now_ns()
        writer = session.write_shaped(
            shape, lambda sig: encode(Metric(seq, self.seq, sig, number, at_ns, point, measured_in))
        )
        if writer is None:
            return
        line = line_of(writer, self, name, measured_in, shape, seq)
        if line is None:
            session.lose(f"over {MAX_SHAPES:,} series: no summary of the others", 0)
        else:
            line.points.append(point)
            line.last_seq = seq


def learning() -> ModuleType:
    """Return `pllib.learning`, imported when it is first needed."""
    from . import learning

    return learning


def as_number(value: Any) -> float:
    """Return what a metric takes as a number: whatever is one, or holds one.

    An array or tensor of one element is that.  `float` of it fails with NumPy 2.4, and warns with
    PyTorch 2.13 if it requires a gradient.

    Raises:
        ValueError, TypeError: It is none; or whatever its own conversion raises.
    """
    if hasattr(value, "__setitem__") and hasattr(value, "item"):  # no scalar of an array library
        value = value.item()
    return float(value)


def as_step(value: Any) -> int:
    """Return a step as a whole number of 64 bits.

    Raises:
        ValueError: It is more; or whatever its own conversion raises.
    """
    number = int(value)
    if abs(number) >= 1 << 63:
        raise ValueError("a step is beyond 64 bits")
    return number


def _split(values: Mapping[str, Any]) -> tuple[list[str], bytes]:
    """Return names and encoded values."""
    return [interned(name) for name in values], encode_list([*values.values()])
