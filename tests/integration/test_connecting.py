"""Ranks and commands that look for a tracker: whom they trust, what they say, where records go."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import zmq
from harness import TIMEOUT_S, TRANSFORMATIONS, Site, wait_until

import pllib
from pllib import wire
from pllib.delivery import ask_status, deliver
from pllib.errors import LogError, UnavailableError
from pllib.log import LogReader, frame_of
from pllib.project import Endpoint, read_endpoint, update_endpoint
from pllib.records import Transformation
from tracker.server import new_keys

SAID_WITHIN_S = 2.0


def steps(count: int) -> None:
    for n in range(count):
        with pllib.current().transformation("step", used={"n": n}):
            pass


def kept(spool: Path) -> int:
    """Return how many transformations the packed logs of a project hold."""
    found = 0
    for path in spool.glob("*.log"):
        with LogReader(path) as reader:
            for located in reader.frames():
                found += sum(isinstance(r, Transformation) for r in located.frame.records())
    return found


@pytest.fixture
def here(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A project that this process opens sessions in."""
    monkeypatch.setenv("SPROV_DIR", str(site.project.root))
    return site


def with_wrong_key(site: Site, *fields: str) -> Path:
    """Return an endpoint file that has these keys of another tracker's."""
    others, _ = new_keys()
    path = site.folder / "wrong.json"
    path.write_bytes(msgspec.json.encode(site.endpoint))
    update_endpoint(path, **{field: others[field] for field in fields})
    return path


WRONG = [("client_public_key", "client_secret_key"), ("server_public_key",)]


@pytest.mark.parametrize("fields", WRONG)
def test_a_wrong_key_is_said_and_costs_no_record(here: Site, fields, monkeypatch, capsys):
    """It is told once, and what was captured is in the project for `sprov ingest`."""
    here.serve()
    monkeypatch.setenv("SPROV_ENDPOINT", str(with_wrong_key(here, *fields)))
    with pllib.open() as session:
        steps(10)
        said = []

        def is_said() -> bool:
            said.append(capsys.readouterr().err)
            return "does not take our key" in said[-1]

        wait_until(is_said)
        wait_until(lambda: kept(here.project.spool) == 10)
        steps(5)
    said.append(capsys.readouterr().err)
    assert "".join(said).count("does not take our key") == 1
    assert not session.lost
    assert kept(here.project.spool) == 15
    with pytest.raises(UnavailableError, match="does not take our key"):
        ask_status(read_endpoint(Path(os.environ["SPROV_ENDPOINT"])), SAID_WITHIN_S)
    assert "does not take our key" in here.sprov("ingest", status=4)
    assert "does not take our key" in here.sprov("status")
    monkeypatch.delenv("SPROV_ENDPOINT")
    here.sprov("ingest")
    assert here.count(TRANSFORMATIONS) == 15
    here.verify()


def test_a_tracker_that_comes_later_is_found(site: Site):
    """It is said once that there was none; what was captured until then is there for `ingest`."""
    enough = site.folder / "enough"
    rank = site.start("timed_steps.py", str(enough), "0.01")
    wait_until(lambda: kept(site.project.spool))
    site.serve()
    wait_until(lambda: ask_status(site.endpoint)["frames"])
    enough.touch()
    out, errors = rank.communicate(timeout=TIMEOUT_S)
    assert errors.count("no tracker found") == 1
    site.sprov("ingest")
    assert site.count(TRANSFORMATIONS) == json.loads(out)["captured"]
    site.verify()


def test_a_tracker_whose_folder_others_may_enter_is_not_spoken_to(here: Site, capsys):
    folder = here.folder / "open"
    folder.mkdir(mode=0o755)
    path = here.project.endpoints / "local.json"
    path.write_bytes(msgspec.json.encode(Endpoint(tracker=f"ipc://{folder}/tracker.sock")))
    with pllib.open():
        steps(3)
    assert "nobody else may enter" in capsys.readouterr().err
    assert kept(here.project.spool) == 3
    with pytest.raises(UnavailableError, match="nobody else may enter"):
        ask_status(read_endpoint(path))


