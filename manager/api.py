"""The manager's HTTP interface.

Source: SPARQL 1.1 Protocol (query operation); Prometheus text format 0.0.4.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Awaitable, Callable
from pathlib import Path as Folder
from typing import Annotated, Any
from urllib.parse import parse_qs

import msgspec
from fastapi import FastAPI, Path, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse

from pllib.errors import Error, QueryError
from pllib.identity import iri
from pllib.linked import WIRE_VERSION, Accepted, decode_batch

from . import resources
from .store.answer import GRAPHS, RESULTS
from .store.described import Trace
from .store.pointfiles import run_of
from .store.questions import Points, Question, Runs
from .store.show import Show
from .store.walk import Direction
from .workers import Workers
from .writer import Writer

OPEN_PATHS = ("/healthz", "/readyz", "/openapi.json", "/docs", *resources.OPEN_PATHS)
MAX_TIMEOUT_S = 600.0
DEFAULT_TIMEOUT_S = 30.0
FLUSH_TIMEOUT_S = 60.0

Identity = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
Positive = Annotated[int | None, Query(ge=0)]
Timeout = Annotated[float, Query(gt=0, le=MAX_TIMEOUT_S)]


def make_app(writer: Writer, workers: Workers, token: str, series: Folder) -> FastAPI:
    """Return the application.

    Args:
        series: The folder of the project's series.
    """
    app = FastAPI(title="sprov manager", version="1", docs_url="/docs", redoc_url=None)
    instance = os.urandom(8).hex()

    @app.middleware("http")
    async def authorise(
        request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if request.url.path in OPEN_PATHS or hmac.compare_digest(given.encode(), token.encode()):
            return await call_next(request)
        return _problem(401, "a bearer token is needed", "It is in the endpoint file")

    @app.exception_handler(Error)
    async def refuse(_: Request, exc: Error) -> Response:
        status = 400 if isinstance(exc, QueryError) else 503
        return _problem(status, Exception.__str__(exc), exc.hint)

    @app.post("/v1/provenance", status_code=202)
    async def provenance(request: Request) -> Response:
        """Take one batch of linked provenance (msgpack) in.

        412 if it is for another instance of the manager (``If-Match``): that one may have taken
        batches before it that this one does not have.
        """
        if request.headers.get("if-match", "").strip('"') != instance:
            return _problem(412, "this is another manager", "Ask /v1/watermarks and go back")
        try:
            batch = decode_batch(await request.body())
        except msgspec.MsgspecError as exc:
            return _problem(400, f"not a batch of linked provenance: {exc}", "")
        if batch.version != WIRE_VERSION:
            return _problem(400, f"batch version {batch.version}, here {WIRE_VERSION}", "")
        accepted = Accepted(instance, writer.submit(batch))
        return Response(msgspec.json.encode(accepted), 202, media_type="application/json")

    @app.get("/v1/watermarks")
    def watermarks(journal: str = Query(pattern="^[0-9a-f]{32}$")) -> dict[str, Any]:
        """Tell how far the store has each run of a journal."""
        return {"instance": instance, "watermarks": writer.watermarks(journal)}

    @app.post("/v1/flush")
    def flush() -> dict[str, bool]:
        """Answer when all that was taken in can be seen by queries."""
        return {"flushed": writer.flush(FLUSH_TIMEOUT_S)}

    @app.get("/sparql")
    def sparql_get(request: Request, query: str, timeout: float = DEFAULT_TIMEOUT_S) -> Response:
        """Answer a query, as the SPARQL 1.1 Protocol says."""
        return _answer(workers, query, request, timeout)

    @app.post("/sparql")
    async def sparql_post(request: Request, timeout: float = DEFAULT_TIMEOUT_S) -> Response:
        """Answer a query that is posted directly or as a form."""
        from starlette.concurrency import run_in_threadpool

        body = (await request.body()).decode("utf-8", "replace")
        if request.headers.get("content-type", "").startswith("application/sparql-query"):
            query = body
        else:
            query = parse_qs(body).get("query", [""])[0]
        if not query:
            return _problem(400, "no query", "Post one as application/sparql-query, or as a form")
        return await run_in_threadpool(_answer, workers, query, request, timeout)

    @app.get("/v1/runs")
    def runs(timeout: Timeout = DEFAULT_TIMEOUT_S) -> Response:
        """List runs as `sprov runs --format json` does."""
        return _reply(workers, Runs(live=True), timeout)

    @app.get("/v1/runs/{run}")
    def run_(run: Identity, timeout: Timeout = DEFAULT_TIMEOUT_S) -> Response:
        """Describe a run as `sprov show --format json` does."""
        return _reply(workers, Show(iri("run", run), live=True), timeout)

    @app.get("/v1/lineage")
    def lineage(
        target: str,
        direction: Direction = "up",
        depth: Positive = None,
        limit: Positive = None,
        settings: bool = False,
        timeout: Timeout = DEFAULT_TIMEOUT_S,
    ) -> Response:
        """Trace what an entity came from or led to, as `sprov lineage --format json` does."""
        return _reply(workers, Trace(target, direction, depth, limit, settings), timeout)

    @app.get("/v1/runs/{run}/lineage")
    def run_lineage(
        run: Identity,
        direction: Direction = "up",
        depth: Positive = None,
        limit: Positive = None,
        settings: bool = False,
        timeout: Timeout = DEFAULT_TIMEOUT_S,
    ) -> Response:
        """Trace what the files that a run generated came from or led to."""
        asked = Trace(iri("run", run), direction, depth, limit, settings)
        return _reply(workers, asked, timeout)

    def answer(query: str, formats: list[str]) -> Response:
        media, body = workers.answer(query, formats, DEFAULT_TIMEOUT_S)
        return Response(body, media_type=media)

    resources.add_resources(app, answer, _accepted)

    @app.get("/v1/runs/{run}/series/{name:path}")
    def run_series(run: Identity, name: str, timeout: Timeout = DEFAULT_TIMEOUT_S) -> Response:
        """Give the points of a series, of all ranks: rank, step, at_ns, value, in columns."""
        return _reply(workers, Points(run, name, str(series)), timeout)

    @app.get("/v1/series-files/{name:path}")
    def series_file(name: str) -> Response:
        """Give a Parquet file of points that the store names, for readers on other nodes."""
        if run_of(name) is None or not (series / name).is_file():
            return _problem(404, "there is no such file of points", "It may be superseded")
        return FileResponse(series / name)

    @app.get("/healthz")
    def healthz() -> Response:
        return PlainTextResponse("ok\n")

    @app.get("/readyz")
    def readyz() -> Response:
        if writer.failure:
            return PlainTextResponse(f"{writer.failure}\n", 503)
        return PlainTextResponse("ready\n")

    @app.get("/v1/status")
    def status() -> dict[str, Any]:
        return _status(writer)

    @app.get("/metrics")
    def metrics() -> Response:
        """Counts in Prometheus' text format."""
        lines = [
            f"# TYPE sprov_manager_{name} gauge\nsprov_manager_{name} {value}\n"
            for name, value in _status(writer).items()
            if isinstance(value, int | float)
        ]
        return PlainTextResponse("".join(lines), media_type="text/plain; version=0.0.4")

    return app


