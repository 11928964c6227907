"""Logs that nobody took: whose they are, and when they may be taken."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from pllib import launch, waiting
from pllib.frame import Frame
from pllib.log import LogReader, Owner, new_header, pack_file_header
from pllib.outbox import Outbox
from pllib.owners import UNKNOWN_NAMESPACE, pid_namespace
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
    """In the project's own folder a container may have put one that sees it under another path."""
    mine = launch.process()
    spool(project, owner(pid=mine.pid, started=mine.started), [])
    keys = (project.key, "", "another")
    ours = [spool(project, owner(project=key), []) for key in keys]
    assert [log.path for log in waiting.spools(project, {})] == ours
    everybodys = project.root / "everybodys"
    everybodys.mkdir()
    for path in ours:
        path.rename(everybodys / path.name)
    found = waiting.spools(project, {"SPROV_SPOOL_DIR": str(everybodys)})
    assert [log.path.name for log in found] == [path.name for path in ours[:2]]


def test_what_another_host_left_may_be_taken_once_its_job_is_over(project: Project):
    path = spool(project, owner(host="elsewhere", job="7"), [])
    assert waiting.spools(project, {}) == []
    assert waiting.spools(project, {}, lambda job, _: job == "8") == []
    assert [log.path for log in waiting.spools(project, {}, lambda job, _: job == "7")] == [path]


ELSEWHERE = 1  # no namespace has this number


@pytest.mark.parametrize(
    ("changes", "held", "is_gone", "doubt"),
    [
        ({"pid_namespace": pid_namespace()}, False, True, ""),
        ({"pid_namespace": pid_namespace()}, True, True, ""),  # a child of it that Python never saw
        ({"pid_namespace": ELSEWHERE}, True, False, ""),
        ({"pid_namespace": ELSEWHERE}, False, True, ""),
        ({"pid_namespace": UNKNOWN_NAMESPACE}, True, False, ""),
        ({"pid_namespace": ELSEWHERE}, None, False, "another PID namespace"),
        ({"pid_namespace": ELSEWHERE, "job": "7"}, None, True, ""),
        ({"pid_namespace": ELSEWHERE, "boot_id": "earlier"}, False, True, ""),
        ({"pid_namespace": ELSEWHERE, "boot_id": "earlier"}, True, False, ""),
        ({"pid_namespace": ELSEWHERE, "boot_id": "earlier"}, None, False, "another boot of"),
        ({"pid_namespace": ELSEWHERE, "boot_id": "x", "host": "there"}, False, False, "there"),
        ({"pid_namespace": ELSEWHERE, "boot_id": "x", "host": "else", "job": "7"}, None, True, ""),
        ({"pid_namespace": pid_namespace(), "host": "a name of a container"}, None, True, ""),
    ],
)  # fmt: skip
def test_only_proof_that_its_owner_is_gone_opens_a_spool(project, changes, held, is_gone, doubt):
    """
    held: whether the kernel holds a lock for it; None where a file system has none.
    """
    made = Spool(project.spool / "a.spool", owner(**changes), 4096, 1 << 20)
    if held is None:
        header = msgspec.structs.replace(made.header, owner=owner(**changes))
        with made.path.open("r+b") as file:
            file.write(pack_file_header(header))
    if not held:
        made.close(keep=True)
    taken, left = waiting.judged(project, {}, lambda job, _: job == "7")
    assert [log.path for log in taken] == ([made.path] if is_gone else [])
    assert [doubt in log.doubt for log in left] == ([True] if doubt else [])
    believed, _ = waiting.judged(project, {}, lambda job, _: job == "7", gone=True)
    assert [log.path for log in believed] == ([made.path] if is_gone or doubt else [])
    if held:
        made.close(keep=True)


def test_no_lock_tells_of_a_copy(project: Project):
    """The owner may go on with the frame that it was writing: half of it would stand for all."""
    made = Spool(project.spool / "a.spool", owner(pid_namespace=ELSEWHERE), 4096, 1 << 20)
    copy = project.spool / "copy.spool"
    copy.write_bytes(made.path.read_bytes())
    taken, left = waiting.judged(project, {})
    assert taken == []
    assert [log.path for log in left] == [copy]
    moved = made.path.rename(project.spool / "moved.spool")
    copy.unlink()
    assert waiting.judged(project, {}) == ([], [])
    made.close(keep=True)
    assert [log.path for log in waiting.judged(project, {})[0]] == [moved]


def test_a_packed_log_of_a_process_elsewhere_stays_until_it_ends(project: Project):
    """What it has is taken, and it goes on writing it."""
    header = new_header(owner(pid_namespace=ELSEWHERE))
    outbox = Outbox(project.spool, header)
    assert outbox.append([]) == 0
    outbox.close()
    assert waiting.packed(project) == [], "nothing came into it"
    assert outbox.append([Frame(header.log_id, 0, 0, b"").pack()]) == 1
    (log,) = waiting.packed(project)
    assert len(list(log.frames())) == 1
    waiting.dispose(project, [log])
    assert log.path.exists()
    outbox.close()
    (log,) = waiting.packed(project)
    assert log.is_done
    waiting.dispose(project, [log])
    assert not log.path.exists()


def test_what_a_living_process_has_not_sealed_is_not_taken(project: Project):
    mine = launch.process()
    path = spool(project, owner(pid=mine.pid, started=mine.started), [encode(Closed(0, 1, {}, 0))])
    (log,) = waiting.named(project, [path], {})
    assert list(log.frames()) == []
    assert not log.is_done
    gone = spool(project, owner(), [encode(Closed(0, 1, {}, 0))])
    (log,) = waiting.named(project, [gone], {})
    assert len(list(log.frames())) == 1


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
