"""What can't be stored costs nothing else, and is said: in the graph, by status and by verify."""

from __future__ import annotations

import http.server
import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from harness import TRANSFORMATIONS, Site, wait_until

from pllib import linked, proofs
from pllib.log import Frame, LogWriter, Owner, frame_of, new_header
from pllib.managers import Caller
from pllib.project import Endpoint
from pllib.records import (
    ROOT,
    Closed,
    Context,
    Facts,
    Metric,
    Signature,
    Started,
    Transformation,
    encode,
)
from pllib.values import encode as encode_values
from sprov.indexing import open_writer
from tracker.dispatch import MAX_FAILURES, Dispatch
from tracker.handover import Handover
from tracker.journal import Journal
from tracker.workqueue import Due, WorkQueues

RUN, OTHER = "ab" * 16, "cd" * 16
NOBODY = Owner("elsewhere", "0" * 32, 1, 0.0)
N_FRAMES, PER_FRAME = 20, 5
OF_A_NEWER_KIND = msgspec.msgpack.encode([99, 7, "what a later version says"])
REASONS = {
    "Transformation: a number is out of range": 1,
    "Transformation: its frame does not define the signature": 1,
    "Metric: its frame does not define the signature": 2,
    "of a kind that this version does not know": 1,
    "can't be read": 1,
}


def context(run: str = RUN) -> bytes:
    return encode(
        Context(
            run=run, restart=0, rank=0, size=1, host="node1", pid=1, user="ada", program="t.py",
            project="p", workflow="w", opened_ns=10**18,
        )
    )  # fmt: skip


def step(seq: int, value: str, duration_ns: int = 5000, signature: int = 0) -> bytes:
    return encode(
        Transformation(
            seq, 0, signature, 10**18, duration_ns, encode_values([]), encode_values([value])
        )
    )


def frame(log_id: bytes, number: int, *others: bytes) -> Frame:
    first = number * 100 + 1
    steps = [step(first + n, f"value {n} of frame {number}") for n in range(PER_FRAME)]
    signature = encode(Signature(0, "transformation", "step", (), ("made",)))
    return frame_of(log_id, number, [context(), signature, *steps, *others])


def frames(log_id: bytes) -> list[Frame]:
    """Return good frames, of which two also have what can't be stored."""
    wrong: dict[int, list[bytes]] = {
        3: [step(391, "late", 1 << 63), step(392, "of what?", signature=9), OF_A_NEWER_KIND],
        7: [
            encode(Metric(791, 0, 9, None, 10**18, 0.5, None)),
            encode(Metric(792, 0, 9, None, 10**18, 0.5, None)),
            msgspec.msgpack.encode([2, "no number"]),
        ],
    }
    wrong[0] = [
        encode(Signature(1, "run", "w")), encode(Started(1000, 0, ROOT, 1, 10**18, "run:w::0"))
    ]  # fmt: skip
    n_records = N_FRAMES * PER_FRAME + sum(REASONS.values()) + 2
    wrong[N_FRAMES - 1] = [encode(Closed(99_999, n_records, {}, 2 * 10**18))]
    return [frame(log_id, number, *wrong.get(number, [])) for number in range(N_FRAMES)]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    header = new_header(NOBODY)
    writer = LogWriter(tmp_path / "hostile.log", header)
    writer.append([each.pack() for each in frames(header.log_id)])
    writer.sync()
    writer.close()
    return writer.path


@pytest.mark.parametrize("served", [True, False])
def test_skipped_records_are_counted_by_reason_and_cost_no_other(site: Site, log: Path, served):
    if served:
        site.serve()
    said = subprocess.run(
        site.command("ingest", str(log)), cwd=site.folder, env=site.environment(), text=True,
        capture_output=True, check=True,
    ).stderr  # fmt: skip
    assert served or "1 record(s) are journalled and can't be stored: can't be read" in said

    assert site.count(TRANSFORMATIONS) == N_FRAMES * PER_FRAME
    status = json.loads(site.sprov("status", "--format", "json"))
    assert status["skipped_by"] == REASONS
    if served:
        assert status["tracker"]["skipped_by"] == REASONS
        assert status["tracker"]["handed_over"] == N_FRAMES * PER_FRAME + 2
        assert status["tracker"]["trouble"] == ""
    assert "1 record(s) are journalled and can't be stored: can't be read" in site.sprov("status")
    (run,) = json.loads(site.sprov("runs", "--format", "json"))
    shown = json.loads(site.sprov("show", run["run"], "--format", "json"))
    assert {row["reason"]: row["records"] for row in shown["skipped"]} == REASONS
    assert "journalled but not in the graph" in site.sprov("show", run["run"])
    exported = site.sprov("export", run["run"], "--format", "turtle", "-o", "-")
    assert all(reason in exported for reason in REASONS)
    assert_verify_says(site, {f"can't be stored: {reason}" for reason in REASONS})


