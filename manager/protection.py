"""Who may ask the manager, from where, and how much: decided before a request reaches it.

Everybody on a cluster's node can connect to its loopback address, and so can any page in a browser
of it.  So a request must name a host that is this one's (DNS rebinding), must not come from another
site, must bring the token, and brings no more than its path takes, at a bearable speed.

Plain ASGI: Starlette's BaseHTTPMiddleware (1.10) hides from a handler that its client is gone.

Sources: Fetch Metadata Request Headers; RFC 6750 (bearer tokens); RFC 9110, 15.5.20 (421).
"""

from __future__ import annotations

import asyncio
import hmac
import json
import socket
import time
from collections import Counter
from collections.abc import Collection
from typing import TYPE_CHECKING, NamedTuple

from pllib.listening import (
    EVERYWHERE,
    EVERYWHERE_6,
    Listening,
    all_addresses,
    interface_addresses,
    is_ipv6,
)

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

METRICS_PATH = "/metrics"
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
MAX_BODY_BYTES = 64 << 10
MAX_BODIES = {"/v1/provenance": 256 << 20, "/sparql": 1 << 20}
"""Of paths that take more; a query has at most 200,000 characters."""
BODY_GRACE_S = 10.0
BODY_BYTES_PER_S = 64 << 10
"""A body must be whole after the grace and its size at this speed."""
WRONG_TOKENS_PER_S = 20.0
WRONG_TOKENS_AT_ONCE = 40
"""Beyond these 429 is the answer; the right token is never counted."""
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; sandbox"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)
"""Of every answer: whatever a browser does with it, it runs and keeps nothing."""


class Refusal(NamedTuple):
    status: int
    error: str
    hint: str = ""
    header: tuple[bytes, bytes] | None = None


def host_names(listening: Listening, more: Collection[str] = ()) -> frozenset[str]:
    """Return the hosts that requests may name, in lower case.

    Args:
        more: As set in ``[serve]``: such as the name of a proxy in front.
    """
    names = {*LOOPBACK, listening.address, listening.advertised, *more}
    if listening.address in (EVERYWHERE, EVERYWHERE_6):
        names |= {socket.gethostname(), *interface_addresses().values(), *all_addresses()}
    return frozenset(f"[{name}]" if is_ipv6(name) else name.lower() for name in names if name)


class Allowance:
    """So many at once, and then so many a second."""

    def __init__(self, per_s: float, at_once: int) -> None:
        self._per_s, self._most = per_s, float(at_once)
        self._left, self._at = self._most, time.monotonic()

    def take(self) -> bool:
        """Take one; False if there is none left."""
        now = time.monotonic()
        self._left = min(self._most, self._left + (now - self._at) * self._per_s)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Protection:
    """ASGI middleware around the manager's application."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        token: str,
        hosts: frozenset[str],
        open_paths: Collection[str],
        metrics_token: str = "",
    ) -> None:
        """Args:
        open_paths: Those that need no token.
        metrics_token: Opens `METRICS_PATH` alone; empty for none.
        """
        self._app = app
        self._token = token.encode()
        self._hosts = hosts
        self._open = frozenset(open_paths)
        self._metrics_token = metrics_token.encode()
        self.refused: Counter[int] = Counter()
        """Requests by the status that they were refused with."""
        self._wrong = Allowance(WRONG_TOKENS_PER_S, WRONG_TOKENS_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers: dict[bytes, bytes] = dict(reversed(scope["headers"]))
        path = scope["path"]
        refusal = _other_site(headers, self._hosts, scope["scheme"]) or self._stranger(
            headers, path
        )
        body = refusal or await _whole_body(headers, path, receive)
        if isinstance(body, Refusal):
            self.refused[body.status] += 1
            await _refuse(body, send)
        elif body is not None:
            await self._app(scope, _replay(body, receive), _hardened(send))

    def _stranger(self, headers: dict[bytes, bytes], path: str) -> Refusal | None:
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        tokens = [self._token]
        if path == METRICS_PATH and self._metrics_token:
            tokens.append(self._metrics_token)
        is_right = [token for token in tokens if hmac.compare_digest(given.strip(), token)]
        if is_right and scheme.lower() == b"bearer":
            return None
        if path in self._open:  # a body that never ends would keep a place from others
            brings = headers.keys() & {b"content-length", b"transfer-encoding"}
            return Refusal(413, f"{path} takes no body") if brings else None
        if not self._wrong.take():
            return Refusal(429, "too many wrong tokens", "", (b"retry-after", b"1"))
        challenge = (b"www-authenticate", b"Bearer")
        return Refusal(401, "a bearer token is needed", "It is in the endpoint file", challenge)


def _other_site(headers: dict[bytes, bytes], hosts: frozenset[str], scheme: str) -> Refusal | None:
    host = headers.get(b"host", b"").decode("latin-1").lower()
    name, colon, port = host.rpartition(":")
    if (name if colon and port.isdigit() else host) not in hosts:
        hint = "Names that it may be called by are set as `hosts` in [serve]"
        return Refusal(421, f"this manager is not {host!r}" if host else "no host is named", hint)
    origin = headers.get(b"origin", b"").decode("latin-1").lower()
    site = headers.get(b"sec-fetch-site", b"none").lower()
    if (origin and origin != f"{scheme}://{host}") or site not in (b"none", b"same-origin"):
        return Refusal(403, "this manager is not for other sites")
    return None


async def _whole_body(
    headers: dict[bytes, bytes], path: str, receive: Receive
) -> bytes | Refusal | None:
    """Return the body; why it is refused; or None if the client went away."""
    most = MAX_BODIES.get(path, MAX_BODY_BYTES)
    too_large = Refusal(413, f"{path} takes at most {most} bytes")
    length = headers.get(b"content-length", b"0")
    if not length.isdigit() or int(length) > most:
        return too_large
    parts: list[bytes] = []
    n_bytes, began = 0, time.monotonic()
    while True:
        left = began + BODY_GRACE_S + n_bytes / BODY_BYTES_PER_S - time.monotonic()
        try:
            message = await asyncio.wait_for(receive(), left)
        except asyncio.TimeoutError:
            return Refusal(408, "the request came too slowly")
        if message["type"] != "http.request":
            return None
        parts.append(message.get("body", b""))
        n_bytes += len(parts[-1])
        if n_bytes > most:
            return too_large
        if not message.get("more_body", False):
            return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives the body, and then tells when the client goes away."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _hardened(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            present = {name for name, _ in message["headers"]}
            added = [(name, value) for name, value in HEADERS if name not in present]
            message = {**message, "headers": [*message["headers"], *added]}
        await send(message)

    return sending


async def _refuse(refusal: Refusal, send: Send) -> None:
    body = json.dumps({"error": refusal.error, "hint": refusal.hint}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *([refusal.header] if refusal.header else []),
    ]
    start = {"type": "http.response.start", "status": refusal.status, "headers": headers}
    await _hardened(send)(start)
    await send({"type": "http.response.body", "body": body})
