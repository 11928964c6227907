"""Queries are read-only, call nobody and are of a size that can't hurt."""

from __future__ import annotations

import pytest

from manager.store.guard import check_query
from pllib.errors import QueryError


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * { SERVICE <http://example.org/> { ?s ?p ?o } }",
        "SELECT * { service silent ?x { ?s ?p ?o } }",
        'SELECT * { ?s ?p "x" . SERVICE?x{} }',
        "SELECT * { ?s ?p '''a'b''' SERVICE <http://e/> {} }",
        "SELECT * { \\u0053ERVICE <http://example.org/> { ?s ?p ?o } }",
        "INSERT DATA { <a:a> <a:b> <a:c> }",
        "PREFIX a: <a:> DELETE WHERE { ?s ?p ?o }",
        "LOAD <http://example.org/>",
        "SELECT * " + "{" * 300 + "}" * 300,
        "ASK { FILTER(" + "true || " * 3000 + "true) }",
        "SELECT * { ?s ?p ?o }" + " " * 300_000,
    ],
)
def test_what_must_not_run_is_refused(query):
    with pytest.raises(QueryError):
        check_query(query)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * { ?service ?p 'SERVICE' }",
        "SELECT * { ?s <http://example.org/SERVICE> ?o }",
        "PREFIX service: <http://example.org/> SELECT * { ?s service:load ?o }",
        'SELECT * { ?s ?p """a "SERVICE" b""" } # SERVICE',
        "SELECT ?insert { ?insert ?delete ?load }",
        "ASK { FILTER(1 < 2 && 3 > 2) ?s ?p ?o }",
    ],
)
def test_what_only_looks_like_it_runs(query):
    check_query(query)
