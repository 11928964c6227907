"""A journal whose disk fails at any call, while several ranks send and the linker follows."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from failing import Calls, Fault, faults

from pllib import identity
from pllib.errors import UnavailableError
from pllib.log import frame_of
from pllib.records import Context, Ended, encode
from tracker.journal import Follower, FrameKey, Journal, read_journal, read_unstored
from tracker.linker import context_of

N_RANKS, N_FRAMES, ROUND_FRAMES = 3, 8, 4
SEGMENT_BYTES = 7000
"""So that segments are full, and followed by others, on the way."""
ROUNDS = 60
"""More than are needed, whatever fails."""


class Rank:
    """Sends its frames in order, and each again until it is acknowledged."""

    def __init__(self, nth: int) -> None:
        log_id = bytes([nth]) * 16
        self.run = identity.digest(f"run of {nth}")
        context = encode(Context(self.run, 0, nth, 1, "host", 1, "", "", "", "", 0))
        made = [frame_of(log_id, n, [context, encode(Ended(n, n, n))]) for n in range(N_FRAMES)]
        self.waiting = [((frame.log_id, frame.number), frame.pack()) for frame in made]


class Store:
    """What a store has: frames, and how far it has each run."""

    def __init__(self) -> None:
        self.frames: dict[int, FrameKey] = {}
        self.watermarks: dict[str, int] = {}

    def take(self, follower: Follower) -> None:
        while (item := follower.next()) is not None:
            ordinal, frame = item
            context = context_of(frame)
            assert context is not None
            if ordinal <= follower.watermarks.get(context.run, -1):
                continue
            key = frame.log_id, frame.number
            assert self.frames.setdefault(ordinal, key) == key, "two frames had one ordinal"
            assert ordinal > self.watermarks.get(context.run, -1)
            self.watermarks[context.run] = ordinal


class Site:
    """A journal that is written, sealed and followed; after a kill another goes on with it."""

    def __init__(self, folder: Path, calls: Calls) -> None:
        self.ranks = [Rank(nth) for nth in range(1, N_RANKS + 1)]
        self.sent = [key for rank in self.ranks for key, _ in rank.waiting]
        self.store = Store()
        self._folder, self._calls = folder, calls
        self.journal = Journal(folder, SEGMENT_BYTES)
        self.follower = Follower(self.journal)

    def run(self, restarts_after: int | None = None) -> None:
        """Send all, and have the store take it.

        Args:
            restarts_after: Round after which the tracker is killed; None for never.
        """
        for nth in range(ROUNDS):
            if not any(rank.waiting for rank in self.ranks):
                break
            with contextlib.suppress(OSError), self._calls.counted():
                self._send_round(nth)
            with contextlib.suppress(OSError), self._calls.counted():
                self.journal.seal_next()
            self.store.take(self.follower)
            if nth == restarts_after:
                self.restart()

    def _send_round(self, nth: int) -> None:
        """Append what ranks send, all in one sync, as the tracker does, and acknowledge it.

        No two rounds in a row have the same frames, also when the first has failed.
        """
        ranks = [rank for rank in self.ranks if rank.waiting]
        ranks = ranks[nth % len(ranks) :] + ranks[: nth % len(ranks)]
        sent = [(rank, *frame) for rank in ranks[:2] for frame in rank.waiting[:ROUND_FRAMES]]
        new = {key: data for _, key, data in sent if not self.journal.has(key)}
        if new:
            self.journal.append(list(new.items()))
        for rank, *frame in sent:
            rank.waiting.remove(tuple(frame))

    def restart(self) -> None:
        os.close(self.journal._lock)  # as the end of its process does
        for _ in range(ROUNDS):  # as often as `sprov serve` would start another
            with contextlib.suppress(UnavailableError), self._calls.counted():
                self.journal = Journal(self._folder, SEGMENT_BYTES)
                break
        self.follower = Follower(self.journal)
        self.follower.rewind(self.store.watermarks)

    def check(self) -> None:
        """Assert that what was acknowledged is everywhere, under one ordinal."""
        assert not any(rank.waiting for rank in self.ranks), "it never took them"
        assert sorted(self.store.frames.values()) == sorted(self.sent)
        self.journal.close()
        journalled = {at: (frame.log_id, frame.number) for at, frame in read_journal(self._folder)}
        assert journalled == self.store.frames
        assert not [
            ordinal
            for ordinal, frame, marks in read_unstored(self._folder, self.store.watermarks)
            if ordinal > marks[str(getattr(context_of(frame), "run", ""))]
        ]
        again = Journal(self._folder, SEGMENT_BYTES)
        assert all(again.has(key) for key in self.sent)
        assert again.durable == len(self.sent)
        again.close()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    return Calls(monkeypatch)


def sites(folder: Path, calls: Calls, fault: Fault | None) -> Iterator[Site]:
    """Yield a new site; behind it, it is gone."""
    calls.n, calls.fault = 0, fault
    yield Site(folder, calls)
    shutil.rmtree(folder)


def n_calls(folder: Path, calls: Calls) -> int:
    for site in sites(folder, calls, None):
        site.run()
        site.check()
    return calls.n


def test_wherever_the_disk_fails_all_that_was_acknowledged_is_stored(tmp_path, calls):
    """At each call that writes, syncs or names something, once, and for some calls on."""
    whole = n_calls(tmp_path / "journal", calls)
    assert whole > 40
    for fault in faults(whole):
        for site in sites(tmp_path / "journal", calls, fault):
            site.run()
            site.check()


def test_a_tracker_that_is_killed_after_the_disk_failed_goes_on_from_there(tmp_path, calls):
    """After each round, whatever the failed one has left."""
    whole = n_calls(tmp_path / "journal", calls)
    for fault in list(faults(whole))[::5]:
        for restarts_after in range(4):
            for site in sites(tmp_path / "journal", calls, fault):
                site.run(restarts_after)
                site.check()
