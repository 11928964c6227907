"""HTTP connections of the manager: none can hold what others need.

uvicorn 0.54 has no limit on how long a client may take to send a request's head, or to take in an
answer; at its own limit of connections it answers 503 to everybody, so that 100 idle ones of a
stranger would shut the manager.  Here an idle connection makes room for a new one.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

LOGGER = "uvicorn.error"
HEAD_BYTES = 32 << 10
HEAD_S = 10.0
"""For a request's head, from its first byte or the connection's start."""
LINGER_S = 5.0
"""For the rest of a body that was refused: closing at once would destroy the answer as well."""
STUCK_S = 60.0
"""For a client that takes nothing of an answer."""
MAX_CONNECTIONS = 256
GRACE_S = 1
"""At the end, for what is being answered; a query that runs on is stopped then."""


class Connection(H11Protocol):
    """A connection with time limits, one of at most `MAX_CONNECTIONS`."""

    made_at = 0.0
    _waiting: asyncio.TimerHandle | None = None
    _waiting_for: object = None
    _stuck: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        is_welcome = len(self.connections) < MAX_CONNECTIONS or self._make_room()
        self.made_at = self.loop.time()
        super().connection_made(transport)  # type: ignore[arg-type]
        if not is_welcome:
            self.transport.abort()
            self.connections.discard(self)
        self._watch()

    def _make_room(self) -> bool:
        """Close the oldest that never asked, else asks nothing, else takes nothing."""
        others = [each for each in self.connections if isinstance(each, Connection)]
        spare = [each for each in others if not each.is_busy or each._stuck is not None]
        if spare:
            first = min(
                spare, key=lambda each: (each.is_busy, each.cycle is not None, each.made_at)
            )
            first.transport.abort()
            self.connections.discard(first)
        return bool(spare)

    @property
    def is_busy(self) -> bool:
        """It has a request that is not answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def _watch(self) -> None:
        """Have the time that the client may take for what is awaited now; trickling adds none."""
        kept_alive = self.timeout_keep_alive_task is not None
        if self.transport.is_closing() or self.is_busy or (kept_alive and self._is_between):
            self._await(None, 0.0)
        elif self._is_between:
            self._await("head", HEAD_S)
        else:
            self._await("rest", LINGER_S)

    @property
    def _is_between(self) -> bool:
        return self.conn.their_state is h11.IDLE

    def _await(self, what: str | None, seconds: float) -> None:
        if what == self._waiting_for:
            return
        if self._waiting is not None:
            self._waiting.cancel()
        self._waiting_for = what
        self._waiting = self.loop.call_later(seconds, self.transport.abort) if what else None

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stuck = self.loop.call_later(STUCK_S, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stuck is not None:
            self._stuck.cancel()
        self._stuck = None

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._waiting, self._stuck):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)


def _is_no_cut_answer(record: logging.LogRecord) -> bool:
    """Tell what is to be said: `manager.answering` cuts answers on purpose, and counts them."""
    return "without completing response" not in record.getMessage()


class Server(uvicorn.Server):
    """HTTP/1.1 alone, with limits, saying nothing of itself or of junk."""

    def __init__(self, app: Any, tls: ssl.SSLContext | None, at_end: Callable[[], None]) -> None:
        """Args:
        at_end: Ends what would be answered for long; called before connections are waited for.
        """
        config = uvicorn.Config(
            app, http=Connection, ws="none", loop="asyncio", lifespan="off", log_level="error",
            access_log=False, server_header=False, proxy_headers=False, timeout_keep_alive=75,
            timeout_graceful_shutdown=GRACE_S, h11_max_incomplete_event_size=HEAD_BYTES,
        )  # fmt: skip
        logging.getLogger(LOGGER).addFilter(_is_no_cut_answer)
        super().__init__(config)
        self._tls = tls
        self._at_end = at_end

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, with a time limit on TLS handshakes, which uvicorn has no setting for."""
        limit = HEAD_S if self._tls else None
        loop = asyncio.get_running_loop()
        self.servers = [
            await loop.create_server(
                self._connection, sock=each, ssl=self._tls, ssl_handshake_timeout=limit
            )
            for each in sockets or ()
        ]
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._at_end()
        await super().shutdown(sockets)

    def _connection(self) -> Connection:
        return Connection(self.config, self.server_state, {})
