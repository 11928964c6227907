"""Ranks and daemons of different versions: an upgrade while jobs run costs no record.

The earlier version's side of the conversation is a recording (`tests/data/protocol-1`), over real
sockets; the newer one's is what this version may say one day.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
import zmq
from harness import TRANSFORMATIONS, Site, wait_until

from pllib import linked, managers, wire
from pllib.log import FORMAT_VERSION, Frame, frame_key, frame_of, unpack_frame
from pllib.project import update_endpoint
from pllib.records import AnyRecord, Transformation, encode
from sprov.daemonlogs import Reader
from tracker import handover, tables
from tracker.server import new_keys

RECORDING = json.loads(
    (Path(__file__).parents[1] / "data/protocol-1/conversation.json").read_text()
)
N_RECORDED = 150
WAIT_MS = 200_000

Parts = list[bytes]


def said_by(speaker: str) -> list[Parts]:
    return [
        [base64.b64decode(part) for part in message["parts"]]
        for message in RECORDING["messages"]
        if message["from"] == speaker
    ]


HELLO = said_by("rank")[0]
FRAMES = [parts[1] for parts in said_by("rank") if parts[0] == wire.FRAME]
WELCOME, ACK = said_by("tracker")
KEY = len(ACK[1]) // len(FRAMES)
"""Bytes of one, as the earlier rank reads them."""


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("protocol")) as site:
        site.serve()
        yield site


@pytest.fixture
def dealer(serving: Site) -> Iterator[zmq.Socket[bytes]]:
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.linger = 0
        socket.rcvtimeo = socket.sndtimeo = WAIT_MS
        endpoint = serving.endpoint
        socket.curve_serverkey = endpoint.server_public_key.encode()
        socket.curve_publickey = endpoint.client_public_key.encode()
        socket.curve_secretkey = endpoint.client_secret_key.encode()
        socket.connect(endpoint.tracker)
        yield socket


class TestTracker:
    """This version's tracker, and ranks of others."""

    def test_an_earlier_rank_is_taken_in(self, serving: Site, dealer: zmq.Socket[bytes]):
        dealer.send_multipart(HELLO)
        name, welcome = dealer.recv_multipart()
        assert name == wire.WELCOME
        assert shape(welcome)[: len(shape(WELCOME[1]))] == shape(WELCOME[1])
        acknowledged: set[bytes] = set()
        for frame in FRAMES:
            dealer.send_multipart([wire.FRAME, frame])
        while len(acknowledged) < len(FRAMES):
            name, keys = dealer.recv_multipart()
            assert name == wire.ACK
            acknowledged |= {keys[at : at + KEY] for at in range(0, len(keys), KEY)}
        assert acknowledged == {wire.pack_keys([frame_key(frame)]) for frame in FRAMES}
        assert serving.count(TRANSFORMATIONS) == N_RECORDED
        assert serving.verify()["agree"]

    def test_of_a_newer_rank_what_is_known_is_taken(self, serving: Site, dealer: zmq.Socket[bytes]):
        log_id = b"newer log".ljust(16, b".")
        hello = msgspec.msgpack.decode(HELLO[1])
        hello[1] = log_id
        dealer.send_multipart([wire.HELLO, msgspec.msgpack.encode([*hello, "of a newer version"])])
        assert dealer.recv_multipart()[0] == wire.WELCOME
        dealer.send_multipart([b"NOVELTY", b"that only newer trackers know", b""])
        dealer.send_multipart([wire.FRAME, newer_frame(log_id).pack()])
        assert dealer.recv_multipart() == [wire.ACK, wire.pack_keys([(log_id, 0)])]
        n_known = n_recorded_in(FRAMES[0])
        assert serving.count(TRANSFORMATIONS) == N_RECORDED + n_known
        status = json.loads(serving.sprov("status", "--format", "json"))["tracker"]
        assert status["refused_by"] == {"unknown message": 1}
        assert list(status["skipped_by"].values()) == [1]
        wait_until(lambda: "unknown message" in refusals(serving))

    def test_a_rank_of_a_newer_format_is_told(self, serving: Site, dealer: zmq.Socket[bytes]):
        hello = msgspec.msgpack.decode(HELLO[1])
        hello[0] = FORMAT_VERSION + 1
        dealer.send_multipart([wire.HELLO, msgspec.msgpack.encode(hello)])
        name, keys, reason = dealer.recv_multipart()
        assert (name, keys) == (wire.REFUSED, b"")
        assert reason == b"log format 2, this tracker takes 1"
        wait_until(lambda: "HELLO" in refusals(serving))


def test_a_batch_of_another_version_is_refused_and_waits(serving: Site):
    """The tracker tries again, until tracker and manager are of one version."""
    ask = partial(managers.request, serving.endpoint, timeout_s=WAIT_MS / 1000)
    asked = ask("GET", f"/v1/watermarks?journal={'0' * 32}")
    instance = msgspec.json.decode(asked.body)["instance"]
    batch = tables.Tables().batch("0" * 32, "1" * 32, [0])
    newer = linked.encode_batch(msgspec.structs.replace(batch, version=linked.WIRE_VERSION + 1))
    headers = {"Content-Type": "application/msgpack", "If-Match": f'"{instance}"'}
    reply = ask("POST", "/v1/provenance", newer, headers)
    assert reply.status == 409
    assert reply.status not in handover.FINAL
    assert "Restart tracker and manager" in msgspec.json.decode(reply.body)["hint"]


