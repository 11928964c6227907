"""Logs that nobody took: whose they are, and when they may be taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from pllib import launch, waiting
from pllib.log import LogReader, Owner
from pllib.project import Project
from pllib.records import NO_RANK, Closed, Context, Outcome, encode
from pllib.spool import Spool
from pllib.writer import Writer

RUN = "0" * 32


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / ".sprov").create()


def spool(project: Project, owner: Owner, records: list[bytes]) -> Path:
    """Make the spool of a process that wrote these records and did not end in order."""
    made = Spool(
        project.spool / f"{len(list(project.spool.iterdir()))}.spool", owner, 4096, 1 << 20
    )
    context = encode(
        Context(
            run=RUN, restart=0, rank=0, size=1, host=owner.host, pid=owner.pid, user="", program="",
            project="", workflow="", opened_ns=0,
        )
    )  # fmt: skip
    writer = Writer(made, context, {}, lambda chunk: None)
    writer.advance()
    for record in records:
        writer.put(record)
    made.close(keep=True)
    return made.path


def owner(**changes: object) -> Owner:
    """Return the owner of a log whose process is gone, on this host, changed."""
    given = {
        "host": launch.host(), "boot_id": launch.boot_id(), "pid": 1, "started": -1.0, "run": RUN,
        **changes,
    }  # fmt: skip
    return Owner(**given)  # type: ignore[arg-type]


def test_spools_of_other_projects_and_of_living_processes_are_left(project: Project):
    mine = launch.process()
    spool(project, owner(project="another"), [])
    spool(project, owner(pid=mine.pid, started=mine.started), [])
    ours = [spool(project, owner(project=key), []) for key in (project.key, "")]
    assert [log.path for log in waiting.spools(project, {})] == ours


def test_what_another_host_left_may_be_taken_once_its_job_is_over(project: Project):
    path = spool(project, owner(host="elsewhere", job="7"), [])
    assert waiting.spools(project, {}) == []
    assert waiting.spools(project, {}, lambda job: job == "8") == []
    assert [log.path for log in waiting.spools(project, {}, lambda job: job == "7")] == [path]


def test_the_end_of_a_killed_session_is_told_even_if_its_spool_is_empty(project: Project):
    """Its frames were acknowledged and freed before it was killed: the header says whose it was."""
    made = Spool(project.spool / "empty.spool", owner(), 4096, 1 << 20)
    made.close(keep=True)
    (log,) = waiting.spools(project, {})
    assert list(log.frames()) == []
    assert waiting.tell_killed(project, [log], None) == 1
    (told,) = project.spool.glob("*.log")
    with LogReader(told) as reader:
        context, outcome, closed = next(reader.frames()).frame.records()
    assert isinstance(context, Context)
    assert (context.run, context.rank) == (RUN, NO_RANK)
    assert isinstance(outcome, Outcome)
    assert (outcome.log_id, outcome.state) == (log.log_id.hex(), "killed")
    assert isinstance(closed, Closed)
    assert log.is_done


@pytest.mark.parametrize(
    ("changes", "records", "state"),
    [
        ({"boot_id": "an earlier one"}, [], "node_failure"),
        ({}, [encode(Closed(0, 1, {}, 0))], None),
        ({"run": ""}, [], None),  # written by an older sprov
    ],
)
def test_how_a_session_ended_is_told_as_far_as_it_is_known(project, changes, records, state):
    spool(project, owner(**changes), records)
    (log,) = waiting.spools(project, {})
    assert len(list(log.frames())) == 1
    assert waiting.tell_killed(project, [log], None) == (1 if state else 0)
    for path in project.spool.glob("*.log"):
        with LogReader(path) as reader:
            _, outcome, _ = next(reader.frames()).frame.records()
        assert outcome.state == state


def test_what_is_packed_appears_whole_and_is_done(project: Project):
    spool(project, owner(), [encode(Closed(0, 1, {}, 0))])
    (log,) = waiting.spools(project, {})
    waiting.pack(project, "taken", log.frames())
    (packed,) = waiting.packed(project)
    with LogReader(packed.path) as reader:
        assert [located.frame.log_id for located in reader.frames()] == [log.log_id]
    assert packed.is_done
    waiting.dispose(project, [packed, log])
    assert list(project.spool.iterdir()) == []


def test_what_is_no_log_is_said_and_stays(project: Project):
    (project.spool / "x.log").write_text("hello")
    (log,) = waiting.packed(project)
    assert "not a provenance log" in log.trouble
    waiting.dispose(project, [log])
    assert log.path.exists()
