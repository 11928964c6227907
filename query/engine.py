"""Answer SPARQL for a project: by its running manager, else on the newest snapshot."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from pllib import managers
from pllib.errors import Error, QueryError, UnavailableError
from pllib.project import Endpoint, Project, choose_endpoint, read_endpoint

from .freshness import wait_until_visible

if TYPE_CHECKING:
    from manager.store.described import Trace
    from manager.store.questions import Question
    from manager.store.replying import Reply

MEDIA = {
    "json": "application/sparql-results+json",
    "xml": "application/sparql-results+xml",
    "csv": "text/csv",
    "tsv": "text/tab-separated-values",
    "turtle": "text/turtle",
    "ntriples": "application/n-triples",
}
CONNECT_TIMEOUT_S = 5.0
PIECE_BYTES = 64 << 10
LATE_S = 15.0
"""Beyond a query's time limit, for a manager to say so."""

Answer = tuple[str, Iterator[bytes]]
"""Media type, and the pieces of what is serialised."""


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
            QueryError: The query is wrong, refused, took too long or its answer too large.
            UnavailableError: There is nothing to ask.
        """
        with self.stream(query, formats) as (media, pieces):
            return media, b"".join(pieces)

    @contextlib.contextmanager
    def stream(self, query: str, formats: list[str]) -> Iterator[Answer]:
        """Give media type and serialised answer, in pieces as they come; to leave stops the query.

        Raises:
            QueryError: As `answer`; also amid the pieces, which are then not all.
            UnavailableError: There is nothing to ask.
        """
        if self.endpoint is not None:
            with self._ask_manager(self.endpoint, query, formats) as answer:
                yield answer
            return
        from manager.store.questions import Sparql

        with self._ask_snapshot(Sparql(query, formats)) as answer:
            yield answer

    def lineage(self, asked: Trace) -> bytes:
        """Return a `manager.store.described.Lineage` as JSON.

        Raises:
            QueryError: The target is no IRI, or it took too long.
            UnavailableError: There is nothing to ask.
        """
        if self.endpoint is None:
            return self._read_snapshot(asked)
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

            return list(json.loads(self._read_snapshot(Runs(live=False))))
        return list(json.loads(self.get("/v1/runs", {})))

    def show(self, run: str) -> bytes:
        """Return what `manager.store.show` tells of a run, as JSON."""
        if self.endpoint is None:
            from manager.store.show import Show

            return self._read_snapshot(Show(run))
        return self.get(f"/v1/runs/{run.rpartition('/')[2]}", {})

    def _read_snapshot(self, question: Question) -> bytes:
        with self._ask_snapshot(question) as (_, pieces):
            return b"".join(pieces)

    @contextlib.contextmanager
    def _ask_snapshot(self, question: Question) -> Iterator[Answer]:
        from manager.store import questions, snapshots
        from manager.store.sandbox import Limits
        from pllib.settings import Querying, load_section

        from .child import answering

        def answer(reply: Reply) -> None:
            questions.reply(snapshots.open_snapshot(self.project.snapshots), question, reply)

        allowed = load_section(Querying, self.project.config, os.environ)
        limits = Limits(self.timeout_s, allowed.memory_bytes, allowed.rows, allowed.answer_bytes)
        with answering(answer, limits) as found:
            yield found

    def get(self, path: str, parameters: dict[str, Any]) -> bytes:
        """Ask the manager for a resource.

        Raises:
            QueryError: It is asked wrongly.
            UnavailableError: It has no answer.
        """
        assert self.endpoint is not None
        query = urlencode({**parameters, "timeout": self.timeout_s})
        status, _, body = managers.request(
            self.endpoint, "GET", f"{path}?{query}", timeout_s=self.timeout_s + LATE_S
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
        """Have queries see all that the tracker has journalled by now; nothing without a manager.

        Raises:
            UnavailableError: The daemons do not answer, or are still behind after a minute.
        """
        if self.endpoint is not None:
            wait_until_visible(self.endpoint)

    @contextlib.contextmanager
    def _ask_manager(self, endpoint: Endpoint, query: str, formats: list[str]) -> Iterator[Answer]:
        headers = {
            "Accept": ", ".join(MEDIA[name] for name in formats),
            "Content-Type": "application/sparql-query",
        }
        path = f"/sparql?{urlencode({'timeout': self.timeout_s})}"
        connection = managers.connect(endpoint, self.timeout_s + LATE_S)
        try:
            body = query.encode()
            reply = managers.send(connection, endpoint, "POST", path, body, headers)
            if reply.status != http.client.OK:
                raise _refusal(reply.status, managers.read(endpoint, reply).body)
            yield reply.headers.get_content_type(), _pieces(reply)
        finally:
            connection.close()


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
    """Tell whether a manager answers.

    Raises:
        NotTheManagerError: Somebody else does.
    """
    try:
        return managers.request(endpoint, "GET", "/healthz", timeout_s=timeout_s).status == 200
    except managers.NotTheManagerError:
        raise
    except UnavailableError:
        return False


def ask_json(endpoint: Endpoint, path: str) -> Any:
    """GET a JSON resource of the manager.

    Raises:
        UnavailableError: It does not answer, or not with that.
    """
    status, _, body = managers.request(endpoint, "GET", path, timeout_s=CONNECT_TIMEOUT_S)
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


def _pieces(reply: http.client.HTTPResponse) -> Iterator[bytes]:
    try:
        while piece := reply.read1(PIECE_BYTES):
            yield piece
    except (OSError, http.client.HTTPException) as exc:
        raise QueryError(
            "the manager cut the answer short: it took too long or grew too large, or was stopped",
            "Raise --timeout, or ask less; limits are in [query]",
        ) from exc
