"""Servers that take a manager's place and note what they are told."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from pllib import proofs

if TYPE_CHECKING:
    from typing_extensions import Self

Answer = Callable[[bytes], bytes]
"""Returns what is sent for a request's head.  The connection is closed then, but after a proof."""


def reply(body: bytes, media: str = "application/json", status: str = "200 OK") -> bytes:
    """Return an answer in HTTP."""
    head = f"HTTP/1.1 {status}\r\ncontent-type: {media}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def proving(token: str, url: str, odd: bytes) -> Answer:
    """Return answers of who knows the token, and then says something odd."""

    def answer(request: bytes) -> bytes:
        path = request.split()[1].decode()
        nonce = path.partition("nonce=")[2]
        if path.startswith(proofs.PATH):
            return reply(b'{"proof": "%s"}' % proofs.prove(token, nonce, url).encode())
        return reply(b"{}") if path == "/v1/status" else odd

    return answer


class Impostor:
    """Listens at a port, for as long as it is entered."""

    def __init__(self, answer: Answer, port: int = 0) -> None:
        self._answer = answer
        self._socket = socket.create_server(("127.0.0.1", port), backlog=16)
        self._taken: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._listen)]
        self.heard: list[bytes] = []
        """What came, a piece for each read."""
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *raised: object) -> None:
        for each in (self._socket, *self._taken):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._socket.close()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                taken, _ = self._socket.accept()
                self._taken.append(taken)
                self._threads.append(threading.Thread(target=self._serve, args=(taken,)))
                self._threads[-1].start()

    def _serve(self, taken: socket.socket) -> None:
        with taken, contextlib.suppress(OSError):
            pending = b""
            while part := taken.recv(65536):
                self.heard.append(part)
                pending += part
                while b"\r\n\r\n" in pending:
                    head, _, pending = pending.partition(b"\r\n\r\n")
                    answer = self._answer(head)
                    taken.sendall(answer)
                    if not head.startswith(b"GET /v1/proof") or not answer:
                        return
