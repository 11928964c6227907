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


NO_GUESS = -1


class Shape:
    """`used` and `generated` are names as the user gave them; `pick_*` return their values.

    Picking checks and collects in one call of C, once the length is right: a name that is missing
    then raises KeyError.  So that this does not happen each time where names alternate, `n_used` or
    `n_generated` becomes `NO_GUESS` after it, and the shape is looked up by its names from then on.
    """

    __slots__ = (
        "forms", "generated", "is_large", "key", "n_generated", "n_used", "pick_generated",
        "pick_used", "used",
    )  # fmt: skip

    def __init__(self, key: Key, forms: dict[tuple[Any, ...], Shape]) -> None:
        self.key = key
        self.forms = forms
        """Shapes of the same kind, name and used names, by generated names."""
        self.is_large = False
        """Values were too long once: they are looked at before they are encoded."""
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

    def guess_no_used(self) -> None:
        self.n_used = NO_GUESS

    def guess_no_generated(self) -> None:
        self.n_generated = NO_GUESS

    def mark_large(self) -> None:
        """Have values looked at from now on."""
        self.is_large = True
        self.n_used = self.n_generated = NO_GUESS


class Shapes:
    """The shapes that a session has met."""

    def __init__(self) -> None:
        self._known: dict[Key, Shape] = {}
        self._forms: dict[tuple[str, str, tuple[Any, ...]], dict[tuple[Any, ...], Shape]] = {}

    def find(self, kind: str, name: str, used: list[Any], generated: list[Any]) -> Shape:
        key = (kind, name, tuple(used), tuple(generated))
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= MAX_SHAPES:
                self._known.clear()
                self._forms.clear()
            forms = self._forms.get(key[:3], {})
            found = forms[key[3]] = Shape(key, forms)
            self._forms[key[:3]] = forms  # now, since an exception may come between
            self._known[key] = found
        return found

    def of(self, kind: str, name: str, used: tuple[Any, ...]) -> Shape | None:
        """Return some shape with these used names, the one met first; None if there is none."""
        forms = self._forms.get((kind, name, used))
        return None if forms is None else next(iter(forms.values()))


def _picker(names: list[Any]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    if not names:
        return lambda values: ()
    if len(names) == 1:
        (only,) = names
        return lambda values: (values[only],)
    return itemgetter(*names)
