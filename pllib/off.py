"""What stands in for a session when capture is off: the same calls, each doing nothing."""

from __future__ import annotations

import os
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
        return self

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
        return self

    def trial(
        self,
        name: str,
        hyperparameters: Any = None,
        *,
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
