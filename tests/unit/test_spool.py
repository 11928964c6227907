"""Chunks of a spool: who has one, and what is in it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import pllib
from pllib import launch, owners
from pllib.log import LogReader, Owner, record_bodies, unpack_frame
from pllib.records import Transformation
from pllib.shape import Shapes
from pllib.spool import Chunk, Spool
from pllib.waiting import open_log
from pllib.writer import Writer

STRIDE = 4096


def test_a_writer_does_not_take_its_old_chunk_from_the_next(tmp_path: Path):
    """The sender took, shipped and freed it; another thread's writer has it when the first goes on.

    What that one writes is all in its own frame.
    """
    mine = launch.process()
    spool = Spool(
        tmp_path / "s", Owner("host", mine.boot_id, mine.pid, mine.started), STRIDE, 1 << 20
    )
    shape = Shapes().find("run", "steps", [], [])
    leases: dict[Chunk, Writer] = {}
    retired: list[Chunk] = []
    first, second = (Writer(spool, b"context", leases, retired.append) for _ in range(2))
    assert first.write(shape, lambda _: b"first")
    taken = first.retire()
    assert taken is not None
    spool.seal(taken)
    spool.recycle(taken)
    assert second.write(shape, lambda _: b"second")
    assert first.write(shape, lambda _: b"first again")
    assert second.write(shape, lambda _: b"and more of it")
    assert retired == []
    last = second.retire()
    assert last is not None
    spool.seal(last)
    bodies = [bytes(body) for body in record_bodies(unpack_frame(spool.frame(last)).payload)]
    assert [body for body in bodies if body in (b"second", b"and more of it")] == bodies[-2:]
    assert b"first again" not in bodies
    del taken, last
    spool.close(keep=False)


def test_a_frame_that_can_not_be_sealed_stays_in_the_spool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Whatever fails in it: `sprov ingest` reads it there."""

    def fail(payload: bytes, room: int) -> bytes:
        raise IndexError(room)

    monkeypatch.setenv("SPROV_DIR", str(tmp_path / ".sprov"))
    with pllib.open(mode="offline") as session:
        session._spool.sweep = fail
        with session.transformation("step", used={"n": 1}):
            pass
    (path,) = (tmp_path / ".sprov" / "spool").glob("*.spool")
    with LogReader(path) as reader:
        records = [record for each in reader.frames() for record in each.frame.records()]
    assert any(isinstance(record, Transformation) for record in records)


def test_a_spool_is_one_whatever_its_copy_is_called(tmp_path: Path):
    """What its owner is still writing is left to it."""
    spool = Spool(tmp_path / "s.spool", owners.this_process(), STRIDE, 1 << 20)
    leases: dict[Chunk, Writer] = {}
    writer = Writer(spool, b"context", leases, lambda chunk: None)
    assert writer.write(Shapes().find("run", "steps", [], []), lambda _: b"under way")
    for name in ("s.spool", "copy.log"):
        if name != spool.path.name:
            shutil.copyfile(spool.path, tmp_path / name)
        log = open_log(tmp_path / name)
        assert (log.is_spool, log.is_abandoned, [*log.frames()]) == (True, False, [])
    spool.close(keep=False)
