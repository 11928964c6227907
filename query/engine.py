"""Answer SPARQL for a project: by its running manager, else on the newest snapshot.

A snapshot is read in a forked child, because a query can't be stopped from within and may kill the
process that it runs in (pyoxigraph 0.5.13).
"""

from __future__ import annotations

import http.client
import json
import os
import select
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import msgspec

from pllib.errors import Error, QueryError, UnavailableError
from pllib.project import Endpoint, Project, choose_endpoint, read_endpoint
from pllib.sender import ask_status

if TYPE_CHECKING:
    from manager.store.described import Trace
    from manager.store.questions import Question

MEDIA = {
    "json": "application/sparql-results+json",
    "xml": "application/sparql-results+xml",
    "csv": "text/csv",
    "tsv": "text/tab-separated-values",
    "turtle": "text/turtle",
    "ntriples": "application/n-triples",
}
CONNECT_TIMEOUT_S = 5.0
FLUSH_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Engine:
    """Answers for one project; `endpoint` is None when no manager runs."""

    project: Project
    endpoint: Endpoint | None
    timeout_s: float = 30.0

    @property
    def live(self) -> bool:
        return self.endpoint is not None

    @property
    def remote(self) -> bool:
        """A manager whose indexes are its own, and not the project's."""
        return self.endpoint is not None and bool(self.endpoint.indexes)

    @property
    def has_snapshot(self) -> bool:
        return (self.project.snapshots / "current").exists()

    def answer(self, query: str, formats: list[str]) -> tuple[str, bytes]:
        """Return media type and serialised answer.

        Raises:
            QueryError: The query is wrong, refused or took too long.
            UnavailableError: There is nothing to ask.
        """
        if self.endpoint is not None:
            return self._ask_manager(query, formats)
        from manager.store.questions import Sparql

        return self._ask_snapshot(Sparql(query, formats))

    def lineage(self, asked: Trace) -> bytes:
        """Return a `manager.store.described.Lineage` as JSON.

        Raises:
            QueryError: The target is no IRI, or it took too long.
            UnavailableError: There is nothing to ask.
        """
        if self.endpoint is None:
            return self._ask_snapshot(asked)[1]
        given = {
            "target": asked.target,
            "direction": asked.direction,
            "depth": asked.depth,
            "limit": asked.limit,
            "settings": asked.settings or None,
        }
        return self.get("/v1/lineage", {k: v for k, v in given.items() if v is not None})

    def runs(self) -> list[dict[str, Any]]:
        """Return all runs, as `manager.store.runs` tells them."""
        if self.endpoint is None:
            from manager.store.questions import Runs

            return list(json.loads(self._ask_snapshot(Runs(live=False))[1]))
        return list(json.loads(self.get("/v1/runs", {})))

    def show(self, run: str) -> bytes:
        """Return what `manager.store.show` tells of a run, as JSON."""
        if self.endpoint is None:
            from manager.store.show import Show

            return self._ask_snapshot(Show(run))[1]
        return self.get(f"/v1/runs/{run.rpartition('/')[2]}", {})

    def _ask_snapshot(self, question: Question) -> tuple[str, bytes]:
        from manager.store import questions, snapshots

        def ask() -> tuple[str, bytes]:
            return questions.reply(snapshots.open_snapshot(self.project.snapshots), question)

        return _in_child(ask, self.timeout_s)

    def get(self, path: str, parameters: dict[str, Any]) -> bytes:
        """Ask the manager for a resource.

        Raises:
            QueryError: It is asked wrongly.
            UnavailableError: It has no answer.
        """
        assert self.endpoint is not None
        query = urlencode({**parameters, "timeout": self.timeout_s})
        status, _, body = _request(
            self.endpoint, "GET", f"{path}?{query}", None, {}, self.timeout_s + 15
        )
        if status != 200:
            raise _refusal(status, body)
        return body

    def select(self, query: str) -> list[dict[str, str]]:
        """Return the rows of a SELECT query: variable to text of its value."""
        return [{name: cell["value"] for name, cell in row.items()} for row in self.bindings(query)]

    def bindings(self, query: str) -> list[dict[str, dict[str, str]]]:
        _, body = self.answer(query, ["json"])
        return list(json.loads(body)["results"]["bindings"])

    def flush(self) -> None:
        """Have the daemons show all that the tracker has journalled.

        Raises:
            UnavailableError: They are still behind after a minute.
        """
        if self.endpoint is None:
            return
        deadline = time.monotonic() + FLUSH_TIMEOUT_S
        if self.endpoint.tracker:
            while not ask_status(self.endpoint)["settled"]:
                if time.monotonic() > deadline:
                    raise UnavailableError("the daemons are behind", "See `sprov status`")
                time.sleep(0.05)
        _request(self.endpoint, "POST", "/v1/flush", b"", {}, FLUSH_TIMEOUT_S)

    def _ask_manager(self, query: str, formats: list[str]) -> tuple[str, bytes]:
        assert self.endpoint is not None
        headers = {
            "Accept": ", ".join(MEDIA[name] for name in formats),
            "Content-Type": "application/sparql-query",
        }
        path = f"/sparql?{urlencode({'timeout': self.timeout_s})}"
        status, media, body = _request(
            self.endpoint, "POST", path, query.encode(), headers, self.timeout_s + 15
        )
        if status != 200:
            raise _refusal(status, body)
        return media, body


