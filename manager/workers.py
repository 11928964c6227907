"""A pool of query processes; one that takes too long or dies is replaced."""

from __future__ import annotations

import contextlib
import queue
import select
import subprocess
import time
from pathlib import Path

import msgspec

from pllib.errors import QueryError, UnavailableError

from .store.questions import Question, Sparql
from .worker import LENGTH, Answer, Ask

WAIT_FOR_WORKER_S = 10.0


class Workers:
    """`answer` may be called from any thread."""

    def __init__(self, command: list[str], snapshots: Path, n_workers: int = 2) -> None:
        """Args:
        command: Starts a process that serves as `manager.worker` does.
        """
        self._command = command
        self._snapshots = snapshots
        self._idle: queue.Queue[_Worker] = queue.Queue()
        for _ in range(n_workers):
            self._idle.put(_Worker(command))

    def answer(self, query: str, formats: list[str], timeout_s: float) -> tuple[str, bytes]:
        """Answer a SPARQL query as `ask` does."""
        return self.ask(Sparql(query, formats), timeout_s)

    def ask(self, question: Question, timeout_s: float) -> tuple[str, bytes]:
        """Answer a question on the newest snapshot: media type and body.

        Raises:
            QueryError: Wrong, refused, too long, or it killed its process.
            UnavailableError: All processes are busy, or there is no snapshot.
        """
        try:
            worker = self._idle.get(timeout=WAIT_FOR_WORKER_S)
        except queue.Empty:
            raise UnavailableError("all query processes are busy", "Try again later") from None
        try:
            reply = worker.ask(Ask(str(self._snapshots), question), timeout_s)
        except BaseException:
            worker.kill()
            worker = _Worker(self._command)
            raise
        finally:
            self._idle.put(worker)
        if reply.error:
            raise (QueryError if reply.kind == "QueryError" else UnavailableError)(reply.error)
        return reply.media, reply.body

    def close(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._idle.get_nowait().kill()


class _Worker:
    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )

    def ask(self, ask: Ask, timeout_s: float) -> Answer:
        assert self._process.stdin is not None
        data = msgspec.msgpack.encode(ask)
        deadline = time.monotonic() + timeout_s
        try:
            self._process.stdin.write(LENGTH.pack(len(data)) + data)
            (length,) = LENGTH.unpack(self._read(LENGTH.size, deadline, timeout_s))
            return msgspec.msgpack.decode(self._read(length, deadline, timeout_s), type=Answer)
        except (BrokenPipeError, EOFError):
            raise QueryError(
                "the query killed the process that ran it", "Nest it less, or split it"
            ) from None

    def _read(self, n_bytes: int, deadline: float, timeout_s: float) -> bytes:
        assert self._process.stdout is not None
        data = bytearray()
        while len(data) < n_bytes:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._process.stdout], [], [], left)[0]:
                raise QueryError(
                    f"the query was stopped after {timeout_s:g} s", "Raise --timeout, or ask less"
                )
            part = self._process.stdout.read(n_bytes - len(data))
            if not part:
                raise EOFError
            data += part
        return bytes(data)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
