"""Answer SPARQL for a project: by its running manager, else on the newest snapshot."""

from __future__ import annotations

import contextlib
import http.client
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from pllib import managers
from pllib.errors import QueryError, UnavailableError
from pllib.project import Endpoint, Project, choose_endpoint

from .freshness import wait_until_visible
from .reached import reach, warn_of_unreached
from .replies import (
    MEDIA,
    OF_RUN,
    Table,
    check_media,
    decode_object,
    decode_rows,
    decode_table,
    refusal,
)

if TYPE_CHECKING:
    from manager.store.described import Trace
    from manager.store.questions import Question
    from manager.store.replying import Reply

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
    missing: str = ""
    """Why the manager that should be there can't be asked."""

    @property
    def live(self) -> bool:
        return self.endpoint is not None

    @property
    def remote(self) -> bool:
        """A manager whose indexes are its own, and not the project's."""
        return self.endpoint is not None and bool(self.endpoint.indexes)

    @property
    def place(self) -> str:
        """Who answers, in words."""
        return "the store" if self.endpoint is None else f"the manager at {self.endpoint.manager}"

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
    def stream(self, query: str, formats: list[str], *, inferred: bool = False) -> Iterator[Answer]:
        """Give media type and serialised answer, in pieces as they come; to leave stops the query.

        Args:
            inferred: Of what follows from what is stored, too (`manager.store.inference`).

        Raises:
            QueryError: As `answer`; also amid the pieces, which are then not all.
            UnavailableError: There is nothing to ask.
        """
        if self.endpoint is not None:
            with self._ask_manager(self.endpoint, query, formats, inferred) as answer:
                yield answer
            return
        from manager.store.questions import Sparql

        with self._ask_snapshot(Sparql(query, formats, inferred)) as answer:
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

            body = self._read_snapshot(Runs(live=False))
        else:
            body = self.get("/v1/runs", {})
        return decode_rows(body, self.place, OF_RUN)

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
            raise refusal(status, body)
        return body

    def select(self, query: str) -> list[dict[str, str]]:
        """Return the rows of a SELECT query: variable to text of its value."""
        rows = self.table(query).rows
        return [{name: cell["value"] for name, cell in row.items()} for row in rows]

    def table(self, query: str) -> Table:
        """Return the answer to a SELECT or ASK query.

        Raises:
            QueryError: As `answer`.
            UnavailableError: There is nothing to ask, or what was answered is no table.
        """
        _, body = self.answer(query, ["json"])
        return decode_table(body, self.place)

    def flush(self) -> None:
        """Have queries see all that the tracker has journalled by now; nothing without a manager.

        Raises:
            UnavailableError: The daemons do not answer, or are still behind after a minute.
        """
        if self.endpoint is not None:
            wait_until_visible(self.endpoint)

    @contextlib.contextmanager
    def _ask_manager(
        self, endpoint: Endpoint, query: str, formats: list[str], inferred: bool
    ) -> Iterator[Answer]:
        headers = {
            "Accept": ", ".join(MEDIA[name] for name in formats),
            "Content-Type": "application/sparql-query",
        }
        asked = {"timeout": self.timeout_s, **({"inferred": "true"} if inferred else {})}
        path = f"/sparql?{urlencode(asked)}"
        connection = managers.connect(endpoint, self.timeout_s + LATE_S)
        try:
            body = query.encode()
            reply = managers.send(connection, endpoint, "POST", path, body, headers)
            if reply.status != http.client.OK:
                raise refusal(reply.status, managers.read(endpoint, reply).body)
            media = reply.headers.get_content_type()
            check_media(media, formats, self.place)
            yield media, _pieces(reply)
        finally:
            connection.close()


def find_engine(
    project: Project,
    environ: Mapping[str, str] | None = None,
    timeout_s: float = 30.0,
    *,
    warns: bool = True,
) -> Engine:
    """Return the engine of a project, with the manager that serves all of it if that answers.

    Also a job's own manager: in that job, if SPROV_ENDPOINT says so, or if there is no store yet.

    Args:
        warns: Say on stderr if a manager should be there and can't be asked.
    """
    environ = os.environ if environ is None else environ
    store = Engine(project, None, timeout_s)
    path = choose_endpoint(project, environ)
    if path is None or not path.exists():
        return store
    try:
        endpoint = reach(path)
    except UnavailableError as exc:
        reason = Exception.__str__(exc)
        if warns:
            warn_of_unreached(reason)
        return replace(store, missing=reason)
    if endpoint is None:
        return store
    found = Engine(project, endpoint, timeout_s)
    is_named = path.stem in (environ.get("SLURM_JOB_ID"), "local")
    if environ.get("SPROV_ENDPOINT") or is_named or not found.remote:
        return found
    return store if store.has_snapshot else found  # a job's manager has its runs alone


def ask_json(endpoint: Endpoint, path: str) -> dict[str, Any]:
    """GET a JSON object of the manager.

    Raises:
        UnavailableError: It does not answer, or not with that.
    """
    status, _, body = managers.request(endpoint, "GET", path, timeout_s=CONNECT_TIMEOUT_S)
    if status != 200:
        raise refusal(status, body)
    return decode_object(body, f"the manager at {endpoint.manager}")


def _pieces(reply: http.client.HTTPResponse) -> Iterator[bytes]:
    try:
        while piece := reply.read1(PIECE_BYTES):
            yield piece
    except (OSError, http.client.HTTPException) as exc:
        raise QueryError(
            "the manager cut the answer short: it took too long or grew too large, or was stopped",
            "Raise --timeout, or ask less; limits are in [query]",
        ) from exc
