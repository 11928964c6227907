"""A pool of query processes; one that takes too long, dies or is left alone is replaced."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import time
from collections import deque
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from pllib.errors import QueryError, UnavailableError
from pllib.settings import Querying

from .store.questions import Question
from .store.replying import DATA, END, ERROR, HEAD, MEDIA, PIECE_BYTES, Failure
from .store.sandbox import Limits, ended
from .worker import LENGTH, Ask

WAIT_FOR_WORKER_S = 10.0
REAP_EVERY_S = 0.05
DYING_S = 5.0

Found = TypeVar("Found")


class BusyError(UnavailableError):
    """There are more queries than processes that answer them."""


class Answer:
    """An answer as it comes: `media`, then `pieces` until it is whole."""

    def __init__(self, worker: _Worker, limits: Limits) -> None:
        self._worker = worker
        self._limits = limits
        self._deadline = time.monotonic() + limits.timeout_s
        self.media = ""
        self.ended = False
        """Its process is ready for another."""

    @property
    def left_s(self) -> float:
        """Until its time is over."""
        return self._deadline - time.monotonic()

    async def begin(self, ask: Ask) -> None:
        await self._in_time(self._worker.send(ask))
        self.media = (await self._next(MEDIA)).decode()

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield until there is no more.

        Raises:
            QueryError: It went wrong, took too long, or became too large.
        """
        while True:
            piece = await self._next(DATA)
            if self.ended:
                return
            yield piece

    async def _next(self, expected: bytes) -> bytes:
        """Return what the next message holds; nothing at the end."""
        kind, data = await self._in_time(self._worker.receive())
        self.ended = kind in (END, ERROR)
        if kind == ERROR:
            raise msgspec.msgpack.decode(data, type=Failure).error()
        assert kind in (expected, END), kind
        return data

    async def _in_time(self, doing: Coroutine[Any, Any, Found]) -> Found:
        try:
            return await asyncio.wait_for(doing, self.left_s)
        except asyncio.TimeoutError:
            raise QueryError(
                f"the query was stopped after {self._limits.timeout_s:g} s",
                "Raise --timeout, or ask less",
            ) from None
        except (OSError, asyncio.IncompleteReadError):
            if self._worker.is_unwanted:
                raise _ending() from None
            raise QueryError(*ended(await self._worker.status(), self._limits)) from None


def _ending() -> UnavailableError:
    return UnavailableError("the manager is ending", "Ask again when there is another")


