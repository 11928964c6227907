"""The register of answers that were computed from the diaries, by the query that must give them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from .study import Study

Rows = list[dict[str, Any]]


class Asked(NamedTuple):
    """A question and its answer: rows of the columns named there, in any order."""

    parameters: dict[str, Any]
    rows: Rows


ANSWERS: dict[str, Callable[[Study], Iterator[Asked]]] = {}


def answers(name: str) -> Callable[[Callable[[Study], Iterator[Asked]]], Any]:
    """Register what yields the questions to a named query and their answers."""

    def register(give: Callable[[Study], Iterator[Asked]]) -> Callable[[Study], Iterator[Asked]]:
        assert name not in ANSWERS, name
        ANSWERS[name] = give
        return give

    return register


def unmatched(found: Rows, expected: Rows) -> tuple[Rows, Rows]:
    """Return rows that were found and not expected, and that were expected and not found."""
    left, missing = list(found), []
    for row in expected:
        same = next((each for each in left if all(each[k] == v for k, v in row.items())), None)
        if same is None:
            missing.append(row)
        else:
            left.remove(same)
    return left, missing
