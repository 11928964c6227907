"""What a training says of itself besides values: changed settings, checkpoints, resumes, plans.

Imported at the first such call, so that `import pllib` does not pay for it.
"""

from __future__ import annotations

import os
import re
from _blake2 import blake2b
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .data import Checkpoint
from .identity import ID_BASE
from .plans import HYPERPARAMETER, RESUMED_FROM
from .recording import as_number, as_step
from .records import EXT_RUN, Adapted, Declared, RunReference, decode_raws, encode
from .regular import status
from .shape import MAX_SHAPES
from .values import encode_list, extend, interned

if TYPE_CHECKING:
    from .recording import Recording
    from .session import Session

CHECKPOINT = "checkpoint"
"""Name of the attribute."""

_RUN = re.compile(rf"(?:{re.escape(ID_BASE)}run/)?([0-9a-f]{{32}})")


def initial(names: list[str], data: bytes) -> dict[str, bytes]:
    """Return the hyperparameters among used values, each by a mark that another value has not.

    Args:
        names: Of used values, prefixes included.
        data: The values, as they were encoded.
    """
    values = zip(names, decode_raws(data), strict=True)
    return {name: _mark(bytes(raw)) for name, raw in values if name.startswith(HYPERPARAMETER)}


def adapt(execution: Recording, name: str, value: Any, step: Any) -> None:
    """Record that a hyperparameter has a value now, unless it has it already."""
    full, data = HYPERPARAMETER + interned(name), encode_list([value])
    known, mark = execution._known, _mark(data[1:])
    if known.get(full) == mark:
        return
    number = execution.default_step() if step is None else as_step(step)
    seq, at_ns = execution._session.next_seq(), execution._session._now_ns()
    execution._session.write(
        (execution.kind, execution.name, [full], []),
        lambda sig: encode(Adapted(seq, execution.seq, sig, data, number, at_ns)),
    )
    if len(known) >= MAX_SHAPES:
        known.clear()
    known[full] = mark


def _mark(data: bytes) -> bytes:
    return data if len(data) <= 64 else blake2b(data, digest_size=16).digest()


def checkpoint(execution: Recording, path: Any, step: Any, metric: Any, best: Any) -> None:
    """Record a model version that a training left."""
    guard = execution._session.guard
    score, said = guard(_score, metric) or (None, {})
    number = execution.default_step() if step is None else guard(as_step, step)
    made = Checkpoint(path, number, bool(best), score, said)
    execution._generated({CHECKPOINT: made}, {})


def _score(metric: Any) -> tuple[float | None, dict[str, Any]]:
    """Return the score of a metric, and all of them by name if there are names."""
    if metric is None:
        return None, {}
    if not isinstance(metric, Mapping):
        return as_number(metric), {}
    first = next(iter(metric.values()), None)
    return (None if first is None else as_number(first)), {str(k): v for k, v in metric.items()}


def resumed_from(execution: Recording, origin: Any) -> None:
    """Record what an execution goes on from: a checkpoint, or a run."""
    execution._used({RESUMED_FROM: _origin(origin)}, {})


def _origin(origin: Any) -> Any:
    run = getattr(origin, "run", origin)
    if isinstance(run, str):
        if found := _RUN.fullmatch(run):
            return extend(EXT_RUN, RunReference(found[1]))
        if run is not origin or status(run) is None:
            return run
    return Checkpoint(origin) if isinstance(origin, str | os.PathLike) else origin


def declare_stage(session: Session, kind: str, name: str, properties: Mapping[str, Any]) -> None:
    """Declare the plan of a stage, once a session as long as it says the same."""
    said = {key: interned(value) for key, value in properties.items() if value is not None}
    data = encode(said)
    if not said or session.plans.get((kind, name)) == data:
        return
    if len(session.plans) >= MAX_SHAPES:
        session.plans.clear()
    session.plans[kind, name] = data
    session.declare(Declared(session.next_seq(), kind, name, properties=data, on_the_fly=True))
