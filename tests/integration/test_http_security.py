"""Requests that the manager must refuse, by raw sockets, and honest use going on beside them."""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pyoxigraph as ox
import pytest
from harness import Site

from manager.connection import HEAD_BYTES, MAX_CONNECTIONS
from manager.protection import MAX_BODIES, MAX_BODY_BYTES, WRONG_TOKENS_AT_ONCE
from pllib import managers, proofs

HARDENING = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
}
WAIT_S = 200


class Answer:
    """What came back: status, headers in lower case, body."""

    def __init__(self, data: bytes) -> None:
        head, _, self.body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        self.status = int(first.split()[1])
        self.headers = dict(line.lower().split(": ", 1) for line in lines)


class Door:
    """A running project whose manager is talked to by hand."""

    def __init__(self, site: Site, log: Path) -> None:
        self.site, self.log = site, log
        self.endpoint = site.endpoint
        self.port = int(self.endpoint.manager.rpartition(":")[2])
        self.host = f"127.0.0.1:{self.port}"

    def connect(self, buffer: int = 0) -> socket.socket:
        """Connect, with room for so many bytes that nobody has read."""
        sock = socket.socket()
        sock.settimeout(WAIT_S)
        if buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        sock.connect(("127.0.0.1", self.port))
        return sock

    def head(self, method: str, path: str, *, token: bool = True, **headers: str) -> bytes:
        """Return a request's head; `host` may be given, or be empty for none."""
        given = {"host": self.host, **headers}
        if token:
            given.setdefault("authorization", f"Bearer {self.endpoint.token}")
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in given.items() if value]
        return "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode()

    def ask(self, method: str, path: str, body: bytes = b"", **more: object) -> Answer:
        length = {"content_length": str(len(body))} if body else {}
        head = self.head(method, path, connection="close", **{**length, **more})  # type: ignore[arg-type]
        return Answer(self.exchange(head + body))

    def exchange(self, data: bytes) -> bytes:
        with self.connect() as sock:
            sock.sendall(data)
            return drain(sock)

    def works(self) -> bool:
        reply = managers.request(self.endpoint, "GET", "/v1/status", timeout_s=WAIT_S)
        return reply.status == 200


def drain(sock: socket.socket) -> bytes:
    """Return all that comes until the other end closes."""
    data = b""
    try:
        while part := sock.recv(65536):
            data += part
    except ConnectionResetError:
        pass
    return data


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with Site(tmp_path_factory.mktemp("door")) as site:
        config = '[serve]\nhosts = ["provenance.example"]\n'
        (site.project.root / "config.toml").write_text(config)
        log = site.folder / "said"
        site.serve(log=log)
        yield Door(site, log)


@pytest.fixture(autouse=True)
def unharmed(door: Door) -> Iterator[None]:
    """After each test the same process answers, and printed nothing."""
    before = door.endpoint.manager_pid, door.log.read_text()
    yield
    assert door.works()
    assert (door.site.endpoint.manager_pid, door.log.read_text()) == before


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:80", "localhost.evil.example", "127.0.0.1.evil.example:1",
     "192.0.2.1", "[::2]", "localhost:80:80", "a@localhost"],
)  # fmt: skip
def test_a_host_that_is_not_ours_is_refused(door: Door, host: str):
    """A page of evil.example can have that name lead here, but its requests still carry it."""
    answer = door.ask("GET", "/v1/status", host=host)
    assert answer.status == 421
    assert "hosts" in json.loads(answer.body)["hint"]


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:22", "Provenance.Example"]
)
def test_hosts_of_ours_and_of_the_settings_are_served(door: Door, host: str):
    """Whatever the port: a tunnel has one of its own."""
    assert door.ask("GET", "/v1/status", host=host).status == 200