def _reply(workers: Workers, question: Question, timeout: float) -> Response:
    media, body = workers.ask(question, timeout)
    return Response(body, media_type=media)


def _status(writer: Writer) -> dict[str, Any]:
    counts = writer.counts
    return {
        "records": counts.records,
        "triples": counts.triples,
        "commits": counts.commits,
        "snapshots": counts.snapshots,
        "snapshot_at": counts.snapshot_at,
        "waiting_batches": writer.n_waiting,
        "trouble": writer.failure,
    }


def _problem(status: int, message: str, hint: str) -> Response:
    return JSONResponse({"error": message, "hint": hint}, status)


def _answer(workers: Workers, query: str, request: Request, timeout: float) -> Response:
    if not 0 < timeout <= MAX_TIMEOUT_S:
        raise QueryError(f"timeout must be more than 0 and at most {MAX_TIMEOUT_S:g} s")
    media, body = workers.answer(query, _accepted(request), timeout)
    return Response(body, media_type=media)


def _accepted(request: Request) -> list[str]:
    """Return format names in the order of the Accept header."""
    names = {media: name for name, (_, media) in {**RESULTS, **GRAPHS}.items()}
    names["application/json"] = "json"
    parts = [part.split(";")[0].strip() for part in request.headers.get("accept", "").split(",")]
    return [names[part] for part in parts if part in names]
