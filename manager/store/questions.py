"""What may be asked of a store: SPARQL, lineage, runs, one of them, its series."""

from __future__ import annotations

from functools import partial

import msgspec
import pyoxigraph as ox

from pllib.errors import QueryError
from pllib.identity import ID_BASE

from .answer import answer, select
from .described import Trace, lineage
from .runs import list_runs
from .show import Show, products, show


class Sparql(msgspec.Struct, array_like=True, tag="sparql"):
    query: str
    formats: list[str]


class Points(msgspec.Struct, array_like=True, tag="points"):
    """The points of a series, of all ranks of a run."""

    run: str
    """Identity."""
    name: str
    folder: str
    """Where the project keeps its series."""


class Runs(msgspec.Struct, array_like=True, tag="runs"):
    """All runs, as `manager.store.runs` tells them."""

    live: bool


Question = Sparql | Trace | Runs | Show | Points
JSON = "application/json"


def reply(store: ox.Store, question: Question) -> tuple[str, bytes]:
    """Return the media type of the answer, and the answer.

    Raises:
        QueryError: The question is wrong, refused, or its answer too large.
    """
    if isinstance(question, Sparql):
        return answer(store, question.query, question.formats)
    if isinstance(question, Trace):
        return JSON, msgspec.json.encode(lineage(store, question, _starts(store, question.target)))
    if isinstance(question, Runs):
        rows = list_runs(partial(select, store), live=question.live)
        return JSON, msgspec.json.encode(rows)
    if isinstance(question, Points):
        from .points import points  # pyarrow takes 0.2 s to import

        return JSON, msgspec.json.encode(points(store, question))
    return JSON, msgspec.json.encode(show(store, question))


def _starts(store: ox.Store, target: str) -> list[str]:
    try:
        ox.NamedNode(target)
    except ValueError:
        raise QueryError(f"{target} is not an IRI") from None
    return products(store, target) if target.startswith(f"{ID_BASE}run/") else [target]
