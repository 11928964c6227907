"""IRIs of the vocabulary and of things in the graph lead somewhere."""

from __future__ import annotations

import json
from urllib.parse import quote

import httpx
import pytest
from harness import TIMEOUT_S, Site
from rdflib import Graph, URIRef

from manager.ontology import NAMES


@pytest.fixture
def lived(served: Site) -> Site:
    served.run("lifecycle.py")
    served.count("?s ?p ?o")
    return served


def get(site: Site, path: str, accept: str = "", token: str | None = None) -> httpx.Response:
    token = site.endpoint.token if token is None else token
    headers = {"Accept": accept, "Authorization": f"Bearer {token}"}
    return httpx.get(f"{site.endpoint.manager}{path}", headers=headers, timeout=TIMEOUT_S)


def test_the_vocabulary_is_open_and_turtle(served: Site):
    for name in NAMES:
        reply = httpx.get(f"{served.endpoint.manager}/ontology/{name}")
        assert reply.headers["content-type"].startswith("text/turtle")
        assert len(Graph().parse(data=reply.text, format="turtle")) > 100
    assert httpx.get(f"{served.endpoint.manager}/ontology/other").status_code == 401
    assert get(served, "/ontology/..%2f..%2fsetup.cfg").status_code in (404, 422)


def test_a_thing_is_described_in_the_format_that_is_asked_for(lived: Site):
    (run,) = json.loads(lived.sprov("runs", "--format", "json"))
    path = run["run"].removeprefix("https://w3id.org/sprov")
    turtle = Graph().parse(data=get(lived, path, "text/turtle").text, format="turtle")
    plain = Graph().parse(data=get(lived, path, "application/n-triples").text, format="nt")
    table = get(lived, path, "application/json").json()["results"]["bindings"]
    assert set(turtle.subjects()) == {URIRef(run["run"])}
    assert set(turtle) == set(plain)
    assert len(turtle) == len(table) > 5
    assert get(lived, path, token="wrong").status_code == 401


def test_what_is_no_identity_is_refused(served: Site):
    for kind, identity in (("run", "1"), ("run", "g" * 32), ("R un", "0" * 32), ("run", "> ?p ?o")):
        assert get(served, f"/id/{quote(kind)}/{quote(identity)}").status_code in (404, 422)
