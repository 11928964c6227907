"""The tracker's journal: segments, restarts, corruption and failing disks."""

from __future__ import annotations

import errno
import os

import pytest

from pllib.log import FRAME_BYTES, HEADER_BYTES, LogWriter, frame_of
from pllib.records import Ended, encode
from tracker.journal import CORRUPTION_GAP, Follower, Journal, read_journal, segments

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
