"""`sprov verify --tables`: what looking up triples does not touch of a store, read through.

Looking up a triple reads one of the three orders that Oxigraph keeps triples in, and no text.  So
each of the others is walked by a query, and the text of each object is asked for.  RocksDB checks
every block that it reads; but an iterator over a damaged one never ends, and the text in one is
unbound to a query (pyoxigraph 0.5.13, both as tried): hence a process of its own and a time limit.
"""

from __future__ import annotations

import time

from pllib.errors import QueryError, UnavailableError
from pllib.project import Project
from query.engine import Engine

_ALL = "SELECT (COUNT(*) AS ?n) { ?s ?p ?o }"
_WALKS = {
    "by predicate": "SELECT (COUNT(*) AS ?n) { { SELECT DISTINCT ?p { ?s ?p ?o } } ?a ?p ?b }",
    "by object": "SELECT (COUNT(*) AS ?n) { { SELECT DISTINCT ?o { ?s ?p ?o } } ?a ?b ?o }",
}
_TEXTS = "SELECT (SUM(STRLEN(STR(?o))) AS ?n) { SELECT DISTINCT ?o { ?s ?p ?o } }"
LEAST_S, TIMES_LONGER = 20.0, 40.0
"""How long a walk may take, at least and over a plain count: by object it took 8 to 13 times as
long for 128,094 triples."""


def damage(project: Project) -> list[str]:
    """Return what is wrong with the newest snapshot's tables, as lines."""
    begun = time.monotonic()
    found = _count(project, _ALL, LEAST_S * TIMES_LONGER)
    if not isinstance(found, int):
        return [f"the store's triples can't be read through: {found}"]
    limit_s = max(LEAST_S, TIMES_LONGER * (time.monotonic() - begun))
    problems = []
    for order, query in _WALKS.items():
        walked = _count(project, query, limit_s)
        if walked != found:
            problems.append(f"the store's index {order} is damaged: {found} triples, {walked}")
    texts = _count(project, _TEXTS, limit_s)
    if not isinstance(texts, int):
        problems.append(f"the store's texts are damaged: {texts}")
    return problems


def _count(project: Project, query: str, limit_s: float) -> int | str:
    """Return the number that a query of the snapshot gives, else why it gives none."""
    try:
        rows = Engine(project, None, timeout_s=limit_s).select(query)
    except (QueryError, UnavailableError) as exc:
        return str(exc)
    return int(rows[0]["n"]) if rows and "n" in rows[0] else "some can't be read"