def newer_frame(log_id: bytes) -> Frame:
    """Return a recorded frame with a field more in each record, and a record of a new kind."""
    ours = [encode(record) for record in unpack_frame(FRAMES[0]).records()]
    longer = [msgspec.msgpack.encode([*msgspec.msgpack.decode(body), "new"]) for body in ours]
    return frame_of(log_id, 0, [*longer, msgspec.msgpack.encode([99, 10_000, "of a new kind"])])


def n_recorded_in(frame: bytes) -> int:
    return sum(isinstance(each, Transformation) for each in unpack_frame(frame).records())


def refusals(site: Site) -> set[str]:
    entries = Reader(site.project, None).read()
    return {entry["reason"] for entry in entries if entry["event"] == "messages refused"}


def shape(message: bytes) -> list[type]:
    """Return the kinds of a message's fields, in order."""
    return [type(field) for field in msgspec.msgpack.decode(message)]


Answer = Callable[[Parts], list[Parts]]
"""What a tracker says when it was told something."""


class Other:
    """A tracker of another version, as far as ranks can tell."""

    def __init__(self, site: Site, answer: Answer) -> None:
        keys, secret = new_keys()
        self.heard: list[Parts] = []
        self._answer = answer
        self._is_over = threading.Event()
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.linger = 0
        self._socket.curve_server = True
        self._socket.curve_secretkey = secret.encode()
        port = self._socket.bind_to_random_port("tcp://127.0.0.1")
        path = site.project.endpoint("local")
        update_endpoint(path, tracker=f"tcp://127.0.0.1:{port}", **keys)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._is_over.is_set():
            if self._socket.poll(50):
                sender, *parts = self._socket.recv_multipart()
                self.heard.append(parts)
                for answer in self._answer(parts):
                    self._socket.send_multipart([sender, *answer])

    def __enter__(self) -> Other:
        return self

    def __exit__(self, *raised: object) -> None:
        self._is_over.set()
        self._thread.join()
        self._context.destroy()


def as_recorded(parts: Parts) -> list[Parts]:
    """Answer as the recorded tracker did, with the keys of other frames."""
    if parts[0] == wire.HELLO:
        return [WELCOME]
    return [[ACK[0], wire.pack_keys([frame_key(parts[1])])]]


def as_newer(parts: Parts) -> list[Parts]:
    """Answer as a newer tracker may: more fields, and messages that nobody knows yet."""
    answers = as_recorded(parts)
    if parts[0] == wire.HELLO:
        fields = [*msgspec.msgpack.decode(WELCOME[1]), {"of": "a newer version"}]
        answers = [[wire.WELCOME, msgspec.msgpack.encode(fields)]]
    return [[b"NOVELTY", b"\x93", b"more"], *answers, [b"NOVELTY"]]


def as_older_format(parts: Parts) -> list[Parts]:
    return [[wire.REFUSED, b"", b"log format 1, this tracker takes 0"]] * (parts[0] == wire.HELLO)


class TestRank:
    """This version's ranks, and trackers of others."""

    @pytest.mark.parametrize("answer", [as_recorded, as_newer])
    def test_a_tracker_of_another_version_gets_everything(self, site: Site, answer: Answer):
        with Other(site, answer) as other:
            assert site.run("steps.py", "40", SPROV_CLOSE_TIMEOUT_S="200") == ""
        frames = {frame_key(parts[1]): parts[1] for parts in other.heard if parts[0] == wire.FRAME}
        assert sum(map(n_recorded_in, frames.values())) == 40
        assert list(site.project.spool.iterdir()) == []
        (hello, *_) = [parts for parts in other.heard if parts[0] == wire.HELLO]
        assert len(hello) == len(HELLO)
        assert shape(hello[1])[: len(shape(HELLO[1]))] == shape(HELLO[1])
        assert len(hello[1]) <= 1024, "the earlier tracker takes no longer one"

    def test_without_a_tracker_that_takes_its_format_a_rank_keeps_all(self, site: Site):
        with Other(site, as_older_format) as other:
            errors = site.run("steps.py", "40")
        assert not [parts for parts in other.heard if parts[0] == wire.FRAME]
        said = [line for line in errors.splitlines() if "log format 1" in line]
        assert len(said) == 1
        assert "this tracker takes 0" in said[0]
        site.project.endpoint("local").unlink()
        site.sprov("ingest")
        assert site.count(TRANSFORMATIONS) == 40


def test_records_are_read_by_earlier_versions():
    """Fields are added at the end alone, each with a default for logs that have none."""
    kinds: dict[str, Any] = {kind.__name__: kind for kind in get_args(AnyRecord)}
    for tag, (name, fields) in enumerate(RECORDING["records"].items()):
        now = kinds[name]
        assert now.__struct_config__.tag == tag, name
        assert list(now.__struct_fields__)[: len(fields)] == fields, name
        n_added = len(now.__struct_fields__) - len(fields)
        assert len(now.__struct_defaults__) >= n_added, name
