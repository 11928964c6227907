"""The tracker's journal: segments, restarts, corruption and failing disks."""

from __future__ import annotations

import errno
import os

import pytest

from pllib import identity
from pllib.errors import LogError
from pllib.log import FRAME_BYTES, HEADER_BYTES, LogWriter, frame_of
from pllib.records import Context, Ended, encode
from tracker.journal import (
    CORRUPTION_GAP,
    Follower,
    Journal,
    read_journal,
    read_unstored,
    segments,
)

LOG = bytes(range(16))


def frames(start: int, stop: int) -> list:
    bodies = [encode(Ended(n, n, n)) for n in range(40)]
    made = [frame_of(LOG, number, bodies) for number in range(start, stop)]
    return [((frame.log_id, frame.number), frame.pack()) for frame in made]


def numbers(folder) -> list[tuple[int, int]]:
    return [(ordinal, frame.number) for ordinal, frame in read_journal(folder)]


def follow(follower: Follower) -> list[tuple[int, int]]:
    found = []
    while (item := follower.next()) is not None:
        found.append((item[0], item[1].number))
    return found


def test_ordinals_go_on_over_segments_restarts_and_compression(tmp_path):
    identity = ""
    for start in range(0, 30, 10):
        journal = Journal(tmp_path, segment_bytes=5000)
        follower = Follower(journal)
        for number in range(start, start + 10):
            journal.append(frames(number, number + 1))
            assert follow(follower)[-1] == (number, number)
        assert identity in ("", journal.identity)
        identity = journal.identity
        assert journal.has((LOG, start))
        while journal.seal_next():
            pass
        again = Follower(journal)
        assert follow(again) == [(n, n) for n in range(start + 10)]
        journal.close()
    assert len(segments(tmp_path)) > 5
    assert numbers(tmp_path) == [(n, n) for n in range(30)]


@pytest.mark.parametrize("corrupt", [[3], [3, 4], [9]])
def test_corrupt_frames_cost_themselves_and_shift_no_new_ordinal(tmp_path, corrupt):
    journal = Journal(tmp_path)
    journal.append(frames(0, 10))
    journal.close()
    ((_, path),) = segments(tmp_path)
    data = bytearray(path.read_bytes())
    size = (len(data) - HEADER_BYTES) // 10
    for nth in corrupt:
        data[HEADER_BYTES + nth * size + FRAME_BYTES + 5] ^= 1
    path.write_bytes(data)
    again = Journal(tmp_path)
    assert again.corrupt
    again.append(frames(10, 12))
    found = follow(Follower(again))
    again.close()
    assert [number for _, number in found] == [n for n in range(12) if n not in corrupt]
    assert all(ordinal >= CORRUPTION_GAP for ordinal, number in found if number >= 10)
    assert [number for _, number in numbers(tmp_path)] == [number for _, number in found]


def test_a_failed_sync_keeps_nothing_and_the_next_goes_elsewhere(tmp_path, monkeypatch):
    journal = Journal(tmp_path)
    journal.append(frames(0, 2))

    def fail(self):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(LogWriter, "sync", fail)
        with pytest.raises(OSError, match="Input/output"):
            journal.append(frames(2, 4))
    assert not journal.has((LOG, 2))
    journal.append(frames(2, 5))
    assert follow(Follower(journal)) == [(n, n) for n in range(5)]
    journal.close()
    assert numbers(tmp_path) == [(n, n) for n in range(5)]
    again = Journal(tmp_path)
    again.append(frames(5, 6))
    again.close()
    assert numbers(tmp_path) == [(n, n) for n in range(6)]


def fail(self):
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_disk_that_fails_at_the_first_frames_of_a_segment_does_not_stop_the_journal(
    tmp_path, monkeypatch
):
    """The next segment would have its very name."""
    journal = Journal(tmp_path)
    for method in ("sync", "append"):
        with monkeypatch.context() as patched:
            patched.setattr(LogWriter, method, fail if method == "sync" else lambda *_: fail(None))
            for _ in range(2):
                with pytest.raises(OSError, match="Input/output"):
                    journal.append(frames(0, 4))
    journal.append(frames(0, 4))
    assert follow(Follower(journal)) == [(n, n) for n in range(4)]
    journal.close()
    assert numbers(tmp_path) == [(n, n) for n in range(4)]


def test_what_was_never_acknowledged_is_taken_again_after_a_restart(tmp_path, monkeypatch):
    """Frames whose sync failed may be in a segment that goes on to another: they do not count."""
    journal = Journal(tmp_path)
    journal.append(frames(0, 2))
    with monkeypatch.context() as patched:
        patched.setattr(LogWriter, "sync", fail)
        with pytest.raises(OSError, match="Input/output"):
            journal.append(frames(2, 4))
    journal.append(frames(7, 8))
    journal.close()
    for _ in range(2):
        again = Journal(tmp_path)
        assert [n for n in range(9) if again.has((LOG, n))] == [0, 1, 7]
        while again.seal_next():
            pass
        again.close()
    assert numbers(tmp_path) == [(0, 0), (1, 1), (2, 7)]


def of_run(run: str, number: int) -> list:
    context = Context(identity.digest(run), 0, 0, 1, "host", 1, "", "", "", "", 0)
    frame = frame_of(LOG, number, [encode(context), encode(Ended(1, 1, 1))])
    return [((LOG, number), frame.pack())]


