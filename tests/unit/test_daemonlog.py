"""What daemons log: whole lines, no secrets, in nobody's way, and what is missing is told."""

from __future__ import annotations

import json
import logging
import threading
from datetime import datetime
from pathlib import Path

import pytest
from harness import wait_until

from pllib import daemonlog
from pllib.changes import COUNT_EVERY_S, TROUBLE_EVERY_S, Changes
from pllib.daemonlog import LogFile, logging_to, note, warn
from pllib.errors import UnavailableError
from pllib.project import Project
from pllib.settings import Serving
from sprov.daemonlogs import Reader, in_words

HOSTILE = 'two\nlines \x1b[2J\x07 \x9b "quoted" \ud800 é'


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / ".sprov").create()


def lines_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_an_event_is_one_line_of_ascii_with_a_time_and_its_zone(project: Project):
    with logging_to(project, "local", "tracker", Serving()):
        note("client connected", host=HOSTILE, pid=7, settings={"ports": "1-2"})
        logging.getLogger("asyncio").error("of a library: %s", HOSTILE)
    path = project.logs / "local" / "tracker.jsonl"
    assert path.read_bytes().isascii()
    assert b"\x1b" not in path.read_bytes()
    ours, library = lines_of(path)
    assert list(ours)[:5] == ["at", "level", "daemon", "pid", "event"]
    assert datetime.fromisoformat(str(ours["at"])).utcoffset() is not None
    assert (ours["level"], ours["daemon"], ours["event"]) == ("info", "tracker", "client connected")
    assert ours["pid"] != 7, "a fact must not stand in for what every line has"
    assert str(ours["host"]).startswith("two\nlines \x1b[2J")
    assert (library["level"], library["logger"]) == ("error", "asyncio")
    shown = in_words({**ours, "endpoint": "local"})
    assert shown.isprintable()
    assert "settings.ports=1-2" in shown


def test_no_secret_is_in_a_line_and_only_the_owner_reads_it(project: Project):
    with logging_to(project, "local", "manager", Serving()):
        warn("trouble", reason="http://ada:hunter2@node1/ did not answer")
    path = project.logs / "local" / "manager.jsonl"
    assert "hunter2" not in path.read_text()
    assert "[redacted:" in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_level_leaves_out_what_is_below(project: Project):
    with logging_to(project, "local", "tracker", Serving(log_level="warning")):
        note("left out")
        warn("kept")
    with logging_to(project, "local", "serve", Serving(log_level="off")):
        warn("left out")
    assert [line["event"] for line in lines_of(project.logs / "local/tracker.jsonl")] == ["kept"]
    assert not (project.logs / "local/serve.jsonl").exists()


def test_an_error_that_ends_a_daemon_is_its_last_line(project: Project):
    for raised in (UnavailableError("the port is in use"), KeyError("nobody foresaw it")):
        with (
            pytest.raises(type(raised)),
            logging_to(project, "local", "tracker", Serving()),
        ):
            raise raised
    ours, fault = lines_of(project.logs / "local/tracker.jsonl")
    assert (ours["level"], "traceback" in ours) == ("error", False)
    assert "the port is in use" in str(ours["error"])
    assert "test_daemonlog.py" in str(fault["traceback"])


def test_files_are_turned_over_and_read_in_order(project: Project, monkeypatch):
    monkeypatch.setattr(daemonlog, "FILE_BYTES", 2000)
    monkeypatch.setattr(daemonlog, "AT_ONCE", 1)
    path = project.logs / "local" / "tracker.jsonl"
    reader = Reader(project, None)
    read: list[int] = []

    def read_up_to(last: int) -> None:
        wait_until(lambda: read.extend(e["nth"] for e in reader.read()) or read[-1:] == [last])

    with logging_to(project, "local", "tracker", Serving()):
        for nth in range(120):
            note("event", nth=nth)
            if nth % 20 == 19:
                read_up_to(nth)
    assert read == list(range(120)), "a reader goes on across files that are turned over"
    names = sorted(each.name for each in path.parent.iterdir())
    assert names == ["tracker.jsonl", *(f"tracker.jsonl.{n}" for n in range(1, 5))]
    assert all(each.stat().st_size < 3000 for each in path.parent.iterdir())
    kept = [entry["nth"] for entry in Reader(project, "local").read()]
    assert kept == list(range(kept[0], 120)), "the oldest go, and no others"


