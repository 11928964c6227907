"""What `generated` returns: handles to values, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import msgspec

from . import records
from .data import Handle

if TYPE_CHECKING:
    from .execution import Transformation
    from .recording import Recording


class Handles(Mapping[str, Handle]):
    """What one call of `generated` generated, by name; made when asked for.

    A file or data set has an identity of its own, so its handle is what was recorded of it then.
    """

    __slots__ = ("_activity", "_data", "_execution", "_names", "_ordinal", "_pieces")

    def __init__(self, execution: Recording, names: list[str], data: bytes, ordinal: int) -> None:
        self._execution = execution
        self._activity = execution.seq  # a stage that is entered again is another
        self._names = names
        self._data = data
        self._ordinal = ordinal
        self._pieces: list[Handles] = []
        """Of values that one record had no room for."""

    def __getitem__(self, name: str) -> Handle:
        if name not in self._names:
            raws = [piece._raw(name) for piece in self._pieces if name in piece._names]
            if not raws:
                raise KeyError(name)
            return Handle(raws[0], tuple(raws[1:]))
        value = self._raw(name)
        if records.is_shared(bytes(value)):
            return Handle(value, self._rest_of(name, value))
        owner = self._execution
        log_id = owner._session.log_id.hex()
        return Handle(
            records.Handle(log_id, self._activity, owner.name, name, self._ordinal, owner.kind)
        )

    def _raw(self, name: str) -> msgspec.Raw:
        return records.decode_raws(self._data)[self._names.index(name)]

    def _rest_of(self, name: str, first: msgspec.Raw) -> tuple[msgspec.Raw, ...]:
        """Return further pieces of a list; each of a data set stands for all of it."""
        if not records.is_array(bytes(first)):
            return ()
        return tuple(piece._raw(name) for piece in self._pieces if name in piece._names)

    def __iter__(self) -> Iterator[str]:
        pieces = (name for piece in self._pieces for name in piece._names)
        return iter(dict.fromkeys((*self._names, *pieces)))

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Mapped:
    """Methods of Mapping for a Struct, which can't be derived from it: its metaclass is another."""

    __slots__ = ()

    __contains__ = Mapping.__contains__
    keys = Mapping.keys
    values = Mapping.values
    items = Mapping.items
    get = Mapping.get


class Made(Mapped, msgspec.Struct, eq=False, gc=False):
    """The mapping that a transformation returns: it finds handles when they are asked for.

    `generated` is called for its effect nearly always, so this is what C makes in 40 ns.
    """

    _step: Transformation

    def __getitem__(self, name: str) -> Handle:
        return self._step.handles()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._step.handles())

    def __len__(self) -> int:
        return len(self._step.handles())


Mapping.register(Made)
