"""Read what a manager answers: what is none of its answers is one clear error.

It has proved who it is, but may be of another version, behind a proxy that answers for it, or cut.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar

import msgspec

from pllib.errors import Error, QueryError, UnavailableError

MEDIA = {
    "json": "application/sparql-results+json",
    "xml": "application/sparql-results+xml",
    "csv": "text/csv",
    "tsv": "text/tab-separated-values",
    "turtle": "text/turtle",
    "ntriples": "application/n-triples",
}
Kind = TypeVar("Kind")
Cells = dict[str, dict[str, Any]]
"""Of a row: name to a term, which has a ``value``."""
Row = dict[str, Any]

OF_RUN = frozenset({"run", "name", "study", "experiment", "job", "started", "ended", "state"})
"""What a row of a run has at least."""
OF_DESCRIPTION = frozenset({"facts", "where", "attempts", "stages", "settings", "results"})
"""What the description of a run has at least."""


class OddAnswerError(UnavailableError):
    """What was answered is none of our answers."""

    def __init__(self, place: str, what: str) -> None:
        super().__init__(
            f"{place} gave an answer that can't be read: {what}",
            "Is it of another version? `sprov serve` starts it anew",
        )


class _Head(msgspec.Struct):
    vars: list[str] = []


class _Results(msgspec.Struct):
    bindings: list[Cells]


class Table(msgspec.Struct):
    """SPARQL 1.1 Query Results JSON Format: rows, or yes or no."""

    head: _Head
    results: _Results = msgspec.field(default_factory=lambda: _Results([]))
    boolean: bool | None = None

    @property
    def rows(self) -> list[Cells]:
        return self.results.bindings


def decode(body: bytes, kind: type[Kind], place: str) -> Kind:
    """Decode an answer in JSON.

    Args:
        place: Who answered, in words.

    Raises:
        OddAnswerError: It is none.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise OddAnswerError(place, str(exc)) from None


def decode_table(body: bytes, place: str) -> Table:
    """Decode the answer to a SELECT or ASK query.

    Raises:
        OddAnswerError: It is none.
    """
    table = decode(body, Table, place)
    if any("value" not in cell for row in table.rows for cell in row.values()):
        raise OddAnswerError(place, "a term has no value")
    return table


def decode_object(body: bytes, place: str, keys: frozenset[str] = frozenset()) -> Row:
    """Decode an object that has these keys, and maybe more.

    Raises:
        OddAnswerError: It is none.
    """
    return _checked(_any(body, place), place, keys)


def decode_rows(body: bytes, place: str, keys: frozenset[str]) -> list[Row]:
    """Decode a list of objects that have these keys, and maybe more.

    Raises:
        OddAnswerError: It is none.
    """
    rows = _any(body, place)
    if not isinstance(rows, list):
        raise OddAnswerError(place, "it is no list")
    return [_checked(row, place, keys) for row in rows]


def _any(body: bytes, place: str) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise OddAnswerError(place, str(exc)) from None


def _checked(found: Any, place: str, keys: frozenset[str]) -> Row:
    if not isinstance(found, dict):
        raise OddAnswerError(place, "it is no object")
    if missing := sorted(keys - found.keys()):
        raise OddAnswerError(place, f"it has no {missing[0]}")
    return found


def check_media(media: str, formats: list[str], place: str) -> None:
    """See that an answer is of a type that was asked for.

    Raises:
        OddAnswerError: It is not.
    """
    if media not in [MEDIA[name] for name in formats]:
        raise OddAnswerError(place, f"it is {media}")


def refusal(status: int, body: bytes) -> Error:
    """Return what a manager says is wrong (`manager.problems`) as an error."""
    try:
        reply = json.loads(body)
        message, hint = str(reply["error"]), str(reply.get("hint", ""))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        message, hint = f"the manager answered {status} without a reason", ""
    return (QueryError if status == 400 else UnavailableError)(message, hint)