def find_engine(
    project: Project, environ: Mapping[str, str] | None = None, timeout_s: float = 30.0
) -> Engine:
    """Return the engine of a project, with the manager that serves all of it if that answers.

    Also a job's own manager: in that job, if SPROV_ENDPOINT says so, or if there is no store yet.
    """
    environ = os.environ if environ is None else environ
    path = choose_endpoint(project, environ)
    if path is not None and path.exists():
        endpoint = read_endpoint(path)
        if endpoint.manager and is_up(endpoint):
            found = Engine(project, endpoint, timeout_s)
            store = Engine(project, None, timeout_s)
            is_named = path.stem in (environ.get("SLURM_JOB_ID"), "local")
            if environ.get("SPROV_ENDPOINT") or is_named or not found.remote:
                return found
            return store if store.has_snapshot else found  # a job's manager has its runs alone
    return Engine(project, None, timeout_s)


def is_up(endpoint: Endpoint, timeout_s: float = CONNECT_TIMEOUT_S) -> bool:
    try:
        return _request(endpoint, "GET", "/healthz", None, {}, timeout_s)[0] == 200
    except UnavailableError:
        return False


def _request(
    endpoint: Endpoint,
    method: str,
    path: str,
    body: bytes | None,
    headers: dict[str, str],
    timeout_s: float,
) -> tuple[int, str, bytes]:
    """Return status, media type and body.

    Raises:
        UnavailableError: The manager does not answer.
    """
    url = urlsplit(endpoint.manager)
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=timeout_s)
    try:
        connection.request(
            method, path, body, {**headers, "Authorization": f"Bearer {endpoint.token}"}
        )
        reply = connection.getresponse()
        media = reply.headers.get_content_type()
        return reply.status, media, reply.read()
    except (OSError, http.client.HTTPException) as exc:
        raise UnavailableError(
            f"the manager at {endpoint.manager} does not answer: {exc}", "See `sprov status`"
        ) from None
    finally:
        connection.close()


def ask_json(endpoint: Endpoint, path: str) -> Any:
    """GET a JSON resource of the manager.

    Raises:
        UnavailableError: It does not answer, or not with that.
    """
    status, _, body = _request(endpoint, "GET", path, None, {}, CONNECT_TIMEOUT_S)
    if status != 200:
        raise _refusal(status, body)
    return json.loads(body)


def _refusal(status: int, body: bytes) -> Error:
    try:
        reply = json.loads(body)
        message, hint = str(reply["error"]), str(reply.get("hint", ""))
    except (ValueError, KeyError, TypeError):
        message, hint = f"the manager answered {status}", body[:200].decode(errors="replace")
    return (QueryError if status == 400 else UnavailableError)(message, hint)


class _Reply(msgspec.Struct, array_like=True):
    kind: str
    message: str
    hint: str
    media: str
    body: bytes


def _in_child(call: Any, timeout_s: float) -> tuple[str, bytes]:
    """Run `call` in a forked child; end it when it takes too long."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read_end)
        _be_child(call, write_end)
    os.close(write_end)
    try:
        data = _read_all(read_end, time.monotonic() + timeout_s)
    finally:
        os.close(read_end)
        end = _reap(pid)
    if data is None:
        raise QueryError(
            f"the query was stopped after {timeout_s:g} s", "Raise --timeout, or ask less"
        )
    if not data:
        raise QueryError(
            f"the query killed the process that ran it ({end})", "Nest it less, or split it"
        )
    reply = msgspec.msgpack.decode(data, type=_Reply)
    if reply.kind:
        kind = QueryError if reply.kind == "QueryError" else UnavailableError
        raise kind(reply.message, reply.hint)
    return reply.media, reply.body


def _be_child(call: Any, write_end: int) -> None:
    """Run `call`, write its reply and end this process without the parent's clean-up."""
    status = 1
    try:
        try:
            reply = _Reply("", "", "", *call())
        except Error as exc:
            reply = _Reply(type(exc).__name__, Exception.__str__(exc), exc.hint, "", b"")
        with os.fdopen(write_end, "wb") as sink:
            sink.write(msgspec.msgpack.encode(reply))
        status = 0
    finally:
        os._exit(status)


def _read_all(fd: int, deadline: float) -> bytes | None:
    """Return all that the other end writes, or None if the deadline comes first."""
    data = bytearray()
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([fd], [], [], left)[0]:
            return None
        part = os.read(fd, 1 << 20)
        if not part:
            return bytes(data)
        data += part


def _reap(pid: int) -> str:
    """End the child if it still runs; return how it ended."""
    done, status = os.waitpid(pid, os.WNOHANG)
    if not done:
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    return f"signal {-code}" if code < 0 else f"exit status {code}"