def test_a_request_without_a_host_is_refused(door: Door):
    assert Answer(door.exchange(b"GET /healthz HTTP/1.0\r\n\r\n")).status == 421


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"origin": "https://evil.example", "access_control_request_method": "POST"},
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
@pytest.mark.parametrize("path", ["/sparql", "/healthz"])
def test_another_site_is_refused_and_told_nothing(door: Door, method: str, path: str, headers):
    """Even with the token; and no answer has a header of CORS, so that no page can read it."""
    answer = door.ask(method, path, **headers)
    assert answer.status == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_our_own_site_is_served(door: Door):
    own = {"origin": f"http://{door.host}", "sec_fetch_site": "same-origin"}
    assert door.ask("GET", "/v1/status", **own).status == 200


def test_a_form_of_another_site_asks_nothing(door: Door):
    form = b"query=SELECT+%2A+%7B+%3Fa+%3Fb+%3Fc+%7D"
    kind = {"content_type": "application/x-www-form-urlencoded"}
    evil = {"origin": "https://evil.example", "sec_fetch_site": "cross-site"}
    assert door.ask("POST", "/sparql", form, token=False, **kind, **evil).status == 403
    assert door.ask("POST", "/sparql", form, token=False, **kind).status == 401
    assert door.ask("POST", "/sparql", form, **kind).status == 200


def test_a_proof_is_given_to_anybody_and_tells_nothing_of_the_token(door: Door):
    nonce = "0" * 64
    answer = door.ask("GET", f"/v1/proof?nonce={nonce}", token=False)
    (proof,) = json.loads(answer.body).values()
    assert proofs.is_proof(proof, door.endpoint.token, nonce, door.endpoint.manager)
    for token, other, url in (
        ("another", nonce, door.endpoint.manager),
        (door.endpoint.token, "1" * 64, door.endpoint.manager),
        (door.endpoint.token, nonce, f"http://127.0.0.1:{door.port + 1}"),
    ):
        assert not proofs.is_proof(proof, token, other, url)
    for wrong in ("", "?nonce=", "?nonce=00", f"?nonce={'0' * 63}%0a", f"?nonce={'0' * 65}"):
        assert door.ask("GET", f"/v1/proof{wrong}", token=False).status == 422
    assert door.ask("POST", "/v1/proof", token=False).status in (401, 405)


def test_the_token_is_taken_from_its_header_alone(door: Door):
    token = door.endpoint.token
    for path in ("/v1/status", f"/v1/status?access_token={token}", f"/v1/status?token={token}"):
        answer = door.ask("GET", path, token=False)
        assert (answer.status, answer.headers["www-authenticate"]) == (401, "bearer")
    for given in (token, f"Basic {token}", f"Bearer {token}x", f"Bearer {token[:-1]}", "Bearer"):
        assert door.ask("GET", "/v1/status", authorization=given).status == 401
    assert door.ask("GET", "/v1/status", token=False, cookie=f"token={token}").status == 401
    assert door.ask("GET", "/v1/status", authorization=f"bearer {token}").status == 200


def test_guessing_is_slowed_down_and_locks_nobody_out(door: Door):
    statuses = set()
    for nth in range(3 * WRONG_TOKENS_AT_ONCE):
        statuses.add(door.ask("GET", "/v1/status", authorization=f"Bearer {nth}").status)
        assert nth % 20 or door.works()
    assert statuses == {401, 429}


def test_a_body_over_its_paths_limit_is_refused_before_it_is_read(door: Door):
    for path, most in {"/v1/flush": MAX_BODY_BYTES, **MAX_BODIES}.items():
        head = door.head("POST", path, connection="close", content_length=str(most + 1))
        assert Answer(door.exchange(head)).status == 413


def test_a_body_without_end_is_refused_when_it_is_too_large(door: Door):
    with door.connect() as sock:
        sock.sendall(door.head("POST", "/v1/flush", transfer_encoding="chunked"))
        chunk = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
        sent = 0
        while not select.select([sock], [], [], 0)[0]:
            sock.sendall(chunk)
            sent += len(chunk)
        assert Answer(sock.recv(65536)).status == 413
    assert sent < 64 * MAX_BODY_BYTES


