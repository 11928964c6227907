"""Frames that a tracker acknowledges: good records beside some that nobody writes."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any, cast

import httpx
from fuzz_seeds import context, head, records
from msgspec import msgpack, structs

from manager.api import make_app
from manager.workers import Workers
from manager.writer import Writer
from pllib import wire
from pllib.log import FORMAT_VERSION, frame_of
from pllib.managers import Reply
from pllib.records import Metric, Transformation, encode
from pllib.values import encode_list
from tracker.admission import Admission, RefusedError
from tracker.dispatch import Dispatch
from tracker.handover import Handover
from tracker.journal import Follower, Journal
from tracker.workqueue import WorkQueues

N_GOOD, N_WRONG = 3, 3
"""Records of a frame."""
FRAMES_A_LOG = 12
WRONG: tuple[Any, ...] = (
    -1, 1 << 31, 1 << 63, (1 << 64) - 1, -(1 << 63), math.nan, math.inf, -math.inf, 1e308, 0.1,
    None, True, "", "\0", "\ud7ff\ufffe\U0010ffff", 'a"b\\c\n\r\t<>^`{|}', "x" * 70_000,
    "http://a b/<>", b"", b"\xff\xfe", b"\x91", [], [[]], {}, {"a": 1}, {"a": "b"}, {"": math.nan},
    ["a", 1], "zu" * 16, "ab" * 16,
)  # fmt: skip
NOT_UTF8 = b"\xa3\xff\xc0\x80"
"""A string of msgpack whose bytes are none."""


class Direct(Handover):
    """Hands over to a manager's application in this process, without a network between them."""

    def __init__(self, app: Any) -> None:
        super().__init__(lambda: None)
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://here"
        )

    def _send(self, method: str, path: str, body: bytes | None) -> Reply | None:
        headers = {"If-Match": f'"{self.instance}"'}
        made = self._client.request(method, path, content=body, headers=headers)
        reply = asyncio.run(made)
        assert reply.status_code < 500, reply.text
        return Reply(reply.status_code, reply.headers["content-type"], reply.content)


def send(folder: Path, writer: Writer, seed: int, n_logs: int) -> tuple[set[str], int]:
    """Journal what is admitted, link it and hand it to a manager, as a tracker does.

    Returns:
        The values that good records tell, and how many their metrics are.
    """
    draw = Random(seed)
    journal = Journal(folder)
    values: set[str] = set()
    n_points = 0
    try:
        for _ in range(n_logs):
            hello, *frames = _log(draw)
            admission = Admission()
            assert admission.bind(b"peer", hello[0], 1.0) == ""
            for packed, told in frames:
                try:
                    key = admission.check(b"peer", packed, 1.0)
                except RefusedError:
                    continue
                journal.append([(key, packed)])
                values |= told
                n_points += bool(told)
        _hand_over(journal, writer)
    finally:
        journal.close()
    return values, n_points


def _hand_over(journal: Journal, writer: Writer) -> None:
    nobody_asks = cast("Workers", None)
    handover = Direct(make_app(writer, nobody_asks, journal.folder, str, str))
    assert handover.watermarks(journal.identity) == {}
    dispatch = Dispatch(handover, journal.identity)
    queues, follower = WorkQueues(), Follower(journal)
    while (item := follower.next()) is not None:
        queues.put(*item, follower.watermarks)
    while (due := queues.take_frames(all_ages=True)) is not None:
        dispatch.send(due)
        assert writer.flush(60.0), writer.failure


def _log(draw: Random) -> Iterator[tuple[bytes, set[str]]]:
    """Yield a HELLO, then frames of a log and the values that good records of each tell."""
    log_id = draw.randbytes(16)
    own = structs.replace(context(), run=draw.randbytes(16).hex())
    yield msgpack.encode(wire.Hello(FORMAT_VERSION, log_id, own.run, 0, "n", 1, 1)), set()
    for number in range(FRAMES_A_LOG):
        is_wrong = draw.random() < 0.1
        first = _mutated(draw, encode(own), keep=1) if is_wrong else encode(own)
        good = [*_good(log_id, number)]
        bodies = [body for _, body in good] + [_wrong(draw) for _ in range(N_WRONG)]
        draw.shuffle(bodies)
        frame = frame_of(log_id, number, [first, *head()[1:], *bodies])
        told = set() if is_wrong else {value for value, _ in good if value}
        yield frame.pack(), told


def _good(log_id: bytes, number: int) -> Iterator[tuple[str, bytes]]:
    """Yield good records, each with the value that it tells."""
    for nth in range(N_GOOD):
        seq = 1000 + 10 * number + nth
        value = f"good {log_id.hex()} {seq}"
        yield (
            value,
            encode(
                Transformation(seq, 0, 0, 10**18, 5000, encode_list([]), encode_list([value, nth]))
            ),
        )
    seq = 1000 + 10 * number + 9
    yield "", encode(Metric(seq, 0, 0, seq, 10**18, 0.5))


def _wrong(draw: Random) -> bytes:
    record = draw.choice(records())
    how: Callable[[Random, bytes], bytes] = draw.choice((_mutated, _mutated, _mutated, _changed))
    return how(draw, record) or b"\x90"


def _mutated(draw: Random, record: bytes, keep: int = 0) -> bytes:
    """Return a record some of whose fields are of another kind or out of range.

    Args:
        keep: Fields behind the tag that stay.
    """
    fields = msgpack.decode(record)
    for _ in range(draw.randint(1, 2)):
        at = draw.randrange(1 + keep, len(fields)) if len(fields) > 1 + keep else 0
        fields[at] = draw.choice(WRONG)
    made = msgpack.encode(fields)
    return made.replace(msgpack.encode("zu" * 16), NOT_UTF8)


def _changed(draw: Random, record: bytes) -> bytes:
    """Return a record with bytes that differ, are missing or too many."""
    data = bytearray(record)
    for _ in range(draw.randint(1, 3)):
        data[draw.randrange(len(data))] = draw.randrange(256)
    return bytes(data[: draw.choice((len(data), len(data), len(data) - 1))]) + draw.randbytes(
        draw.choice((0, 0, 1))
    )
