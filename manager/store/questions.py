"""What may be asked of a store: SPARQL, lineage, runs, one of them, its series."""

from __future__ import annotations

from functools import partial

import msgspec
import pyoxigraph as ox

from pllib import jsontext
from pllib.errors import QueryError
from pllib.identity import ID_BASE

from .answer import answer, select
from .described import Trace, lineage
from .inference import inferred
from .replying import Reply
from .runs import list_runs
from .show import Show, products, show


class Sparql(msgspec.Struct, array_like=True, tag="sparql"):
    query: str
    formats: list[str]
    inferred: bool = False
    """Of what follows from what is stored, too."""


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


def reply(store: ox.Store, question: Question, to: Reply) -> None:
    """Answer a question.

    Raises:
        QueryError: The question is wrong, refused, or its answer too large.
    """
    if isinstance(question, Sparql):
        asked = inferred(store) if question.inferred else store
        answer(asked, question.query, question.formats, to)
        return
    to.begin(JSON)
    to.write(msgspec.json.encode(_found(store, question)))


def _found(store: ox.Store, question: Trace | Runs | Show | Points) -> object:
    if isinstance(question, Trace):
        return lineage(store, question, _starts(store, question.target))
    if isinstance(question, Runs):
        return list_runs(partial(select, store), live=question.live)
    if isinstance(question, Points):
        from .points import points  # pyarrow takes 0.2 s to import

        return points(store, question)
    return jsontext.plain(show(store, question))


def _starts(store: ox.Store, target: str) -> list[str]:
    try:
        ox.NamedNode(target)
    except ValueError:
        raise QueryError(f"{target} is not an IRI") from None
    return products(store, target) if target.startswith(f"{ID_BASE}run/") else [target]
