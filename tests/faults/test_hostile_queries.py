"""Queries that are meant to do harm cost whoever asks them an error, and nobody else anything."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from figures import figure
from harness import SCRIPT, TIMEOUT_S, Site, wait_until
from hostile_queries import EDGES, ENDLESS, HONEST, QUERIES, SILENT, fill

from pllib import managers
from pllib.errors import QueryError, UnavailableError
from query.engine import Engine

LIMIT_S = 0.5
LATE_S = 60.0
STARTING_S = 60.0
"""For Python and the command, on a machine that does other things."""
GROWTH_BYTES = 32 << 20
MEMORY_BYTES = 64 << 20
WORKERS = 2
OTHERS = 2
"""Threads and files that come with what the manager does besides, such as jemalloc's thread."""
BUSY_CPU_S = 1.5
"""More than a query process takes to start."""


@pytest.fixture
def filled(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("SPROV_QUERY_MEMORY_BYTES", str(MEMORY_BYTES))
    fill(site.project)
    return site


class Asking:
    """Asks a manager over HTTP."""

    def __init__(self, site: Site) -> None:
        self.endpoint = site.endpoint
        self.process = psutil.Process(self.endpoint.manager_pid)

    def post(
        self, query: bytes, timeout_s: float, headers: dict[str, str] | None = None
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        connection = managers.connect(self.endpoint, timeout_s + LATE_S)
        headers = {"Content-Type": "application/sparql-query", **(headers or {})}
        path = f"/sparql?timeout={timeout_s}"
        return connection, managers.send(connection, self.endpoint, "POST", path, query, headers)

    def send(self, query: str, timeout_s: float) -> http.client.HTTPConnection:
        """Ask, and do not wait for an answer."""
        connection = managers.connect(self.endpoint, TIMEOUT_S)
        headers = {
            "Authorization": f"Bearer {self.endpoint.token}",
            "Content-Type": "application/sparql-query",
        }
        connection.request("POST", f"/sparql?timeout={timeout_s}", query.encode(), headers)
        return connection

    def refused(self, query: bytes) -> str:
        """Return how a query goes wrong; it must, in its time."""
        connection, answer = self.post(query, LIMIT_S)
        try:
            body = answer.read()
        except http.client.IncompleteRead:
            return "cut"
        finally:
            connection.close()
        assert answer.status in (400, 413), body[:200]
        return str(json.loads(body)["error"])

    def is_honest(self) -> bool:
        connection, answer = self.post(HONEST.encode(), TIMEOUT_S)
        found = json.loads(answer.read())["results"]["bindings"]
        connection.close()
        return bool(int(found[0]["n"]["value"]) == len(EDGES))

    def status(self) -> dict[str, Any]:
        reply = managers.request(self.endpoint, "GET", "/v1/status", timeout_s=TIMEOUT_S)
        return dict(json.loads(reply.body))

    def rests(self) -> tuple[int, int]:
        """Return the manager's threads and files, once it has but its idle query processes."""
        wait_until(lambda: not self.status()["queries_running"])
        wait_until(lambda: len(self.process.children()) == WORKERS)
        n_files = self.process.num_fds() - len(self.process.net_connections())
        return self.process.num_threads(), n_files


@pytest.fixture
def asking(filled: Site) -> Iterator[Asking]:
    filled.serve()
    yield Asking(filled)
    filled.stop()


def test_over_http_each_costs_an_error_and_the_manager_nothing(asking: Asking):
    assert asking.is_honest()
    assert asking.is_honest()
    before, memory = asking.rests(), asking.process.memory_info().rss
    late = []
    for name, query in QUERIES.items():
        began = time.monotonic()
        assert asking.refused(query), name
        late.append(time.monotonic() - began - LIMIT_S)
        assert asking.is_honest(), name
    figure(
        "hostile queries over HTTP",
        f"{len(late)} of {len(QUERIES)} answered with an error, {max(late):.2f} s after their limit"
        " at most",
    )
    after = asking.rests()
    assert all(now - then <= OTHERS for now, then in zip(after, before, strict=True))
    assert asking.process.memory_info().rss - memory < GROWTH_BYTES
    assert asking.process.is_running()
    assert asking.status()["query_processes"] == "confined"


def test_without_daemons_each_costs_an_error(filled: Site):
    file = filled.folder / "hostile.rq"
    command = [SCRIPT, "query", "-f", str(file), "--timeout", str(LIMIT_S), "--format", "csv"]
    for name, query in QUERIES.items():
        file.write_bytes(query)
        done = subprocess.run(
            command,
            cwd=filled.folder,
            env=filled.environment(),
            capture_output=True,
            timeout=LIMIT_S + LATE_S + STARTING_S,
            check=False,
        )
        assert done.returncode == QueryError.exit_code, name
        lines = [line for line in done.stderr.splitlines() if b"when the store last" not in line]
        assert len(lines) == 1, name
        assert lines[0].startswith(b"sprov: "), name
    assert str(len(EDGES)) in filled.sprov("query", HONEST)


@pytest.mark.parametrize("live", [True, False])
def test_what_takes_too_much_memory_is_told_so(filled: Site, live: bool):
    if live:
        filled.serve()
    engine = Engine(filled.project, filled.endpoint if live else None, TIMEOUT_S)
    with pytest.raises(QueryError, match="needs more than 64 MiB of memory"):
        engine.answer(f"{ENDLESS} ORDER BY ?f ?a", ["json"])
    assert engine.select(HONEST) == [{"n": str(len(EDGES))}]


def test_a_client_that_leaves_frees_its_place(filled: Site, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SPROV_QUERY_WORKERS", "1")
    filled.serve()
    asking = Asking(filled)
    for query in (SILENT, ENDLESS):
        stopped = asking.status()["queries_stopped"]
        connection = asking.send(query, 500)
        wait_until(lambda: asking.status()["queries_running"] == 1)
        connection.close()
        assert asking.is_honest()
        assert asking.status()["queries_stopped"] == stopped + 1
    connection = asking.send(SILENT, 500)
    wait_until(lambda: asking.status()["queries_running"] == 1)
    waiting = asking.send(HONEST, 500)
    wait_until(lambda: asking.status()["queries_waiting"] == 1)
    waiting.close()
    wait_until(lambda: asking.status()["queries_waiting"] == 0)
    connection.close()
    assert asking.is_honest()


def test_forty_that_take_nothing_hold_up_no_provenance(
    filled: Site, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SPROV_QUERY_WAITING", "8")
    filled.serve()
    asking = Asking(filled)
    slow = [asking.send(ENDLESS, 500) for _ in range(40)]
    wait_until(lambda: asking.status()["queries_refused"] == 30)
    for path in ("/healthz", f"/v1/watermarks?journal={'0' * 32}"):
        assert managers.request(asking.endpoint, "GET", path, timeout_s=TIMEOUT_S).status == 200
    reply = managers.request(
        asking.endpoint, "POST", "/v1/provenance", b"", {"If-Match": "0"}, timeout_s=TIMEOUT_S
    )
    assert reply.status == 412
    busy = [connection.getresponse() for connection in slow[-20:]]
    assert {answer.status for answer in busy} == {503}
    assert all(answer.headers["Retry-After"] for answer in busy)
    with pytest.raises(UnavailableError, match="busy"):
        Engine(filled.project, asking.endpoint, TIMEOUT_S).answer(HONEST, ["json"])
    assert asking.process.memory_info().rss < 400 << 20
    for connection in slow:
        connection.close()
    wait_until(lambda: asking.status()["queries_running"] == 0)
    assert asking.is_honest()


def cpu_s(process: psutil.Process) -> float:
    return float(sum(process.cpu_times()[:2]))


def test_a_killed_query_process_costs_its_query_alone(asking: Asking):
    assert asking.is_honest()
    workers = asking.process.children()
    connection = asking.send(SILENT, 500)
    wait_until(lambda: asking.status()["queries_running"] == 1)
    wait_until(lambda: max(map(cpu_s, workers)) > BUSY_CPU_S)
    max(workers, key=cpu_s).kill()
    answer = connection.getresponse()
    assert (answer.status, b"SIGKILL" in answer.read()) == (400, True)
    connection.close()
    for idle in (killed := asking.process.children()):
        idle.kill()
    wait_until(lambda: all(not each.is_running() or each.status() == "zombie" for each in killed))
    assert all(asking.is_honest() for _ in range(4))
    assert asking.status()["queries_stopped"] == 1


def test_query_processes_end_with_their_manager(asking: Asking):
    connection = asking.send(SILENT, 500)
    wait_until(lambda: asking.status()["queries_running"] == 1)
    workers = asking.process.children()
    os.kill(asking.process.pid, signal.SIGKILL)
    wait_until(lambda: not any(each.is_running() for each in workers))
    connection.close()


def test_a_manager_that_ends_waits_for_no_query(asking: Asking, filled: Site):
    connection = asking.send(SILENT, 500)
    wait_until(lambda: asking.status()["queries_running"] == 1)
    filled.stop()
    answer = connection.getresponse()
    assert (answer.status, b"is ending" in answer.read()) == (503, True)
    connection.close()


def test_an_answer_that_is_cut_is_never_taken_for_whole(
    filled: Site, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SPROV_QUERY_ROWS", "20000")
    filled.serve()
    for endpoint in (filled.endpoint, None):
        engine = Engine(filled.project, endpoint, TIMEOUT_S)
        for form in ("json", "xml", "csv", "tsv"):
            query = "SELECT * { ?s ?p ?o } LIMIT "
            assert engine.answer(f"{query}20000", [form])
            with pytest.raises(QueryError, match="answer short" if endpoint else "20,000 rows"):
                engine.answer(f"{query}20001", [form])
        with pytest.raises(QueryError):
            engine.answer("CONSTRUCT { ?s ?p ?o } { ?s ?p ?o }", ["ntriples"])


def test_a_large_answer_goes_through_the_manager_and_is_not_kept(asking: Asking):
    assert asking.is_honest()
    before = asking.process.memory_info().rss
    connection, answer = asking.post(f"{ENDLESS} LIMIT 150000".encode(), TIMEOUT_S)
    n_bytes = most = 0
    while piece := answer.read(1 << 20):
        n_bytes += len(piece)
        most = max(most, asking.process.memory_info().rss)
    connection.close()
    assert n_bytes > 30 << 20
    assert most - before < GROWTH_BYTES / 2