def test_who_dawdles_holds_nothing(door: Door):
    """
    Forty clients send a byte of their heads or bodies now and then.  Each is sent away, while
    honest use goes on.
    """
    body = door.head("POST", "/sparql", content_length="1000")
    slow = [door.connect() for _ in range(40)]
    for nth, sock in enumerate(slow):
        sock.sendall(body if nth % 2 else body[:20])
    at = time.monotonic()
    waiting = set(slow)
    answered: list[bytes] = []
    while waiting and time.monotonic() - at < WAIT_S:
        assert door.works()
        for sock in select.select(list(waiting), [], [], 0.2)[0]:
            try:
                data = sock.recv(65536)
            except ConnectionResetError:
                data = b""
            answered += [data] * bool(data)
            waiting -= set() if data else {sock}
        for sock in waiting:
            try:
                sock.send(b"x")
            except OSError:
                continue
    assert not waiting
    assert {Answer(data).status for data in answered} == {408}
    assert len(answered) == 20
    for sock in slow:
        sock.close()


HANGING = {
    "says nothing": lambda door: b"",
    "begins to ask": lambda door: b"GET / HT",
    "never ends an open path's body": lambda door: door.head(
        "POST", "/healthz", token=False, content_length="9"
    ),
    "never ends a body without the token": lambda door: door.head(
        "POST", "/sparql", token=False, transfer_encoding="chunked"
    ),
    "takes no answers": lambda door: door.head("GET", "/ontology/prov-ml", token=False) * 4,
}


@pytest.mark.parametrize("kind", HANGING)
def test_strangers_can_not_take_all_places(door: Door, kind: str):
    """They open as many connections as they like: so many are kept, and who asks is answered."""
    held = []
    for _ in range(MAX_CONNECTIONS + 100):
        held.append(door.connect(buffer=4096))
        held[-1].sendall(HANGING[kind](door))
    assert [door.works() for _ in range(10)] == [True] * 10
    n_open = len(list(Path(f"/proc/{door.endpoint.manager_pid}/fd").iterdir()))
    for sock in held:
        sock.close()
    assert n_open < MAX_CONNECTIONS + 100


