"""What stands in for a session when capture is off: the same calls, each doing nothing.

A program finds all that it finds when capture is on (tests/integration/test_off.py compares them),
so that it need not know: names and indices are those that it gave, rank and size those of its
launch, and what it asks of its own provenance is empty.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from .data import Handle
from .foreign import is_theirs
from .handles import Mapped
from .nesting import as_index, each_index
from .objects import described
from .words import as_text

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Self


class OffHandles(Mapped, msgspec.Struct, eq=False, gc=False):
    """What `generated` returns: handles that stand for nothing, by the names that it was given."""

    given: Any

    def __getitem__(self, name: str) -> Handle:
        if name not in self._names():
            raise KeyError(name)
        return Handle(msgspec.Raw(msgspec.msgpack.encode(described("handle", "capture was off"))))

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def _names(self) -> dict[str, None]:
        return dict.fromkeys(map(as_text, self.given))


Mapping.register(OffHandles)
_NO_NAMES: tuple[str, ...] = ()


class Off(msgspec.Struct, eq=False, gc=False):
    """A session or execution of mode ``off``."""

    kind: str = "run"
    name: str = ""
    index: int | None = None
    step: int | None = None
    only_rank: int | None = None
    label: str = ""

    iri: ClassVar[str] = ""
    run: ClassVar[str] = ""
    path: ClassVar[str] = ""
    status: ClassVar[str] = "off"
    log_id: ClassVar[bytes] = bytes(16)
    seq: ClassVar[int] = 0
    started_ns: ClassVar[int] = 0
    sampler: ClassVar[None] = None
    describer: ClassVar[None] = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        return None

    @property
    def rank(self) -> int:
        return _find_place()[0]

    @property
    def size(self) -> int:
        return _find_place()[1]

    @property
    def is_closed(self) -> bool:
        return False

    @property
    def is_managed(self) -> bool:
        return True

    @property
    def spool_path(self) -> Path:
        from pathlib import Path

        return Path(os.devnull)

    @property
    def lost(self) -> Counter[str]:
        return Counter()

    def used(self, mapping: Mapping[str, Any] | None = None, /, **values: Any) -> None: ...

    def generated(
        self, mapping: Mapping[str, Any] | None = None, /, **values: Any
    ) -> Mapping[str, Handle]:
        if mapping is None:
            return OffHandles(values)  # type: ignore[return-value]
        if values or mapping.__class__ is not dict:
            return OffHandles((*_names_of(mapping), *values))  # type: ignore[return-value]
        return OffHandles(mapping)  # type: ignore[return-value]

    def metric(
        self, name: str, value: Any, *, step: int | None = None, unit: str | None = None
    ) -> None: ...

    def metrics(self, mapping: Mapping[str, Any], *, step: int | None = None) -> None: ...

    def hyperparameter(self, name: str, value: Any, *, step: int | None = None) -> None: ...

    def checkpoint(
        self,
        path: str | os.PathLike[str],
        *,
        step: int | None = None,
        metric: Any = None,
        best: bool = False,
    ) -> None: ...

    def resumed_from(self, path_or_run: Any) -> None: ...

    def transformation(
        self,
        name: str,
        *,
        used: Mapping[str, Any] | None = None,
        only_rank: int | None = None,
    ) -> Off:
        return Off("transformation", name, None, self.step, only_rank)

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
    ) -> Off:
        kind = as_text(kind)
        return Off(kind, kind if name is None else as_text(name), None, self.step, only_rank)

    def trial(
        self,
        name: str,
        hyperparameters: Any = None,
        *,
        used: Mapping[str, Any] | None = None,
        only_rank: int | None = None,
    ) -> Off:
        return Off("trial", "trial", None, self.step, only_rank, as_text(name))

    def section(self, kind: str, index: int | None = None) -> Off:
        kind, number = as_text(kind), as_index(index)
        return Off(kind, kind, number, self.step if number is None else number)

    def sections(self, kind: str, indices: int | Iterable[int]) -> Iterator[Off]:
        for number in each_index(indices):
            with self.section(kind, number) as section:
                yield section

    def close(
        self, timeout_s: float | None = None, *, error: BaseException | None = None
    ) -> None: ...


class OffSession(Off, eq=False, gc=False):
    """What `pllib.open` returns when capture is off."""

    place: tuple[int, int] | None = None
    """Rank and size, if the program said them or once they are known."""
    _is_closed: bool = False
    _is_managed: bool = False

    def __enter__(self) -> Self:
        self._is_managed = True
        return self

    def __exit__(self, *exc: object) -> None:
        self._is_closed = True

    @property
    def rank(self) -> int:
        return self._where()[0]

    @property
    def size(self) -> int:
        return self._where()[1]

    def _where(self) -> tuple[int, int]:
        if self.place is None:
            self.place = _find_place()
        return self.place

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    @property
    def is_managed(self) -> bool:
        return self._is_managed

    def close(self, timeout_s: float | None = None, *, error: BaseException | None = None) -> None:
        self._is_closed = True


def _names_of(mapping: Any) -> tuple[Any, ...]:
    """Return the names of what was given now: the program may go on to change it."""
    try:
        return tuple(mapping)
    except Exception as exc:  # it is no mapping, or a foreign one
        if is_theirs(exc):
            raise
        return _NO_NAMES


def _find_place() -> tuple[int, int]:
    from . import launch

    try:
        found = launch.find()
    except Exception as exc:  # what a launcher says may be wrong in any way
        if is_theirs(exc):
            raise
        return 0, 1
    return found.rank, found.size


def enter(arguments: Mapping[str, Any]) -> OffSession:
    """Return what stands in for the session that these arguments of `pllib.open` would open."""
    program = os.path.basename(sys.argv[0]) if sys.argv and sys.argv[0] else "python"  # noqa: PTH119
    named = (arguments[name] for name in ("workflow", "experiment", "study") if arguments[name])
    place = arguments["rank"], arguments["size"]
    is_place = all(type(number) is int for number in place)
    return OffSession(
        name=as_text(next(named, program.removesuffix(".py"))),
        place=place if is_place else None,
    )


def _nothing(*args: Any, **more: Any) -> None:
    """Do what capture does for itself, when it is off."""


for _name in (
    "abandon", "begin", "declare", "default_step",
    "failed", "forget", "guard", "handles", "interrupted", "lose", "next_seq", "parent_seq",
    "shape", "shape_of", "start_with", "tell", "tick", "write", "write_shaped",
):  # fmt: skip
    setattr(Off, _name, _nothing)
for _name in ("local", "occurrences", "open_transformations", "plans", "shapes"):
    setattr(Off, _name, MappingProxyType({}))
for _name in ("sequence",):
    setattr(Off, _name, 0)

OFF = Off()