def test_segments_that_a_store_has_are_passed_over_by_their_summaries(tmp_path):
    """Whole ones, of whose every run the store has all; the summaries outlive a restart."""
    journal = Journal(tmp_path, segment_bytes=1)
    for number in range(6):
        journal.append(of_run("ab"[number % 2], number))
    while journal.seal_next():
        pass
    a, b = identity.digest("a"), identity.digest("b")
    for _ in range(2):
        for stored, left in (
            ({}, [0, 1, 2, 3, 4, 5]),
            ({a: 4}, [1, 3, 5]),
            ({a: 2, b: 3}, [4, 5]),
            ({a: 4, b: 5}, []),
        ):
            follower = Follower(journal)
            follower.rewind(stored)
            assert [number for _, number in follow(follower)] == left
            found = [frame.number for _, frame, _ in read_unstored(tmp_path, stored)]
            assert found == left
        journal.close()
        journal = Journal(tmp_path, segment_bytes=1)
        assert all(journal.has((LOG, number)) for number in range(6))
    journal.close()


@pytest.mark.parametrize("damage", ["gone", "empty", "changed", "other size"])
def test_a_summary_that_is_not_of_its_segment_is_not_believed(tmp_path, damage):
    journal = Journal(tmp_path, segment_bytes=1)
    for number in range(3):
        journal.append(of_run("a", number))
    while journal.seal_next():
        pass
    journal.close()
    first = min(tmp_path.glob("*.sealed"))
    if damage == "gone":
        first.unlink()
    elif damage == "empty":
        first.write_bytes(b"")
    elif damage == "changed":
        data = bytearray(first.read_bytes())
        data[3] ^= 1
        first.write_bytes(data)
    else:
        log = first.with_suffix(".log")
        log.write_bytes(log.read_bytes()[:-1])
    again = Journal(tmp_path)
    kept = [1, 2] if damage == "other size" else [0, 1, 2]
    assert [n for n in range(4) if again.has((LOG, n))] == kept
    again.close()


def test_a_killed_sealing_leaves_the_segment_as_it_was(tmp_path):
    journal = Journal(tmp_path, segment_bytes=5000)
    journal.append(frames(0, 20))
    journal.append(frames(20, 21))
    journal.close()
    whole = numbers(tmp_path)
    path = segments(tmp_path)[0][1]
    path.with_suffix(".partial").write_bytes(path.read_bytes()[:300])
    path.with_suffix(".partial.new").write_bytes(b"SPROV")
    again = Journal(tmp_path)
    before = path.stat().st_size
    while again.seal_next():
        pass
    again.close()
    assert path.stat().st_size < before
    assert numbers(tmp_path) == whole
    assert {each.suffix for each in tmp_path.iterdir()} <= {".log", ".sealed", ""}


def test_frames_behind_damage_are_judged_by_no_watermark(tmp_path):
    """Two that are lost side by side count as one, so all behind them have ordinals too low."""
    journal = Journal(tmp_path)
    for number in range(6):
        journal.append(of_run("a", number))
    journal.close()
    ((_, path),) = segments(tmp_path)
    data = bytearray(path.read_bytes())
    size = (len(data) - HEADER_BYTES) // 6
    for nth in (1, 2):
        data[HEADER_BYTES + nth * size] ^= 1
    path.write_bytes(data)
    stored = {identity.digest("a"): 4}
    again = Journal(tmp_path)
    follower = Follower(again)
    follower.rewind(stored)
    found = []
    while (item := follower.next()) is not None:
        if item[0] > follower.watermarks.get(identity.digest("a"), -1):
            found.append(item[1].number)
    again.close()
    assert found == [3, 4, 5]
    assert [
        frame.number
        for ordinal, frame, marks in read_unstored(tmp_path, stored)
        if ordinal > marks.get(identity.digest("a"), -1)
    ] == [3, 4, 5]


def make_unreadable(path, how: str) -> None:
    path.unlink()
    if how == "fifo":
        os.mkfifo(path)
    else:
        path.write_bytes(b"" if how == "empty" else os.urandom(HEADER_BYTES))


@pytest.mark.parametrize("how", ["empty", "junk", "fifo"])
@pytest.mark.parametrize("nth", [0, 2, -1])
def test_a_segment_that_cant_be_read_is_skipped_and_named(tmp_path, how, nth):
    """By who reads, who follows and who goes on writing; nothing else is lost."""
    journal = Journal(tmp_path, segment_bytes=5000)
    for number in range(20):
        journal.append(frames(number, number + 1))
    identity = journal.identity
    journal.close()
    known = segments(tmp_path)
    ends = [*(first for first, _ in known[1:]), 20]
    first, path = known[nth]
    lost = range(first, ends[nth])
    make_unreadable(path, how)
    kept = [n for n in range(20) if n not in lost]

    skipped: list = []
    found = [frame.number for _, frame in read_journal(tmp_path, on_unreadable=skipped.append)]
    assert found == kept
    unstored = read_unstored(tmp_path, {}, skipped.append)
    assert [frame.number for _, frame, _ in unstored] == kept
    assert [each.path for each in skipped] == [path, path]
    with pytest.raises(LogError, match=path.name):
        list(read_journal(tmp_path))

    again = Journal(tmp_path, segment_bytes=5000)
    assert [each.path for each in again.unreadable] == [path]
    assert again.identity == identity
    again.append(frames(20, 22))
    assert [number for _, number in follow(Follower(again))] == [*kept, 20, 21]
    ordinals = [ordinal for ordinal, _ in follow(Follower(again))]
    assert ordinals == sorted(set(ordinals))
    assert path.exists() or path.is_fifo()
    while again.seal_next():
        pass
    again.close()
