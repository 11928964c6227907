"""A run that a query is asked for restricts what is aggregated, not what came out of it."""

from __future__ import annotations

import pyoxigraph as ox
import pytest

from pllib.errors import QueryError
from query.binding import bind_variable

STORE = ox.Store()
for run, n in (("a", 2), ("b", 3)):
    for nth in range(n):
        STORE.add(
            ox.Quad(
                ox.NamedNode(f"x:{run}{nth}"), ox.NamedNode("x:of"), ox.NamedNode(f"x:{run}")
            )
        )  # fmt: skip


def ask(query: str) -> object:
    found = STORE.query(bind_variable(query, "run", ["x:a"]))
    return len(list(found)) if isinstance(found, ox.QueryTriples) else [
        [term.value for term in row] for row in found
    ]  # fmt: skip


@pytest.mark.parametrize(
    "query",
    [
        "SELECT (COUNT(*) AS ?n) { ?s <x:of> ?run }",
        "PREFIX x: <x:> # { not this\nSELECT (COUNT(*) AS ?n) WHERE { ?s x:of ?run }",
        'SELECT (COUNT(*) AS ?n) WHERE { ?s <x:of> ?run FILTER("{" != "}") }',
        "SELECT (COUNT(*) AS ?n) { { ?s <x:of> ?run } UNION { ?s <x:no> ?run } }",
        "SELECT ?n { SELECT (COUNT(*) AS ?n) ?run { ?s <x:of> ?run } GROUP BY ?run }",
    ],
)
def test_an_aggregate_counts_the_run_alone(query):
    assert ask(query) == [["2"]]


def test_a_template_is_left_alone():
    assert ask("CONSTRUCT { ?s <x:is> ?run } WHERE { ?s <x:of> ?run }") == 2
    assert ask("CONSTRUCT { ?s <x:is> ?run } { ?s <x:of> ?run }") == 2


def test_a_query_without_a_pattern_is_refused():
    with pytest.raises(QueryError, match="--run"):
        bind_variable("DESCRIBE <x:a>", "run", ["x:a"])