def test_what_the_disk_does_not_take_is_counted_in_the_next_line(tmp_path: Path):
    path = tmp_path / "logs" / "local" / "tracker.jsonl"
    path.parent.parent.write_text("no folder can be made here")
    file = LogFile(path, "tracker")
    record = logging.makeLogRecord({"msg": "event", "levelname": "INFO", "process": 1})
    for _ in range(3):
        file.handle(record)
    wait_until(lambda: file.n_dropped == 3)
    path.parent.parent.unlink()
    path.parent.mkdir(parents=True)
    path.write_text('{"a line that was cut": ')
    file.handle(record)
    file.finish()
    cut, dropped, event = path.read_text().splitlines()
    assert cut == '{"a line that was cut": '
    assert (json.loads(dropped)["level"], json.loads(dropped)["lines"]) == ("warning", 3)
    assert json.loads(event)["event"] == "event"


def test_a_disk_that_hangs_keeps_nobody_who_logs(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(daemonlog, "MOST_WAITING", 10)
    is_back, hangs = threading.Event(), threading.Event()

    def clean(text: str) -> str:
        hangs.set()
        is_back.wait()
        return text

    file = LogFile(tmp_path / "tracker.jsonl", "tracker", clean)
    record = logging.makeLogRecord({"msg": "event", "levelname": "INFO", "process": 1})
    file.handle(record)
    hangs.wait()
    for _ in range(30):
        file.handle(record)
    assert file.n_dropped == 20
    file.finish(timeout_s=0.01)  # returns
    is_back.set()
    file.finish()
    lines = lines_of(tmp_path / "tracker.jsonl")
    assert [line["event"] for line in lines].count("event") == 11
    assert [line["lines"] for line in lines if "lines" in line] == [20]


def test_lines_that_are_none_are_counted(project: Project):
    with logging_to(project, "local", "tracker", Serving()):
        note("event")
    with (project.logs / "local/tracker.jsonl").open("ab") as file:
        file.write(b'nothing\n[1]\n{"level": "info"}\n' + b"[" * 100_000 + b"\n")
    reader = Reader(project, None)
    assert [entry["event"] for entry in reader.read()] == ["event"]
    assert reader.n_unreadable == 4


class TestChanges:
    @pytest.fixture
    def said(self, monkeypatch) -> list[tuple[str, dict[str, object]]]:
        said: list[tuple[str, dict[str, object]]] = []
        for name in ("note", "warn"):
            monkeypatch.setattr(
                f"pllib.changes.{name}", lambda event, **facts: said.append((event, facts))
            )
        return said

    def test_a_count_is_told_at_once_then_now_and_then_and_wholly(self, said):
        now = 0.0
        changes = Changes(lambda: now)
        for count in range(1, 1001):
            now = count * COUNT_EVERY_S / 400
            changes.count("refused", {"corrupt": count, "never": 0})
        changes.count("refused", {"corrupt": 1000}, at_end=True)
        assert [facts["total"] for _, facts in said] == [1, 401, 801, 1000]
        assert sum(facts["more"] for _, facts in said) == 1000

    def test_a_trouble_is_told_once_and_so_is_its_end(self, said):
        now = 0.0
        changes = Changes(lambda: now)
        for now in range(20):
            changes.trouble("disk full" if now < 12 else "")
        assert said == [
            ("trouble", {"reason": "disk full"}),
            ("trouble is over", {"reason": "disk full", "lasted_s": 12}),
        ]

    def test_a_trouble_that_flaps_is_no_flood(self, said):
        now = 0.0
        changes = Changes(lambda: now)
        for now in range(100):
            changes.trouble("disk full" if now % 2 else "")
        assert len(said) <= 100 / TROUBLE_EVERY_S + 1
