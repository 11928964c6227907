"""What stands in for a session when capture is off: the same calls, each doing nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .data import Handle
from .execution import each_index

_NO_HANDLES: Mapping[str, Handle] = {}


class Off:
    """A session or execution of mode ``off``."""

    __slots__ = ()
    iri = ""
    run = ""
    status = "off"

    def __enter__(self) -> Off:
        return self

    def __exit__(self, *exc: object) -> None:
        return None

    def used(self, mapping: Mapping[str, Any] | None = None, /, **values: Any) -> None: ...

    def generated(
        self, mapping: Mapping[str, Any] | None = None, /, **values: Any
    ) -> Mapping[str, Handle]:
        return _NO_HANDLES

    def metric(
        self, name: str, value: Any, *, step: int | None = None, unit: str | None = None
    ) -> None: ...

    def metrics(self, mapping: Mapping[str, Any], *, step: int | None = None) -> None: ...

    def transformation(
        self,
        name: str,
        *,
        used: Mapping[str, Any] | None = None,
        only_rank: int | None = None,
    ) -> Off:
        return self

    def stage(
        self,
        kind: str,
        name: str | None = None,
        *,
        hyperparameters: Mapping[str, Any] | None = None,
        used: Mapping[str, Any] | None = None,
        only_rank: int | None = None,
    ) -> Off:
        return self

    def section(self, kind: str, index: int | None = None) -> Off:
        return self

    def sections(self, kind: str, indices: int | Iterable[int]) -> Iterator[Off]:
        for _ in each_index(indices):
            yield self

    def close(self, timeout_s: float | None = None) -> None: ...


OFF = Off()
