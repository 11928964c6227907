"""What records of one kind and name look like: the names of their values, and how to pick them.

A log holds a shape once a frame, as a `pllib.records.Signature`, and records refer to it by number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Any

from .records import Signature, encode
from .values import interned

MAX_SHAPES = 4096
"""A program that makes up names for ever must not grow us."""

Key = tuple[str, str, tuple[Any, ...], tuple[Any, ...]]


class Shape:
    """`used` and `generated` are names as the user gave them; `pick_*` return their values.

    Picking checks and collects in one call of C: a missing name raises KeyError, and a length that
    differs is a name too many.
    """

    __slots__ = ("generated", "key", "n_generated", "n_used", "pick_generated", "pick_used", "used")

    def __init__(self, key: Key) -> None:
        self.key = key
        self.used, self.generated = list(key[2]), list(key[3])
        self.n_used, self.n_generated = len(self.used), len(self.generated)
        self.pick_used = _picker(self.used)
        self.pick_generated = _picker(self.generated)

    def signature(self, number: int) -> bytes:
        kind, name, used, generated = self.key
        return encode(
            Signature(
                number,
                interned(kind),
                interned(name),
                tuple(interned(item) for item in used),
                tuple(interned(item) for item in generated),
            )
        )


class Shapes:
    """The shapes that a session has met."""

    def __init__(self) -> None:
        self._known: dict[Key, Shape] = {}

    def find(self, kind: str, name: str, used: list[Any], generated: list[Any]) -> Shape:
        key = (kind, name, tuple(used), tuple(generated))
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= MAX_SHAPES:
                self._known.clear()
            found = self._known[key] = Shape(key)
        return found


def _picker(names: list[Any]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    if not names:
        return lambda values: ()
    if len(names) == 1:
        (only,) = names
        return lambda values: (values[only],)
    return itemgetter(*names)
