"""The manager's HTTP interface.

Source: SPARQL 1.1 Protocol (query operation); Prometheus text format 0.0.4.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path as Folder
from typing import Annotated, Any
from urllib.parse import parse_qs

import msgspec
from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import FastAPI, Path, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse

from pllib import proofs
from pllib.identity import iri
from pllib.linked import WIRE_VERSION, Accepted, batch_version, decode_batch

from . import metrics, resources
from .answering import DEFAULT_TIMEOUT_S, Answering, accepted
from .description import describe_service
from .problems import add_problems, describe, problem
from .protection import METRICS_PATH
from .store.described import Trace
from .store.pointfiles import run_of
from .store.questions import Points, Runs, Sparql
from .store.show import Show
from .store.walk import Direction
from .workers import Workers
from .writer import Writer

OPEN_PATHS = ("/healthz", "/readyz", "/openapi.json", proofs.PATH, *resources.OPEN_PATHS)
FLUSH_TIMEOUT_S = 60.0
MOST_FLUSHES = 8
"""That wait at once: each has a thread, of which 40 are shared by all that is no query."""

Identity = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
Positive = Annotated[int | None, Query(ge=0)]
Timeout = Annotated[float, Query(gt=0)]
Nonce = Annotated[str, Query(pattern=proofs.NONCE)]


def make_app(
    writer: Writer,
    workers: Workers,
    series: Folder,
    ask_metrics: Callable[[], str],
    prove: Callable[[str], str],
) -> FastAPI:
    """Return the application, which answers whoever asks: see `manager.protection`.

    Args:
        series: The folder of the project's series.
        ask_metrics: Returns what `/metrics` answers, and may take a while.
        prove: Answers a challenge (`pllib.proofs`).
    """
    app = FastAPI(title="sprov manager", version="1", docs_url=None, redoc_url=None)
    instance = os.urandom(8).hex()
    flushing, scraping = CapacityLimiter(MOST_FLUSHES), CapacityLimiter(1)

    add_problems(app)

    @app.post("/v1/provenance", status_code=202)
    async def provenance(request: Request) -> Response:
        """Take one batch of linked provenance (msgpack) in.

        412 if it is for another instance of the manager (``If-Match``): that one may have taken
        batches before it that this one does not have.  409 if it is of another version.
        """
        if request.headers.get("if-match", "").strip('"') != instance:
            return problem(412, "this is another manager", "Ask /v1/watermarks and go back")
        try:
            batch = decode_batch(await request.body())
        except msgspec.MsgspecError as exc:
            if (version := batch_version(await request.body())) not in (WIRE_VERSION, None):
                return _of_other_version(version)
            return problem(400, f"not a batch of linked provenance: {exc}", "")
        if batch.version != WIRE_VERSION:
            return _of_other_version(batch.version)
        taken = Accepted(instance, writer.submit(batch))
        return Response(msgspec.json.encode(taken), 202, media_type="application/json")

    @app.get("/v1/watermarks")
    def watermarks(journal: str = Query(pattern="^[0-9a-f]{32}$")) -> dict[str, Any]:
        """Tell how far the store has each run of a journal."""
        return {"instance": instance, "watermarks": writer.watermarks(journal)}

    @app.post("/v1/flush")
    async def flush(request: Request) -> Response:
        """Answer when all that was taken in can be seen by queries.

        412 if the instance of the manager that took it (``If-Match``) is another one.
        """
        if request.headers.get("if-match", f'"{instance}"').strip('"') != instance:
            return problem(412, "this is another manager", "Ask the tracker what it has taken")
        flushed = await run_sync(writer.flush, FLUSH_TIMEOUT_S, limiter=flushing)
        return JSONResponse({"flushed": flushed})

    @app.get("/sparql")
    async def sparql_get(
        request: Request,
        query: str = "",
        timeout: Timeout = DEFAULT_TIMEOUT_S,
        inferred: bool = False,
    ) -> Response:
        """Answer a query, as the SPARQL 1.1 Protocol says; without one describe the service."""
        given = _many(request.url.query)
        if not given.keys() - {"timeout", "inferred"}:
            endpoint = str(request.url.replace(query=""))
            return Response(describe_service(endpoint), media_type="text/turtle")
        return _sparql(request, {"query": [query], **given}, timeout, inferred=inferred)

    @app.post("/sparql")
    async def sparql_post(
        request: Request, timeout: Timeout = DEFAULT_TIMEOUT_S, inferred: bool = False
    ) -> Response:
        """Answer a query that is posted directly or as a form.

        With `inferred` of what follows from what is stored, too.
        """
        try:
            body = (await request.body()).decode()
        except UnicodeDecodeError as exc:
            return problem(400, f"the query is not UTF-8: {exc.reason} at byte {exc.start}", "")
        if request.headers.get("content-type", "").startswith("application/sparql-query"):
            given = {**_many(request.url.query), "query": [body]}
            return _sparql(request, given, timeout, inferred=inferred)
        return _sparql(request, _many(body), timeout, inferred=inferred)

    def _sparql(
        request: Request, given: dict[str, list[str]], timeout: float, *, inferred: bool
    ) -> Response:
        if given.keys() & {"default-graph-uri", "named-graph-uri"}:
            return problem(400, "no graph can be named", "Queries read this store, which is one")
        query = given.get("query", [""])[0]
        if not query:
            return problem(400, "no query", "Post one as application/sparql-query, or as a form")
        return Answering(workers, Sparql(query, accepted(request), inferred), timeout)

    @app.get("/v1/runs")
    async def runs(timeout: Timeout = DEFAULT_TIMEOUT_S) -> Response:
        """List runs as `sprov runs --format json` does."""
        return Answering(workers, Runs(live=True), timeout)

    @app.get("/v1/runs/{run}")
    async def run_(run: Identity, timeout: Timeout = DEFAULT_TIMEOUT_S) -> Response:
        """Describe a run as `sprov show --format json` does."""
        return Answering(workers, Show(iri("run", run), live=True), timeout)

    @app.get("/v1/lineage")
    async def lineage(
        target: str,
        direction: Direction = "up",
        depth: Positive = None,
        limit: Positive = None,
        settings: bool = False,
        timeout: Timeout = DEFAULT_TIMEOUT_S,
    ) -> Response:
        """Trace what an entity came from or led to, as `sprov lineage --format json` does."""
        return Answering(workers, Trace(target, direction, depth, limit, settings), timeout)

    @app.get("/v1/runs/{run}/lineage")
    async def run_lineage(
        run: Identity,
        direction: Direction = "up",
        depth: Positive = None,
        limit: Positive = None,
        settings: bool = False,
        timeout: Timeout = DEFAULT_TIMEOUT_S,
    ) -> Response:
        """Trace what the files that a run generated came from or led to."""
        asked = Trace(iri("run", run), direction, depth, limit, settings)
        return Answering(workers, asked, timeout)

    def answer(query: str, formats: list[str]) -> Response:
        return Answering(workers, Sparql(query, formats), DEFAULT_TIMEOUT_S)

    resources.add_resources(app, answer, accepted)

    @app.get("/v1/runs/{run}/series/{name:path}")
    async def run_series(
        run: Identity, name: str, timeout: Timeout = DEFAULT_TIMEOUT_S
    ) -> Response:
        """Give the points of a series, of all ranks: rank, step, at_ns, value, in columns."""
        return Answering(workers, Points(run, name, str(series)), timeout)

    @app.get("/v1/series-files/{name:path}")
    def series_file(name: str) -> Response:
        """Give a Parquet file of points that the store names, for readers on other nodes."""
        if run_of(name) is None or not (series / name).is_file():
            return problem(404, "there is no such file of points", "It may be superseded")
        return FileResponse(series / name)

    @app.get(proofs.PATH)
    async def proof(nonce: Nonce) -> Response:
        """Prove to a client that has the token, and has not sent it, that this is its manager."""
        return JSONResponse({"proof": prove(nonce)})

    @app.get("/healthz")
    async def healthz() -> Response:
        return PlainTextResponse("ok\n")

    @app.get("/readyz")
    async def readyz() -> Response:
        """Tell whether batches are taken; why not is in /v1/status, for those with the token."""
        if writer.trouble:
            return PlainTextResponse("not ready\n", 503)
        return PlainTextResponse("ready\n")

    @app.get("/v1/status")
    async def status() -> dict[str, Any]:
        return status_of(writer, workers)

    @app.get(METRICS_PATH)
    async def metrics_() -> Response:
        """Give counts in Prometheus' text format; the tracker's too, if it answers."""
        return PlainTextResponse(
            await run_sync(ask_metrics, limiter=scraping), media_type=metrics.MEDIA_TYPE
        )

    describe(app, OPEN_PATHS)
    return app


def _of_other_version(version: int | None) -> Response:
    return problem(
        409, f"batch version {version}, here {WIRE_VERSION}", "Restart tracker and manager"
    )


def _many(text: str) -> dict[str, list[str]]:
    """Return what a form says; nothing if it is none."""
    try:
        return parse_qs(text, max_num_fields=100)
    except ValueError:
        return {}


def status_of(writer: Writer, workers: Workers) -> dict[str, Any]:
    counts = writer.counts
    return {
        "records": counts.records,
        "triples": counts.triples,
        "commits": counts.commits,
        "snapshots": counts.snapshots,
        "snapshot_at": counts.snapshot_at,
        "as_of": writer.as_of,
        "waiting_batches": writer.n_waiting,
        "trouble": writer.trouble or writer.compactor.trouble,
        **workers.status(),
    }