class Tracker:
    """A tracker in a private folder that says what a test has it say."""

    def __init__(self, site: Site) -> None:
        folder = site.folder / "private"
        folder.mkdir(mode=0o700)
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.ROUTER)
        self.socket.linger = 0
        self.socket.bind(f"ipc://{folder}/tracker.sock")
        self.endpoint = Endpoint(tracker=f"ipc://{folder}/tracker.sock")
        path = site.project.endpoints / "local.json"
        path.write_bytes(msgspec.json.encode(self.endpoint))

    def hear(self, name: bytes) -> list[bytes]:
        """Return the next message of a name, sender first."""
        while True:
            assert self.socket.poll(20_000), f"no {name!r}"
            parts = self.socket.recv_multipart()
            if parts[1] == name:
                return parts

    def welcome(self) -> bytes:
        sender = self.hear(wire.HELLO)[0]
        welcome = wire.Welcome(1, "journal", time.time_ns())
        self.socket.send_multipart([sender, wire.WELCOME, msgspec.msgpack.encode(welcome)])
        return sender

    def close(self) -> None:
        self.socket.close()
        self.context.term()


@pytest.fixture
def tracker(here: Site) -> Iterator[Tracker]:
    made = Tracker(here)
    yield made
    made.close()


KEY = bytes(24)
GARBAGE = [
    [b""],
    [b"WELCOME"],
    [b"WELCOME", b"\xc1"],
    [b"WELCOME", b"\x93\x01\xa1\xff\x00"],
    [b"ACK"],
    [b"ACK", b"short"],
    [b"ACK", KEY * 3],
    [b"REFUSED"],
    [b"REFUSED", KEY, b"\xff\xfe"],
    [b"REJECTED", b"12345"],
    [b"REJECTED", KEY],
    [b"NO SUCH WORD", b"x" * 100_000],
    [b"HELLO", b"", b"", b""],
]


def test_garbage_from_a_tracker_stops_nothing(here: Site, tracker: Tracker, capsys):
    with pllib.open(settings={"flush_age_s": 0.05}) as session:
        steps(10)
        sender = tracker.welcome()
        for parts in GARBAGE:
            tracker.socket.send_multipart([sender, *parts])
        tracker.welcome()
        frame = tracker.hear(wire.FRAME)[2]
        session.close(timeout_s=0.2)
    assert frame[32:48] == session.log_id
    assert not session.lost
    assert kept(here.project.spool) == 10
    assert "Traceback" not in capsys.readouterr().err


def test_what_a_tracker_will_never_take_is_counted_and_not_sent_again(
    here: Site, tracker: Tracker, capsys
):
    with pllib.open(settings={"flush_age_s": 0.05}) as session:
        steps(10)
        tracker.welcome()
        sender, _, frame = tracker.hear(wire.FRAME)
        key = frame[32:48] + frame[24:32]
        tracker.socket.send_multipart([sender, wire.REJECTED, key, b"another run's"])
        wait_until(lambda: session.lost)
        assert not session._sender.unacked
        session.close(timeout_s=0.2)
    assert session.lost == {"the tracker rejects: another run's": 11}  # and the run's start
    assert kept(here.project.spool) == 0
    errors = capsys.readouterr().err
    assert errors.count("another run's; records that can't be kept are counted") == 1
    assert errors.count("11 records were not kept: the tracker rejects: another run's (11)") == 1


def test_a_log_that_the_tracker_does_not_take_goes_to_the_project(
    here: Site, tracker: Tracker, capsys
):
    with pllib.open(settings={"flush_age_s": 0.05}) as session:
        steps(10)
        sender = tracker.hear(wire.HELLO)[0]
        tracker.socket.send_multipart([sender, wire.REFUSED, b"", b"log format 1"])
        wait_until(lambda: kept(here.project.spool) == 10)
        wait_until(lambda: not session._sender.unacked)  # a moment after it is written
    assert capsys.readouterr().err.count("does not take this log: log format 1") == 1


def test_a_collector_hands_over_the_rest_of_a_log_and_says_what_was_rejected(tracker: Tracker):
    frames = [frame_of(bytes(15) + b"1", n, [b"\x91\x00"]).pack() for n in range(3)]
    delivering = deliver(tracker.endpoint, frames)
    errors: list[BaseException] = []
    taken: list[int] = []

    def run() -> None:
        try:
            taken.extend(delivering)
        except LogError as exc:
            errors.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    tracker.welcome()
    for word in (wire.ACK, wire.REJECTED, wire.ACK):
        sender, _, frame = tracker.hear(wire.FRAME)
        tracker.socket.send_multipart([sender, word, frame[32:48] + frame[24:32], b"bound"])
    thread.join(20)
    assert taken == [1, 2]
    assert "1 frame(s): bound" in str(errors[0])
