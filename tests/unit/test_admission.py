"""What the tracker takes from a peer and what not, each refusal by its reason."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zmq
from harness import wait_until

from pllib import wire
from pllib.frame import FRAME_BYTES, MAX_PAYLOAD_BYTES, Frame, frame_of
from pllib.listening import Listening, parse
from pllib.log import FORMAT_VERSION
from pllib.project import Endpoint
from pllib.records import Context, Facts, encode
from tracker import admission
from tracker.admission import SILENT_S, Admission, RefusedError, StrangerError, survey
from tracker.journal import Journal, read_journal
from tracker.server import Server, new_keys

LOG, OTHER_LOG = b"a" * 16, b"b" * 16
RUN, OTHER_RUN = "1" * 32, "2" * 32
RANK = b"\0rank"
NOW = 1000.0


def hello(log_id: bytes = LOG, run: str = RUN, host: str = "host", version: int = 0) -> bytes:
    made = wire.Hello(version or FORMAT_VERSION, log_id, run, 3, host, 1, 0)
    return msgspec.msgpack.encode(made)


def frame(log_id: bytes = LOG, number: int = 0, run: str = RUN) -> bytes:
    context = Context(run, 0, 3, 4, "host", 1, "user", "program", "project", "workflow", 1)
    return frame_of(log_id, number, [encode(context), encode(Facts(0, {}))]).pack()


@pytest.fixture
def admitting() -> Admission:
    """A rank of log and run has said HELLO."""
    made = Admission()
    assert made.bind(RANK, hello(), NOW) == ""
    return made


def refusal(admitting: Admission, data: bytes, sender: bytes = RANK) -> tuple[str, Any]:
    with pytest.raises(RefusedError) as refused:
        admitting.check(sender, data, NOW)
    return refused.value.reason, refused.value.key


def test_a_rank_brings_frames_of_its_log(admitting: Admission):
    assert [admitting.check(RANK, frame(number=n), NOW) for n in (0, 7)] == [(LOG, 0), (LOG, 7)]


def test_frames_before_a_hello_are_a_strangers():
    admitting = Admission()
    for _ in range(2):
        with pytest.raises(StrangerError):
            admitting.check(RANK, frame(), NOW)
    assert [admitting.is_due(RANK, at) for at in (NOW, NOW + 0.5, NOW + 1.5)] == [True, False, True]


def test_a_frame_of_another_log_is_refused(admitting: Admission):
    assert refusal(admitting, frame(OTHER_LOG)) == ("another log", (OTHER_LOG, 0))


def test_a_frame_of_another_run_is_refused(admitting: Admission):
    admitting.check(RANK, frame(), NOW)
    assert refusal(admitting, frame(number=1, run=OTHER_RUN)) == ("another run", (LOG, 1))


@pytest.mark.parametrize(
    "records", [[], [encode(Facts(0, {}))], [b"\xff"], [b"\xc1junk"], [encode((0, "no run"))]]
)
def test_a_frame_that_does_not_begin_with_a_context_is_refused(
    admitting: Admission, records: list[bytes]
):
    assert refusal(admitting, frame_of(LOG, 0, records).pack()) == ("no context", (LOG, 0))


def test_a_frame_that_says_more_records_than_it_has_is_refused(admitting: Admission):
    made = frame_of(LOG, 5, [frame()])
    counted = Frame(LOG, 5, 2, made.payload).pack()
    assert refusal(admitting, counted) == ("fewer records than it says", (LOG, 5))


@pytest.mark.parametrize("spoiled", [lambda data: data[:-1], lambda data: data + b"more"])
def test_a_torn_frame_and_one_with_something_behind_it_are_refused(
    admitting: Admission, spoiled: Any
):
    assert refusal(admitting, spoiled(frame())) == ("corrupt", (LOG, 0))


def test_a_changed_frame_is_refused(admitting: Admission):
    data = bytearray(frame())
    data[-1] ^= 1
    assert refusal(admitting, bytes(data)) == ("corrupt", (LOG, 0))
    assert refusal(admitting, b"short") == ("corrupt", None)


def test_a_frame_that_is_too_large_is_refused(admitting: Admission):
    data = frame()[:FRAME_BYTES] + bytes(MAX_PAYLOAD_BYTES + 1)
    assert refusal(admitting, data) == ("oversized", (LOG, 0))


def test_a_collector_brings_any_log_and_each_is_bound_to_its_first_run():
    admitting = Admission()
    assert admitting.bind(RANK, hello(wire.NO_LOG, ""), NOW) == ""
    admitting.check(RANK, frame(LOG), NOW)
    admitting.check(RANK, frame(OTHER_LOG, run=OTHER_RUN), NOW)
    assert refusal(admitting, frame(LOG, 1, OTHER_RUN)) == ("another run", (LOG, 1))
    assert admitting.ranks() == []


def test_a_hello_for_a_log_of_another_run_is_refused(admitting: Admission):
    assert "another run" in admitting.bind(b"\0next", hello(run=OTHER_RUN), NOW)


def test_a_hello_of_another_log_format_is_refused():
    assert "log format 99" in Admission().bind(RANK, hello(version=99), NOW)


@pytest.mark.parametrize(
    "data", [b"", b"\xc1", b"\x97\xff", hello(b"short"), hello(run="x"), hello(run="G" * 32)]
)
def test_what_is_no_hello_is_refused(data: bytes):
    with pytest.raises(RefusedError, match="malformed"):
        Admission().bind(RANK, data, NOW)


def test_a_hello_that_is_too_long_is_refused():
    with pytest.raises(RefusedError, match="oversized"):
        Admission().bind(RANK, hello(host="h" * 300), NOW)


def test_who_asks_too_often_is_refused_until_time_has_passed(admitting: Admission):
    for _ in range(19):
        admitting.ask(RANK, "STATUS", NOW)
    with pytest.raises(RefusedError, match="too many STATUS"):
        admitting.ask(RANK, "STATUS", NOW)
    admitting.ask(RANK, "STATUS", NOW + 1.0)


def test_who_sends_too_much_that_is_wrong_is_ignored(admitting: Admission):
    for _ in range(admission.MAX_BAD):
        assert admitting.may_speak(RANK)
        admitting.refuse(RANK, "corrupt", NOW)
    assert not admitting.may_speak(RANK)
    assert admitting.may_speak(b"\0next")
    assert admitting.refused_by == {"corrupt": admission.MAX_BAD, "ignored": 1}


def test_a_rank_that_connects_again_is_one_peer(admitting: Admission):
    for nth in range(1000):
        admitting.bind(b"%05d" % nth, hello(), NOW)
    assert len(admitting.peers) == 1
    assert [peer.rank for peer in admitting.ranks()] == [3]


def test_peers_and_logs_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(admission, "MAX_PEERS", 20)
    monkeypatch.setattr(admission, "MAX_LOGS", 20)
    admitting = Admission()
    for nth in range(200):
        admitting.bind(b"%05d" % nth, hello(b"%016d" % nth), NOW + nth)
    assert len(admitting.peers) <= 20
    assert len(admitting._runs) <= 20
    assert set(admitting._connections.values()) <= set(admitting.peers)
    assert b"00199" in admitting.peers


def test_a_silent_peer_is_asked_once_in_a_while_whether_it_is_there(admitting: Admission):
    assert admitting.silent(NOW + SILENT_S - 1) == []
    assert admitting.silent(NOW + SILENT_S + 1) == [RANK]
    assert admitting.silent(NOW + SILENT_S + 2) == []
    assert admitting.silent(NOW + 2 * SILENT_S + 3) == [RANK]


def test_the_survey_counts_whole_records_and_returns_the_first():
    payload = frame_of(LOG, 0, [b"one", b"second", b"3"]).payload
    assert survey(payload) == (b"one", 3)
    assert survey(payload + bytes(64)) == (b"one", 3)
    assert survey(payload[:-4]) == (b"one", 2)
    assert survey(payload + b"\xff\xff\xff\x7f") == (b"one", 3)
    assert survey(b"") == (b"", 0)


class Served:
    """A server over a real journal, and its clients."""

    def __init__(self, folder: Path, listening: Listening) -> None:
        fields, secret = new_keys()
        self.folder = folder / "journal"
        self.journal = Journal(self.folder)
        self.server = Server(self.journal, Endpoint(**fields), secret, listening)
        self.endpoint = Endpoint(tracker=self.server.url, **fields)
        self._stopping = threading.Event()
        self._context = zmq.Context()
        self._thread = threading.Thread(
            target=self.server.serve, args=(self._stopping.is_set, lambda: {"answers": True})
        )
        self._thread.start()

    def client(self) -> zmq.Socket[bytes]:
        made = self._context.socket(zmq.DEALER)
        made.linger = 0
        made.rcvtimeo = 20_000
        if self.endpoint.tracker.startswith("tcp:"):
            made.curve_serverkey = self.endpoint.server_public_key.encode()
            made.curve_publickey = self.endpoint.client_public_key.encode()
            made.curve_secretkey = self.endpoint.client_secret_key.encode()
        made.connect(self.endpoint.tracker)
        return made

    def stop(self) -> list[tuple[bytes, int]]:
        """End; return what is journalled."""
        if self._thread.is_alive():
            self._context.destroy(linger=0)
            self._stopping.set()
            self._thread.join()
            self.server.close()
            self.journal.close()
        return [(frame.log_id, frame.number) for _, frame in read_journal(self.folder)]


@pytest.fixture(params=["tcp", "unix"])
def served(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Served]:
    bind = "127.0.0.1" if request.param == "tcp" else f"unix:{tmp_path}/s"
    made = Served(tmp_path, parse(bind))
    yield made
    made.stop()


def test_the_server_answers_each_refusal_and_journals_nothing_of_it(served: Served):
    rank = served.client()
    rank.send_multipart([wire.FRAME, frame()])
    assert rank.recv_multipart() == [wire.HELLO]
    rank.send_multipart([wire.HELLO, hello()])
    assert rank.recv_multipart()[0] == wire.WELCOME
    rank.send_multipart([wire.FRAME, frame(OTHER_LOG)])
    rejected = [wire.REJECTED, wire.pack_keys([(OTHER_LOG, 0)]), b"another log"]
    assert rank.recv_multipart() == rejected
    for parts in ([b"NOISE"], [wire.FRAME], [wire.FRAME, frame(), b"more"], [b""], [wire.ACK, b""]):
        rank.send_multipart(parts)
    rank.send_multipart([wire.FRAME, frame()])
    assert rank.recv_multipart() == [wire.ACK, wire.pack_keys([(LOG, 0)])]
    rank.send_multipart([wire.FRAME, frame()])
    assert rank.recv_multipart() == [wire.ACK, wire.pack_keys([(LOG, 0)])]
    rank.send_multipart([wire.STATUS])
    assert rank.recv_multipart() == [wire.STATUS, b'{"answers":true}']
    once = ("before HELLO", "another log", "unknown message")
    assert served.server.refused_by == {**dict.fromkeys(once, 1), "malformed": 4}
    assert served.server.duplicates == 1
    assert served.stop() == [(LOG, 0)]


def test_a_message_over_the_limit_ends_its_connection_and_no_other(served: Served):
    rank, other = served.client(), served.client()
    for client, log_id in ((rank, LOG), (other, OTHER_LOG)):
        client.send_multipart([wire.HELLO, hello(log_id)])
        assert client.recv_multipart()[0] == wire.WELCOME
    rank.send_multipart([wire.FRAME, bytes(MAX_PAYLOAD_BYTES + 4096)])
    other.send_multipart([wire.FRAME, frame(OTHER_LOG)])
    assert other.recv_multipart()[0] == wire.ACK
    wait_until(lambda: _is_welcomed(rank))
    wait_until(lambda: served.server.gate.n_admitted == 3)  # the monitor tells it a moment later
    assert served.stop() == [(OTHER_LOG, 0)]


def _is_welcomed(client: zmq.Socket[bytes]) -> bool:
    client.send_multipart([wire.HELLO, hello()])
    return bool(client.poll(500)) and client.recv_multipart()[0] == wire.WELCOME