def junk(door: Door) -> list[bytes]:
    good = door.head("GET", "/healthz").decode()
    post = door.head("POST", "/v1/flush", transfer_encoding="chunked")
    no_length = door.head("POST", "/v1/flush", content_length="x")
    return [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a TLS handshake
        b"\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x03\x01CURVE",  # ZeroMQ's greeting
        b"\x00" * 5000,
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        (good[:-2] + f"host: {door.host}\r\n\r\n").encode(),
        (good[:-2] + "a b: c\r\n\r\n").encode(),
        (good[:-2] + "x: " + "y" * 2 * HEAD_BYTES + "\r\n\r\n").encode(),
        (good[:-2] + "".join(f"x{n}: y\r\n" for n in range(HEAD_BYTES // 4)) + "\r\n").encode(),
        post + b"zz\r\n",
        post + b"-5\r\nxxxxx\r\n",
        post + b"ffffffffffffffffffffffff\r\n",
        no_length,
        door.head("POST", "/v1/flush", content_length="-1"),
        door.head("POST", "/v1/flush", content_length="5", transfer_encoding="chunked") + b"0\r\n",
        good.encode()[:-2] + b"upgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        door.head("CONNECT", "localhost:22"),
        b"GET " + b"/" * 2 * HEAD_BYTES + b" HTTP/1.1\r\n\r\n",
    ]


def test_malformed_requests_cost_nothing(door: Door):
    """None is a failure of ours, none makes the daemon print, and none is carried out."""
    for data in junk(door):
        with door.connect() as sock:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            answer = drain(sock)
        assert not answer or Answer(answer).status in {200, 400, 401, 404, 405, 413, 421}, data[:80]
        assert b"Traceback" not in answer


def test_truncated_requests_are_forgotten(door: Door):
    query = b"SELECT * { ?a ?b ?c }"
    kind = {"content_type": "application/sparql-query", "content_length": str(len(query))}
    whole = door.head("POST", "/sparql", connection="close", **kind) + query
    for at in range(0, len(whole), 7):
        with door.connect() as sock:
            sock.sendall(whole[:at])
    assert Answer(door.exchange(whole)).status == 200


def test_every_answer_is_hardened_and_says_nothing_of_internals(door: Door):
    answers = [
        door.ask("GET", "/healthz", token=False),
        door.ask("GET", "/v1/status"),
        door.ask("GET", "/v1/status", token=False),
        door.ask("GET", "/docs"),
        door.ask("GET", "/v1/series-files/..%2f..%2fstore/CURRENT"),
        door.ask("GET", "/v1/runs/none"),
        door.ask("DELETE", "/v1/status"),
        door.ask("GET", "/sparql?query=SELECT+BAD"),
        door.ask("GET", "/v1/status", host="evil.example"),
        door.ask("GET", "/v1/status", origin="null"),
        door.ask("POST", "/v1/provenance", b"\xc1"),
    ]
    assert [each.status for each in answers] == [
        200, 200, 401, 404, 404, 422, 405, 400, 421, 403, 412,
    ]  # fmt: skip
    for answer in answers:
        assert HARDENING.items() <= answer.headers.items()
        assert "server" not in answer.headers
        assert b"Traceback" not in answer.body
        assert str(door.site.folder).encode() not in answer.body


def test_refusals_say_what_is_wrong_and_what_to_do(door: Door):
    for path in ("/v1/runs/none", "/v1/runs/none/lineage?depth=-1", "/sparql?inferred=maybe"):
        answer = door.ask("GET", path)
        assert answer.status == 422
        assert set(json.loads(answer.body)) == {"error", "hint"}


def test_the_service_describes_itself_and_what_it_infers(door: Door):
    answer = door.ask("GET", "/sparql")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/turtle; charset=utf-8")
    said = {
        (quad.predicate.value.rpartition("#")[2], quad.object.value)
        for quad in ox.parse(input=answer.body, format=ox.RdfFormat.TURTLE)
        if not isinstance(quad.object, ox.BlankNode)
    }
    endpoints = sorted(value for name, value in said if name == "endpoint")
    assert [end.partition("/sparql")[2] for end in endpoints] == ["", "?inferred=true"]
    assert (
        "supportedLanguage",
        "http://www.w3.org/ns/sparql-service-description#SPARQL11Query",
    ) in said
    query = "query=ASK%20%7B%7D"
    for path in (f"/sparql?{query}", f"/sparql?inferred=true&{query}"):
        assert door.ask("GET", path).status == 200
    assert door.ask("GET", "/sparql?default-graph-uri=x").status == 400


def test_an_answer_that_could_be_cut_unseen_is_not_given(door: Door):
    """HTTP/1.0 has no mark at the end of an answer whose length nobody knew."""
    asked = door.head("GET", "/sparql?query=ASK%20%7B%7D").replace(b"HTTP/1.1", b"HTTP/1.0")
    assert Answer(door.exchange(asked)).status == 505
    assert door.ask("GET", "/sparql?query=ASK%20%7B%7D").status == 200


def test_openapi_says_who_may_ask(door: Door):
    told = json.loads(door.ask("GET", "/openapi.json", token=False).body)
    assert told["security"] == [{"token": []}]
    assert told["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    n_open = 0
    for path, operations in told["paths"].items():
        for method, operation in operations.items():
            assert operation["responses"]["default"]["content"]["application/json"]
            if "{" not in path:
                status = door.ask(method.upper(), path, token=False).status
                is_open = operation.get("security") == []
                n_open += is_open
                assert (status in (401, 429)) != is_open, path
    assert n_open == 3


def test_a_client_that_takes_no_answer_leaves_others_theirs(door: Door):
    """It asks until nothing more can be sent, and reads nothing."""
    request = door.head("GET", "/openapi.json") * 100
    with door.connect(buffer=4096) as sock:
        sock.settimeout(1.0)
        with pytest.raises(TimeoutError):
            while True:
                sock.sendall(request)
        for _ in range(10):
            assert door.works()
