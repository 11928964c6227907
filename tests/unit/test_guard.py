"""Queries are read-only, call nobody and are of a size that can't hurt."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import suppress

import pyoxigraph as ox
import pytest

from manager.store.guard import MAX_CHARACTERS, MAX_DEPTH, MAX_OPERATORS, check_query
from pllib.errors import QueryError
from query.answers import expand
from query.named import catalog


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * { SERVICE <http://example.org/> { ?s ?p ?o } }",
        "SELECT * { service silent ?x { ?s ?p ?o } }",
        "SELECT * { \\u0053ERVICE <http://example.org/> { ?s ?p ?o } }",
        "SELECT * { ?s ?p '\\u0027SERVICE <http://example.org/> {}",
        "INSERT DATA { <a:a> <a:b> <a:c> }",
        "PREFIX a: <a:> DELETE WHERE { ?s ?p ?o }",
        "BASE <a:> PREFIX a: <a:> # INSERT\r\n insert { a:a a:b a:c } where {}",
        "LOAD <http://example.org/>",
        "CLEAR ALL",
        "SELECT * FROM <http://example.org/> { ?s ?p ?o }",
        "SELECT * FROM NAMED <http://example.org/> { ?s ?p ?o }",
        "SELECT * " + "{" * (MAX_DEPTH + 1) + "}" * (MAX_DEPTH + 1),
        "ASK { FILTER(" + "true || " * (MAX_OPERATORS + 1) + "true) }",
        "ASK { FILTER(" + "1-" * (MAX_OPERATORS + 1) + "1) }",
        "ASK { " + "OPTIONAL {}" * (MAX_OPERATORS + 1) + "}",
        "ASK { ?s ?p ?o }" + " " * MAX_CHARACTERS,
        "SELECT * { ?s ?p '\0' }",
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
        "SELECT * { ?s <http://example.org/SERVICE#it's> ?o }",
        "PREFIX a: <http://example.org/> SELECT * { ?s a:service ?o ; a:load 1 ; a:from 2 }",
        'SELECT * { ?s ?p """a "SERVICE" b""" } # SERVICE',
        "SELECT * { ?s ?p '''a'b''' ; ?q 'it is a # SERVICE {' }",
        "SELECT ?insert { ?insert ?delete ?load }",
        "ASK { FILTER(1 < 2 && 3 > 2) ?s ?p ?o }",
        "SELECT * { VALUES ?x {" + " -1 +.5 1.5e-3" * MAX_OPERATORS + "} }",
    ],
)
def test_what_only_looks_like_it_runs(query):
    check_query(query)


@pytest.mark.parametrize("name", list(catalog()))
def test_our_own_queries_run(name):
    check_query(expand(catalog()[name].sparql))


CALLS = [
    "SELECT * { SERVICE <URL> { ?s ?p ?o } }",
    "SELECT * { ?s ?p 'x' . SERVICE<URL>{} }",
    "SELECT * { ?s ?p '''a'b''' SERVICE <URL> {} }",
    "SELECT * { SERVICE:x {} }",
    "SELECT * { service :x {} }",
    "SELECT * { SERVICESILENT<URL>{} }",
    "SELECT * { ?s ?p trueSERVICE<URL>{} }",
    "SELECT * { ?s ?p 1.SERVICE:x{} }",
    "SELECT * { ?s ?p 1e3SERVICE<URL>{} }",
    "SELECT * { ?s ?p a:.SERVICE <URL> {} }",
    "SELECT * { ?s ?p 'x'@en.SERVICE<URL>{} }",
    "SELECT * { ?s ?p a:b\\#c . SERVICE <URL> {} }",
    "SELECT * { ?s ?p a:b\\' . SERVICE <URL> {} FILTER(1 = '1') }",
    "SELECT * { ?s ?p ?o # a comment ends here:\rSERVICE <URL> {} }",
    "SELECT * { SERVICE # '\r SILENT # '\n <URL> {} }",
    "SELECT * { FILTER(1<'x>'||true) SERVICE <URL> {} FILTER('a'='b') }",
    "SELECT * { BIND(2 AS ?b) FILTER(1<?b#c>'''\n) SERVICE <URL> {} } # '''",
    "SELECT * { BIND(2 AS ?b) FILTER(1<?b)SERVICE#>\n:x{} }",
    "SELECT * { ?s ?p '\\u0027' . SERVICE <URL> {} FILTER('' = '') }",
    "SELECT * { ?s ?p <urn:\\u0041'> . SERVICE <URL> {} FILTER('' = '') }",
    "SELECT * { OPTIONAL { ?s ?p ?o } LATERAL { SERVICE <URL> { ?s ?p ?o } } }",
    "ASK { FILTER EXISTS { SERVICE <URL> { ?s ?p ?o } } }",
    "CONSTRUCT { ?s ?p ?o } WHERE { { SELECT * { SERVICE <URL> { ?s ?p ?o } } } }",
    "DESCRIBE ?s { SERVICE <URL> { ?s ?p ?o } }",
]


class Called(http.server.ThreadingHTTPServer):
    """Counts who calls."""

    def __init__(self) -> None:
        self.count = 0
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                server.count += 1
                self.send_error(500)

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)


@pytest.fixture(scope="module")
def called() -> Iterator[Called]:
    with Called() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize("query", CALLS)
def test_whatever_calls_in_pyoxigraph_is_refused(query: str, called: Called):
    """Each of these sends a request when it runs, so that none is refused for nothing."""
    url = f"http://127.0.0.1:{called.server_port}/"
    text = f"PREFIX : <{url}> PREFIX a: <urn:a> {query.replace('URL', url)}"
    store = ox.Store()
    for value in (ox.Literal("x"), ox.Literal(True), ox.Literal(1), ox.Literal("1e3")):
        store.add(ox.Quad(ox.NamedNode("urn:s"), ox.NamedNode("urn:p"), value))
    with pytest.raises(QueryError, match="SERVICE"):
        check_query(text)
    assert _calls(store, text, called), "it is no call: it shows nothing"


def _calls(store: ox.Store, text: str, called: Called) -> bool:
    before = called.count
    with suppress(OSError, RuntimeError):
        result = store.query(text)
        if not isinstance(result, ox.QueryBoolean):
            list(result)
    return called.count > before