def assert_verify_says(site: Site, parts: set[str]) -> None:
    """Check that verify fails, and that each of its problems is one of these."""
    found = failed_verify(site)
    assert len(found["problems"]) == len(parts), found["problems"]
    for part in parts:
        assert any(part in problem for problem in found["problems"]), (part, found["problems"])


def failed_verify(site: Site) -> dict[str, Any]:
    command = site.command("verify", "--format", "json")
    done = subprocess.run(
        command, cwd=site.folder, env=site.environment(), text=True, capture_output=True,
        timeout=site.timeout_s, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    assert not found["agree"]
    return dict(found)


class Choosy(http.server.BaseHTTPRequestHandler):
    """A manager that takes any batch without a certain value, and refuses the others."""

    protocol_version = "HTTP/1.1"  # else each connection ends with the proof
    taken: list[linked.Batch]
    answers: Callable[[linked.Batch], int] = staticmethod(lambda batch: 400)
    """With which status a batch is refused that has the value."""

    @staticmethod
    def minds(values: list[str]) -> bool:
        return "value 2 of frame 11" in values

    def do_GET(self) -> None:
        nonce = self.path.partition("nonce=")[2]
        url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self._answer(200, b'{"proof": "%s"}' % proofs.prove("t", nonce, url).encode())

    def do_POST(self) -> None:
        batch = linked.decode_batch(self.rfile.read(int(self.headers["Content-Length"])))
        values = [value.lexical for each in batch.activities for value in each.generated]
        status = self.answers(batch) if self.minds(values) else 202
        if status != 202:
            self._answer(status, b'{"error": "value 2 of frame 11 is not to my taste", "hint": ""}')
        else:
            self.taken.append(batch)
            self._answer(202, b'{"instance": "", "committed": null}')

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def handler() -> type[Choosy]:
    return type("Handler", (Choosy,), {"taken": []})


@pytest.fixture
def choosy(handler: type[Choosy]) -> Iterator[tuple[Endpoint, list[linked.Batch]]]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Endpoint(manager=f"http://127.0.0.1:{server.server_port}", token="t"), handler.taken
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_refused_batch_is_halved_down_to_the_frame_which_is_named(site: Site, choosy):
    endpoint, taken = choosy
    log_id = bytes(16)
    journal = Journal(site.project.journal / "local")
    packed = [each.pack() for each in frames(log_id) if each.number not in (3, 7)]
    numbers = [number for number in range(N_FRAMES) if number not in (3, 7)]
    journal.append([((log_id, n), data) for n, data in zip(numbers, packed, strict=True)])
    due = Due(RUN, list(enumerate(frame(log_id, n) for n in numbers)))

    handover = Handover(lambda: endpoint)
    dispatch = Dispatch(handover, journal.identity)
    dispatch.send(due)
    dispatch.send(due._replace(frames=due.frames[9:10]))  # again, as after the manager restarts
    taken.pop()
    handover.close()

    journal.close()
    assert [each.frame for each in dispatch.refused] == [11]
    assert (dispatch.n_refused, sum(dispatch.skipped.values())) == (1, PER_FRAME)
    assert handover.trouble == ""
    ordinals = [(batch.first, batch.last) for batch in taken]
    assert [first for first, _ in ordinals] == [0, *(last + 1 for _, last in ordinals[:-1])]
    with open_writer(site.project.store, site.project.series, site.project.snapshots) as writer:
        for batch in taken:
            writer.submit_waiting(batch)
    assert site.count(TRANSFORMATIONS) == (N_FRAMES - 3) * PER_FRAME
    reason = "frame refused: value 2 of frame 11 is not to my taste"
    status = json.loads(site.sprov("status", "--format", "json"))
    assert status["skipped_by"] == {reason: PER_FRAME}
    assert status["refused_frames"] == [
        {"log_id": log_id.hex(), "frame": 11, "run": RUN, "reason": reason.partition(": ")[2]}
    ]
    assert f"frame 11 of log {log_id.hex()}, run {RUN[:8]}: value 2" in site.sprov("status")
    found = failed_verify(site)
    (named,) = [line for line in found["problems"] if "was refused" in line]
    assert f"frame 11 of log {log_id.hex()}, run {RUN[:8]}" in named
    assert "value 2 of frame 11 is not to my taste" in named


def test_nothing_is_handed_over_beyond_a_refused_frame_that_the_store_is_not_told_of(choosy):
    """Its watermark would say that the store has the frame, or a word about it."""
    endpoint, taken = choosy
    n_asked = 0

    def find_manager() -> Endpoint | None:
        nonlocal n_asked
        n_asked += 1
        if n_asked == 3:  # after the batch and the frame were refused
            handover.stop()
            return None
        return endpoint

    handover = Handover(find_manager)
    dispatch = Dispatch(handover, "0" * 32)
    log_id = bytes(16)
    assert dispatch.send(Due(RUN, [(n, frame(log_id, n)) for n in (11, 12)])).taken == []
    handover.close()
    assert (n_asked, taken, dispatch.n_refused) == (3, [], 0)


@pytest.mark.parametrize("n_failures", [2, 1000])
def test_a_batch_that_the_manager_fails_on_stops_no_other_run(
    choosy, handler: type[Choosy], monkeypatch: pytest.MonkeyPatch, n_failures: int
):
    """It is tried again, and set aside, down to the frame, when the manager has failed so often."""
    monkeypatch.setattr("tracker.dispatch.FIRST_PAUSE_S", 0.0)
    endpoint, taken = choosy
    fails = iter([500] * n_failures)
    handler.answers = staticmethod(lambda batch: next(fails, 202))
    handover = Handover(lambda: endpoint)
    dispatch, queues = Dispatch(handover, "0" * 32), WorkQueues()
    for ordinal in range(N_FRAMES):
        queues.put(ordinal, frame(bytes(16), ordinal), {})
    queues.put(N_FRAMES, frame_of(bytes([1]) * 16, 0, [context(OTHER), encode(Facts(1, {}))]), {})
    told = []
    while (due := queues.take_frames(all_ages=True)) is not None:
        sent = dispatch.send(due)
        told.append(dispatch.trouble)
        if sent.left:
            queues.put_back(due.run, sent.left, sent.pause_s)
    handover.close()

    assert told[0] == f"run {RUN[:8]} waits: HTTP 500: value 2 of frame 11 is not to my taste"
    assert (told[-1], queues.n_records) == ("", 0)
    assert taken[0].queue == OTHER
    of_run = [(batch.first, batch.last) for batch in taken if batch.queue == RUN]
    assert [first for first, _ in of_run] == [0, *(last + 1 for _, last in of_run[:-1])]
    assert of_run[-1][1] == N_FRAMES - 1
    refused = [each.frame for each in dispatch.refused]
    assert (refused, len(of_run) > 1) == (([], False) if n_failures == 2 else ([11], True))
    assert sum(dispatch.skipped.values()) == PER_FRAME * len(refused)


def test_a_frame_is_not_set_aside_while_the_manager_fails_on_the_word_of_it_too(
    choosy, handler: type[Choosy], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("tracker.dispatch.FIRST_PAUSE_S", 0.0)
    handler.minds = staticmethod(lambda values: True)
    handler.answers = staticmethod(lambda batch: 500)
    endpoint, taken = choosy
    handover = Handover(lambda: endpoint)
    dispatch = Dispatch(handover, "0" * 32)
    frames = [(n, frame(bytes(16), n)) for n in (11, 12)]
    for _ in range(2 * MAX_FAILURES):
        sent = dispatch.send(Due(RUN, frames))
        assert list(sent.left) == frames
    handover.close()
    assert (taken, dispatch.n_refused) == ([], 0)
    assert dispatch.trouble


def test_a_manager_of_another_version_is_waited_for(site: Site):
    """It would refuse all that there is, and each frame would be set aside."""
    site.serve()
    with_manager = wait_until(lambda: site.endpoint.manager and site.endpoint)
    batch = msgspec.msgpack.encode([99, *["?"] * 30])
    caller = Caller(10.0)
    marks = caller.request(with_manager, "GET", f"/v1/watermarks?journal={'0' * 32}", None, {})
    instance = json.loads(marks.body)["instance"]
    answer = caller.request(
        with_manager, "POST", "/v1/provenance", batch, {"If-Match": f'"{instance}"'}
    )
    caller.close()

    assert answer.status == 409
    assert "version 99" in answer.body.decode()
