"""Answers of the store over HTTP: sent as they come, and stopped when nobody waits for them."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from fastapi import Request, Response

from pllib.errors import Error, QueryError

from .problems import problem, refusal
from .store.answer import GRAPHS, RESULTS
from .store.questions import Question
from .workers import Workers

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

DEFAULT_TIMEOUT_S = 30.0
TAKING_S = 1.0
"""Beyond its time limit, for a client to take the rest of an answer."""
_FORMATS = {media: name for name, (_, media) in {**RESULTS, **GRAPHS}.items()}
_FORMATS["application/json"] = "json"
_SAY_1_1 = "Have a proxy in front speak HTTP/1.1 to the manager"


class Answering(Response):
    """Asks a question, and sends the answer in pieces.

    What is wrong before the first piece is an error as any.  What goes wrong later cuts the answer:
    HTTP/1.1 marks the end of a whole one, so a client can tell.
    """

    def __init__(self, workers: Workers, question: Question, timeout_s: float) -> None:
        """Raises:
        QueryError: The time limit is none that may be asked for.
        """
        super().__init__()
        if not 0 < timeout_s <= workers.longest_s:
            raise QueryError(f"timeout must be more than 0 and at most {workers.longest_s:g} s")
        self._workers = workers
        self._question = question
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["http_version"] == "1.0":  # it can't tell an answer that was cut from a whole one
            await problem(505, "answers are streamed, by HTTP/1.1", _SAY_1_1)(scope, receive, send)
            return
        sending = asyncio.ensure_future(self._send(scope, receive, send))
        left = asyncio.ensure_future(_client_left(receive))
        try:
            await asyncio.wait({sending, left}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:  # the manager ends, and with its loop what is left
            return
        finally:
            for task in (sending, left):
                task.cancel()
        result, _ = await asyncio.gather(sending, left, return_exceptions=True)
        if isinstance(result, Exception):
            raise result

    async def _send(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = False
        try:
            async with self._workers.ask(self._question, self._timeout_s) as answer:
                headers = [(b"content-type", answer.media.encode())]
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                began = True
                async for piece in answer.pieces():
                    part = {"type": "http.response.body", "body": piece, "more_body": True}
                    await asyncio.wait_for(send(part), answer.left_s + TAKING_S)
        except asyncio.TimeoutError:
            return  # what began is never said to be whole, and uvicorn ends the connection
        except Error as exc:
            if not began:
                await refusal(exc)(scope, receive, send)
            return
        await send({"type": "http.response.body", "body": b""})


async def _client_left(receive: Receive) -> None:
    with contextlib.suppress(OSError):
        while (await receive())["type"] != "http.disconnect":
            pass


def accepted(request: Request) -> list[str]:
    """Return format names in the order of the Accept header."""
    parts = [part.split(";")[0].strip() for part in request.headers.get("accept", "").split(",")]
    return [_FORMATS[part] for part in parts if part in _FORMATS]
