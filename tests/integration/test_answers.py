"""Nobody is answered by a stranger: who took a manager's port is told nothing and not believed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from harness import Site, wait_until
from impostors import Impostor, proving, reply
from members import Member, require_two_users

from pllib import managers, notices, proofs
from pllib.listening import is_daemon
from pllib.project import Endpoint
from sprov.cli import main
from tracker.handover import Handover

FORGED = json.dumps(
    {
        "head": {"vars": ["forged"]},
        "results": {"bindings": [{"forged": {"type": "literal", "value": "forged"}}]},
        "proof": "0" * 64,
    }
).encode()

JSON = "application/sparql-results+json"
REDIRECT = b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n"


class Done(NamedTuple):
    status: int
    out: str
    errors: list[str]


Run = Callable[..., Done]


@pytest.fixture
def run(killed: Site, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Return what runs a command in this process."""
    monkeypatch.setenv("SPROV_DIR", str(killed.project.root))
    monkeypatch.chdir(killed.folder)

    def command(*arguments: str) -> Done:
        notices._written.clear()
        monkeypatch.setattr("sys.argv", ["sprov", *arguments])
        capfd.readouterr()
        status: object = 0
        try:
            main()
        except SystemExit as exc:
            status = exc.code
        said = capfd.readouterr()
        return Done(int(str(status or 0)), said.out, said.err.splitlines())

    return command


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A project with a run in its store, whose daemons were all killed at once."""
    with Site(tmp_path_factory.mktemp("killed")) as site:
        site.serve()
        site.run("training.py")
        site.sprov("query", "--live", "ASK {}")
        assert site.server is not None
        endpoint = site.endpoint
        for pid in (site.server.pid, endpoint.tracker_pid, endpoint.manager_pid):
            os.kill(pid, signal.SIGKILL)
        site.server.wait()
        wait_until(lambda: not is_daemon(endpoint.manager_pid) and is_refused(port_of(site)))
        yield site


def port_of(site: Site) -> int:
    return int(site.endpoint.manager.rpartition(":")[2])


def is_refused(port: int) -> bool:
    """Tell whether nobody listens; a process that was killed does for a moment."""
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) != 0


COMMANDS = [
    ("query", "SELECT ?r { ?r a provml:LearningExperimentExecution }"),
    ("ask", "run-time"),
    ("runs",),
    ("show",),
    ("metrics", "@last"),
    ("lineage", "@last", "-o", "lineage.json"),
    ("diff", "@last", "@last"),
    ("export", "@last"),
    ("watch", "--once"),
    ("verify",),
    ("verify", "--shapes"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_store_is_read_when_a_stranger_has_the_managers_port(
    killed: Site, run: Run, command: tuple[str, ...]
):
    with Impostor(lambda _: reply(FORGED), port_of(killed)) as impostor:
        done = run(*command)
    assert done.status == 0, done
    assert "forged" not in done.out
    stale = [line for line in done.errors if "is stale" in line]
    assert len(stale) == 1, done.errors
    assert "the store is read instead" in stale[0]
    assert not [line for line in done.errors if not line.startswith("sprov: ")]
    heard = b"".join(impostor.heard)
    assert heard.count(proofs.PATH.encode()) == len(impostor.heard)  # and nothing else
    assert killed.endpoint.token.encode() not in heard
    assert b"SELECT" not in heard


LIVE = [
    ("query", "ASK {}", "--live"),
    ("runs", "--live"),
    ("show", "--live"),
    ("runs", "--job", "local"),
]


@pytest.mark.parametrize("command", LIVE, ids=" ".join)
def test_what_must_be_live_is_refused_when_a_stranger_answers(
    killed: Site, run: Run, command: tuple[str, ...]
):
    with Impostor(lambda _: reply(FORGED), port_of(killed)) as impostor:
        done = run(*command)
    assert done.status == 4
    assert not done.out
    (line,) = done.errors
    assert "is stale" in line
    assert killed.endpoint.token.encode() not in b"".join(impostor.heard)


def test_status_says_that_another_answers(killed: Site, run: Run):
    with Impostor(lambda _: reply(FORGED), port_of(killed)) as impostor:
        done = run("status")
    assert done.status == 0
    assert "is not the manager that the endpoint file means" in done.out
    assert killed.endpoint.token.encode() not in b"".join(impostor.heard)


def test_a_port_that_nobody_has_is_stale_too(killed: Site, run: Run):
    done = run("query", "SELECT ?r { ?r a provml:LearningExperimentExecution }")
    assert done.status == 0
    (stale,) = [line for line in done.errors if "is stale" in line]
    assert "Connection refused; the store is read instead" in stale


STRANGERS: dict[str, bytes] = {
    "HTML": reply(b"<html>proof</html>", "text/html"),
    "an error": reply(b"no", status="404 Not Found"),
    "an older manager": reply(b'{"error": "a bearer token is needed"}', status="401 Unauthorized"),
    "a redirect": REDIRECT,
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "no object": reply(b"[]"),
    "no text": reply(b'{"proof": 7}'),
    "not ASCII": reply('{"proof": "é"}'.encode()),
    "another proof": reply(b'{"proof": "%s"}' % (b"0" * 64)),
    "too large": reply(b" " * 5000 + b'{"proof": ""}'),
    "nested": reply(b"[" * 500),
    "cut": reply(b'{"proof": ""}')[:-3],
    "nothing": b"",
    "its length is a lie": reply(b"").replace(b"length: 0", b"length: 99999999999999"),
    "bad chunks": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
}


@pytest.mark.parametrize("kind", STRANGERS)
def test_whatever_a_stranger_says_is_no_proof(kind: str):
    """One clear error, and the token stays here."""
    with Impostor(lambda _: STRANGERS[kind]) as impostor:
        endpoint = Endpoint(manager=impostor.url, token="secret")
        with pytest.raises(managers.UnavailableError, match=r"does not answer|is not the manager"):
            managers.request(endpoint, "POST", "/sparql", b"SELECT", timeout_s=0.2)
    assert b"secret" not in b"".join(impostor.heard)
    assert b"SELECT" not in b"".join(impostor.heard)


def test_a_stranger_that_trickles_is_not_waited_for_for_ever():
    """Each byte comes within the time limit of a read, and there is no end of them."""
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        ended = threading.Event()

        def trickle() -> None:
            taken, _ = stranger.accept()
            with taken, contextlib.suppress(OSError):
                while not ended.wait(0.05):
                    taken.sendall(b"x")

        thread = threading.Thread(target=trickle)
        thread.start()
        url = f"http://127.0.0.1:{stranger.getsockname()[1]}"
        with pytest.raises(managers.UnavailableError, match=url):
            managers.connect(Endpoint(manager=url, token="secret"), 0.3)
        ended.set()
        thread.join()


ODD: dict[str, bytes] = {
    "HTML": reply(b"<html></html>", "text/html"),
    "no JSON": reply(b"{", JSON),
    "nested": reply(b"[" * 100_000, JSON),
    "a list": reply(b"[7]", JSON),
    "a row that is none": reply(b'{"head": {}, "results": {"bindings": [7]}}', JSON),
    "a term without a value": reply(
        b'{"head": {"vars": ["r"]}, "results": {"bindings": [{"r": {}}]}}',
        JSON,
    ),
    "no text": reply(b'{"head": {"vars": ["\xff"]}}', JSON),
    "cut": reply(b'{"head": {}}', JSON)[:-4],
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "a redirect": REDIRECT,
    "an error without a reason": reply(b"[" * 100_000, status="500 Internal Server Error"),
    "nothing": b"",
}  # fmt: skip


@pytest.fixture
def odd(killed: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Impostor]:
    """A manager that proves itself, and whose answers a test chooses, as the command finds it."""
    answers: dict[str, bytes] = {}
    url = ""

    def answer(request: bytes) -> bytes:
        return proving("secret", url, answers["odd"])(request)

    with Impostor(answer) as impostor:
        url = impostor.url
        file = tmp_path / "odd.json"
        file.write_text(json.dumps({"manager": url, "token": "secret"}))
        monkeypatch.setenv("SPROV_ENDPOINT", str(file))
        impostor.odd = answers  # type: ignore[attr-defined]
        yield impostor


ASKING = [
    ("query", "SELECT ?r { ?r a prov:Entity }"),
    ("query", "SELECT ?r { ?r a prov:Entity }", "--format", "csv"),
    ("ask", "run-time"),
    ("runs",),
    ("show",),
    ("lineage", "a.npz", "-o", "lineage.json"),
    ("query", "ASK {}", "--live"),
]


@pytest.mark.parametrize("command", ASKING, ids=" ".join)
def test_odd_answers_of_a_manager_are_one_line(odd: Impostor, run: Run, command: tuple[str, ...]):
    for kind, answer in ODD.items():
        odd.odd["odd"] = answer  # type: ignore[attr-defined]
        done = run(*command)
        assert done.status in (4, 5), (kind, done)
        lines = [line for line in done.errors if not line.startswith("sprov: as of")]
        assert len(lines) == 1, (kind, done)
        assert lines[0].startswith("sprov: "), kind
        assert "fault of sprov" not in lines[0], (kind, lines)


def test_a_tracker_waits_for_a_manager_whose_answers_can_be_read():
    """It says meanwhile what is wrong, and its thread lives on."""
    answers = [reply(b"[" * 100_000), reply(b'{"instance": "i", "watermarks": {"r": 3}}')]
    seen: list[str] = []

    def answer(request: bytes) -> bytes:
        if request.startswith(b"GET /v1/proof"):
            return proving("secret", impostor.url, b"")(request)
        seen.append(handover.trouble)
        return answers.pop(0)

    impostor = Impostor(answer)
    handover = Handover(lambda: Endpoint(manager=impostor.url, token="secret"))
    with impostor:
        assert handover.watermarks("journal") == {"r": 3}
        handover.close()
    assert seen[0] == ""
    assert "can't be read" in seen[1]


FORGER = """
import socket, sys
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("listens", flush=True)
while True:
    taken, _ = server.accept()
    print(taken.recv(65536), flush=True)
    taken.sendall(sys.argv[2].encode())
    taken.close()
"""


def test_another_user_who_takes_the_port_learns_nothing_and_is_not_believed(killed: Site, run: Run):
    with tempfile.TemporaryDirectory(prefix="sprov-") as place:
        folder, empty = Path(place), Path(place) / "empty"
        folder.chmod(0o755)
        empty.mkdir()
        require_two_users(empty)
        mallory = Member(5009, [], folder, 0o022, empty)
        forged = reply(FORGED).decode()
        port = str(port_of(killed))
        with mallory.start(sys.executable, "-c", FORGER, port, forged) as forger:
            assert forger.stdout is not None
            assert forger.stdout.readline() == "listens\n"
            try:
                done = run("query", "SELECT ?r { ?r a provml:LearningExperimentExecution }")
            finally:
                forger.kill()
            heard = forger.stdout.read()
    assert done.status == 0
    assert "forged" not in done.out
    assert "is stale" in done.errors[0]
    assert heard.count(proofs.PATH) == 1
    assert killed.endpoint.token not in heard
    assert "SELECT" not in heard
