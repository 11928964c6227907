"""Somebody removes or moves files of a rank that runs: it says so, and goes on in others.

Nothing is lost but what was in a file that was truncated."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import wait_until

import pllib
from pllib import sender
from pllib.log import LogReader
from pllib.project import Project
from pllib.projectkey import NAME
from pllib.records import Closed, Transformation, decode_values
from pllib.session import Session


class Rank:
    """A session whose captures are counted."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.n_captured = 0

    def capture(self, count: int) -> None:
        for _ in range(count):
            with self.session.transformation("step", used={"n": self.n_captured}):
                self.n_captured += 1


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "here" / ".sprov").create()


@pytest.fixture
def rank(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rank]:
    """Of one without a tracker, with records in its log and in its spool."""
    monkeypatch.setattr(sender, "OFFLINE_AGE_S", 0.05)
    monkeypatch.setenv("SPROV_DIR", str(project.root))
    session = pllib.open(mode="offline", settings={"flush_age_s": 0.05, "flush_bytes": 8192})
    assert isinstance(session, Session)
    rank = Rank(session)
    rank.capture(300)
    wait_until(lambda: captured(project.spool, "*.log") == [*range(300)])
    rank.capture(3)
    yield rank
    session.close()


def captured(spool: Path, *kinds: str) -> list[int]:
    """Return which captures are in files that `sprov ingest` would take now.

    Spools first: what leaves one is in a log then.
    """
    numbers = set()
    for path in (path for kind in kinds or ("*.spool", "*.log") for path in spool.glob(kind)):
        with LogReader(path) as reader:
            records = [record for each in reader.frames() for record in each.frame.records()]
        numbers |= {decode_values(r.used)[0] for r in records if isinstance(r, Transformation)}
    return sorted(numbers)


def remove_files(project: Project) -> None:
    for path in project.spool.iterdir():
        path.unlink()


def remove_folder(project: Project) -> None:
    rename_folder(project)  # else a new file may be in it before it is empty
    shutil.rmtree(project.root / "aside")


def rename_folder(project: Project) -> None:
    project.spool.rename(project.root / "aside")


def remove_project(project: Project) -> None:
    (project.root / NAME).unlink()
    removed = project.root.with_name("removed")
    project.root.rename(removed)
    shutil.rmtree(removed)


@pytest.mark.parametrize("remove", [remove_files, remove_folder, rename_folder, remove_project])
def test_what_was_captured_is_in_other_files_within_a_flush_age(
    project: Project, rank: Rank, remove: Callable[[Project], None], capsys
):
    was = rank.session.spool_path
    remove(project)
    rank.capture(5)
    wait_until(lambda: captured(project.spool) == [*range(rank.n_captured)])
    rank.capture(100)
    assert captured(project.spool) == [*range(rank.n_captured)]  # if it were killed now
    rank.session.close()
    assert captured(project.spool) == [*range(rank.n_captured)]
    assert not list(project.spool.glob("*.spool"))
    assert sum(rank.session.lost.values()) == 0
    said = capsys.readouterr().err
    assert said.count(f"{was} is gone: records go on in {project.spool}/") == 1
    assert said.count(".log is gone: what it had is in ") == 1, said


def test_what_waits_in_a_spool_that_is_removed_waits_in_the_next(project: Project, rank: Rank):
    """Sealed frames too, that neither a tracker nor the log has taken."""
    rank.session._sender._write_at = float("inf")
    rank.capture(2000)
    wait_until(lambda: len(rank.session._sender.unacked) > 3)
    remove_folder(project)
    wait_until(lambda: captured(project.spool) == [*range(rank.n_captured)])
    (spool,) = project.spool.glob("*.spool")
    with LogReader(spool) as reader:
        assert sum(1 for _ in reader.frames(unsealed=False)) > 3
    rank.session.close()
    assert captured(project.spool) == [*range(rank.n_captured)]


def test_a_project_that_is_moved_takes_its_ranks_with_it(project: Project, rank: Rank, capsys):
    """Nothing is made where it was."""
    there = project.root.parent.with_name("there")
    moved = Project(there / ".sprov")
    project.root.parent.rename(there)
    rank.capture(100)
    wait_until(lambda: rank.session.spool_path.parent == moved.spool)
    rank.capture(100)
    rank.session.close()
    assert captured(moved.spool) == [*range(rank.n_captured)]
    assert not project.root.parent.exists()
    assert not list(moved.spool.glob("*.spool"))
    assert f"the project was moved: records go on in {moved.spool}" in capsys.readouterr().err


def test_a_log_that_was_truncated_is_counted_and_another_goes_on(project: Project, rank: Rank):
    (log,) = project.spool.glob("*.log")
    os.truncate(log, 0)
    rank.capture(5)
    wait_until(lambda: rank.session.lost)
    rank.capture(100)
    rank.session.close()
    assert not log.exists()
    (other,) = project.spool.glob("*.log")
    found = captured(project.spool)
    assert {*found} >= {*range(303, rank.n_captured)}
    with LogReader(other) as reader:
        records = [record for each in reader.frames() for record in each.frame.records()]
    (closed,) = (record for record in records if isinstance(record, Closed))
    assert sum(closed.lost.values()) >= rank.n_captured - len(found)


TRUNCATED = """
import os, sys, time, pllib
from pllib import sender
sender.OFFLINE_AGE_S = 1000.0
with pllib.open(mode="offline", settings={"flush_age_s": 0.05}) as session:
    def capture():
        with session.transformation("step", used={"n": 1}):
            pass
    capture()
    was = session.spool_path
    session.tick = lambda now: was.exists() and os.truncate(was, 0)  # on the sender's thread
    session._sender.wake()
    while session.spool_path == was or not session.lost:
        time.sleep(0.01)
    del session.tick
    capture()
print(dict(session.lost))
"""


def test_a_rank_whose_spool_is_truncated_while_it_is_silent_lives_on(project: Project):
    """What it captures before the sender sees it is a SIGBUS, which nothing in Python can catch."""
    environment = {**os.environ, "SPROV_DIR": str(project.root)}
    command = [sys.executable, "-c", TRUNCATED]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, (done.returncode, done.stderr)
    assert done.stdout == "{'somebody truncated the spool': 2}\n"  # the run's start, and a step
    assert "is gone: records go on in" in done.stderr
    assert not list(project.spool.glob("*.spool"))
