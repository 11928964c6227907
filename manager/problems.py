"""How the manager says what is wrong: ``{"error": ..., "hint": ...}``, and no internals."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from pllib.errors import Error, QueryError

_SCHEMA = {
    "type": "object",
    "required": ["error", "hint"],
    "properties": {"error": {"type": "string"}, "hint": {"type": "string"}},
}


def problem(
    status: int, message: str, hint: str = "", headers: dict[str, str] | None = None
) -> Response:
    return JSONResponse({"error": message, "hint": hint}, status, headers)


def refusal(exc: Error) -> Response:
    """Return an error of ours as an answer."""
    if isinstance(exc, QueryError):
        return problem(400, Exception.__str__(exc), exc.hint)
    return problem(503, Exception.__str__(exc), exc.hint, {"Retry-After": "1"})


def add_problems(app: FastAPI) -> None:
    """Have every error answered alike; one of ours that nobody foresaw is told in the log alone."""

    @app.exception_handler(Error)
    async def refuse(_: Request, exc: Error) -> Response:
        return refusal(exc)

    @app.exception_handler(HTTPException)
    async def no_such(_: Request, exc: HTTPException) -> Response:
        return problem(exc.status_code, exc.detail, headers=dict(exc.headers or {}))

    @app.exception_handler(RequestValidationError)
    async def no_parameter(_: Request, exc: RequestValidationError) -> Response:
        wrong = "; ".join(f"{each['loc'][-1]}: {each['msg']}" for each in exc.errors())
        return problem(422, f"a parameter is wrong: {wrong}", "/openapi.json lists them")

    @app.exception_handler(Exception)
    async def fail(_: Request, exc: Exception) -> Response:
        return problem(500, "the manager failed", "What it printed says why")


def describe(app: FastAPI, open_paths: Collection[str]) -> None:
    """Have OpenAPI say who may ask, and what errors look like."""

    def schema() -> dict[str, Any]:
        if app.openapi_schema is None:
            found = get_openapi(title=app.title, version=app.version, routes=app.routes)
            found["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            found["security"] = [{"token": []}]
            content = {"application/json": {"schema": _SCHEMA}}
            for path, operations in found["paths"].items():
                for operation in operations.values():
                    operation["responses"]["default"] = {
                        "description": "It was not done: why, and what to do",
                        "content": content,
                    }
                    if path in open_paths:
                        operation["security"] = []
            app.openapi_schema = found
        return app.openapi_schema

    app.openapi = schema  # type: ignore[method-assign]
