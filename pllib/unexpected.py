"""What a transformation does off its inlined path: other names, long values, a new chunk, an error.

What is here was guessed wrong from the last transformation of the same name.  Shapes that were met
before are found by their names, without exceptions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .foreign import is_theirs
from .pieces import in_pieces
from .recording import NOTHING
from .records import NO_VALUES, TRANSFORMATION_TAG, encode
from .shape import MAX_SHAPES, Shape
from .values import LONG_BYTES, are_small, encode_each, encode_small
from .values import encode as encode_values
from .words import interned

if TYPE_CHECKING:
    from .execution import Transformation

KIND = "transformation"


def use(step: Transformation, given: Any) -> None:
    """Take what it uses."""
    session = step._session
    step._used_values = NO_VALUES
    if type(step.name) is not str:
        step.name = interned(step.name)
    values = _as_dict(given)
    names = tuple(values)
    shape, guessed = session.shape_of(KIND, step.name, names), session.shapes.get(step.name)
    if guessed is not None and guessed.n_used == len(names):
        guessed.guess_no_used()
    step._shape = shape
    if shape is None or (data := _encoded_as(shape, values)) is None:
        values, more = in_pieces(values)
        step._shape = None if more else shape
        step._names = ([interned(name) for name in values], NOTHING)
        data = _encoded(step, [*values.values()])
        step._is_large |= bool(more)
        for piece in more:
            step._used_some(piece)
    step._used_values = data


def generate(step: Transformation, given: Any) -> None:
    """Take what it generated first."""
    values = _as_dict(given)
    names = tuple(values)
    guessed, shape = step._shape, None
    if guessed is not None:
        shape = guessed.forms.get(names)
        if guessed.n_generated == len(names):
            guessed.guess_no_generated()
    used = step._used_names()
    if shape is None or (data := _encoded_as(shape, values)) is None:
        values, more = in_pieces(values)
        shape = None if more else shape
        data = _encoded(step, [*values.values()])
        step._is_large |= bool(more)
        step._pieces = [step._generated_some(piece) for piece in more]
        step._names = (used, [interned(name) for name in values])
    step._shape, step._made = shape, data


def _encoded_as(shape: Shape, values: dict[Any, Any]) -> bytes | None:
    """Return values encoded if they are as short as those of this shape were; else None."""
    if shape.is_large:
        return None
    try:
        data = encode_values([*values.values()])
    except Exception as exc:  # whatever a foreign value's methods raise
        if is_theirs(exc):
            raise
        return None
    return data if len(data) <= LONG_BYTES else None


def _as_dict(given: Any) -> dict[Any, Any]:
    """Return a mapping as a dict, which is read without writing into it; else a value as one."""
    if type(given) is dict:
        return given
    if given is None:
        return {}
    return dict(given) if isinstance(given, Mapping) else {"used": given}


def _encoded(step: Transformation, values: list[Any]) -> bytes:
    if are_small(values):
        return encode_small(values)
    step._is_large = True
    return encode_each(values)


def write(step: Transformation, duration_ns: int, error: str | None, only_rank: int | None) -> None:
    """Write the record where the inlined path does not."""
    session = step._session
    made = NO_VALUES if step._made is None else step._made
    fields = (step.started_ns, duration_ns, step._used_values, made, error, only_rank)
    head = (TRANSFORMATION_TAG, step.seq, step._outer.seq)
    name = interned(step.name)
    used, generated = step._used_names(), step._generated_names()
    shape = session.shape(KIND, name, used, generated)
    session.write_shaped(shape, lambda number: encode((*head, number, *fields)))
    _expect(step, name, shape)


def _expect(step: Transformation, name: str, shape: Shape) -> None:
    """Guess that the next transformation of this name is like this one."""
    shapes = step._session.shapes
    last = shapes.get(name)
    if step._is_large:
        shape.mark_large()
    elif last is not None and last is not shape:
        if last.n_used < 0 and len(last.used) == len(shape.used):
            shape.guess_no_used()
        if last.n_generated < 0 and last.used == shape.used:
            shape.guess_no_generated()
    if len(shapes) >= MAX_SHAPES:
        shapes.clear()
    shapes[name] = shape