class Workers:
    """Of one event loop."""

    def __init__(self, command: list[str], snapshots: Path, settings: Querying) -> None:
        """Args:
        command: Starts a process that serves as `manager.worker` does.
        """
        self._command = command
        self._snapshots = snapshots
        self._settings = settings
        self._idle = deque(_Worker(command) for _ in range(max(1, settings.workers)))
        self._busy: set[_Worker] = set()
        self._waiting: deque[asyncio.Future[_Worker]] = deque()
        self._counts = {"answered": 0, "stopped": 0, "refused": 0}
        self._ends = False

    @property
    def longest_s(self) -> float:
        """The most that a query may ask for."""
        return self._settings.timeout_s

    def status(self) -> dict[str, int | str]:
        """Tell how many queries there are and were, and whether their processes are confined."""
        told = {each.confined for each in (*self._busy, *self._idle)} - {""}
        return {
            "queries_running": len(self._busy),
            "queries_waiting": len(self._waiting),
            **{f"queries_{name}": count for name, count in self._counts.items()},
            "query_processes": ", ".join(sorted(told)) or "not asked yet",
        }

    @contextlib.asynccontextmanager
    async def ask(self, question: Question, timeout_s: float) -> AsyncIterator[Answer]:
        """Answer a question on the newest snapshot; to leave before its end stops it.

        Args:
            timeout_s: For all of it, once it has a process.

        Raises:
            QueryError: Wrong, refused, too long, too large, or it killed its process.
            BusyError: All processes are busy.
            UnavailableError: There is no snapshot.
        """
        worker = await self._take(min(timeout_s, WAIT_FOR_WORKER_S))
        allowed = self._settings
        limits = Limits(timeout_s, allowed.memory_bytes, allowed.rows, allowed.answer_bytes)
        answer = Answer(worker, limits)
        try:
            await answer.begin(Ask(str(self._snapshots), question, limits))
            yield answer
        finally:
            self._busy.discard(worker)
            self._counts["answered" if answer.ended else "stopped"] += 1
            self._give(worker if answer.ended else self._instead_of(worker))

    async def _take(self, timeout_s: float) -> _Worker:
        if self._ends:
            raise _ending()
        if self._idle:
            worker = self._idle.popleft()
        else:
            worker = await self._wait(timeout_s)
        if worker.is_dead():
            worker = self._instead_of(worker)
        if worker.is_dead():
            self._give(worker)
            raise UnavailableError("no query process can be started", "Try again later")
        self._busy.add(worker)
        return worker

    async def _wait(self, timeout_s: float) -> _Worker:
        if len(self._waiting) < self._settings.waiting:
            place: asyncio.Future[_Worker] = asyncio.get_running_loop().create_future()
            self._waiting.append(place)
            try:
                await asyncio.wait([place], timeout=timeout_s)
            except asyncio.CancelledError:
                if place.done():
                    self._give(place.result())
                raise
            finally:
                if place in self._waiting:
                    self._waiting.remove(place)
            if place.done():
                return place.result()
        self._counts["refused"] += 1
        raise BusyError("all query processes are busy", "Try again later")

    def _give(self, worker: _Worker) -> None:
        if self._waiting:
            self._waiting.popleft().set_result(worker)
        else:
            self._idle.append(worker)

    def _instead_of(self, worker: _Worker) -> _Worker:
        """Return a new process; the dead one if another can't be, or is not wanted."""
        worker.kill()
        with contextlib.suppress(OSError):
            return worker if self._ends else _Worker(self._command)
        return worker

    def stop(self) -> None:
        """Take no more questions, and end what runs."""
        self._ends = True
        for worker in tuple(self._busy):
            worker.is_unwanted = True
            worker.end()

    def close(self) -> None:
        """End all processes; once the event loop has ended."""
        for worker in (*self._idle, *self._busy):
            worker.close()


class _Worker:
    """A process; it starts at once, and belongs to the event loop that first asks it."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        self._pipes: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._transports: list[asyncio.BaseTransport] = []
        self.is_unwanted = False
        """It was ended because the manager ends."""
        self.confined = ""
        """As it says once it is asked: confined, or why not."""

    def is_dead(self) -> bool:
        return self._process.poll() is not None

    async def send(self, ask: Ask) -> None:
        if self._pipes is None:
            self._pipes = await self._connect()
            self.confined = (await self.receive())[1].decode() or "confined"
            while (await self.receive())[0] != END:
                pass
        data = msgspec.msgpack.encode(ask)
        self._pipes[1].write(LENGTH.pack(len(data)) + data)
        await self._pipes[1].drain()

    async def receive(self) -> tuple[bytes, bytes]:
        """Return the next message: kind and content.

        Raises:
            asyncio.IncompleteReadError: The process ended.
        """
        assert self._pipes is not None
        kind, length = HEAD.unpack(await self._pipes[0].readexactly(HEAD.size))
        return kind, await self._pipes[0].readexactly(length)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=PIECE_BYTES)  # when it holds twice that, the pipe waits
        protocol = asyncio.StreamReaderProtocol(reader)
        reading, _ = await loop.connect_read_pipe(lambda: protocol, self._process.stdout)
        flow = asyncio.StreamReaderProtocol(asyncio.StreamReader())
        writing, _ = await loop.connect_write_pipe(lambda: flow, self._process.stdin)
        self._transports = [reading, writing]
        return reader, asyncio.StreamWriter(writing, flow, None, loop)

    async def status(self) -> int:
        """Return how the process ended, once it did: its pipe is closed."""
        until = time.monotonic() + DYING_S
        while self._process.poll() is None and time.monotonic() < until:
            await asyncio.sleep(REAP_EVERY_S)
        return self._process.poll() or 0

    def end(self) -> None:
        self._process.kill()

    def kill(self) -> None:
        """End it and let go of it."""
        self._process.kill()
        for transport in self._transports:
            transport.close()
        self._reap()

    def _reap(self) -> None:
        """Forget the process when it is gone: to end one of gigabytes takes a while."""
        if self._process.poll() is None:
            asyncio.get_running_loop().call_later(REAP_EVERY_S, self._reap)

    def close(self) -> None:
        """Wait for its end, without an event loop."""
        self._process.kill()
        self._process.wait()
