"""What a support person wants to know of a tracker's night, as lines of its log.

It looks at counts once a second, beside the threads that count: what the tracker does for ranks
does not wait for it, and it can say that the thread that serves them hangs.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pllib.changes import Changes, keep_looking
from pllib.daemonlog import note, versions, warn

if TYPE_CHECKING:
    from pllib.linked import Session

    from .admission import Peer
    from .daemon import Tracker

MEASURE_S = 10.0
HANGS_S = 10.0
"""The serving thread looks around once a second, but for what a disk or the machine takes."""
STALLED_S = 60.0
"""Records wait, and none was handed over."""


class Disk(NamedTuple):
    """How large a journal is, and what its file system has left, bytes; None while not known."""

    journal_bytes: int | None = None
    journal_free_bytes: int | None = None


class Observer:
    """Of one tracker; `look` is for one thread."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._changes = Changes()
        self._stopping = threading.Event()
        self._silent: set[tuple[str, str, int]] = set()
        self._handed_over, self._moved_at = 0, time.monotonic()
        self._instance = ""
        self.disk = Disk()
        self._measure_at = 0.0

    def run(self) -> None:
        """Look until `stop`."""
        keep_looking(self.look, self._stopping)

    def stop(self) -> None:
        """Have it look for the last time."""
        self._stopping.set()

    def look(self, *, at_end: bool) -> None:
        tracker, changes = self._tracker, self._changes
        if not at_end:
            self._measure()
        changes.trouble(tracker.trouble)
        changes.count("messages refused", tracker.server.refused_by, at_end=at_end)
        changes.count("records skipped", dict(tracker.dispatch.skipped), at_end=at_end)
        refused = Counter(frame.reason for frame in list(tracker.dispatch.refused))
        changes.count("frames refused by the manager", refused, at_end=at_end)
        unused = {"no context": tracker.queues.unreadable}
        changes.count("frames not used", unused, at_end=at_end)
        overwritten = {"the file changed before it was read": tracker.digester.n_overwritten}
        changes.count("digest missing", overwritten, at_end=at_end)
        if not at_end:
            self._look_at_silence()
            self._look_at_progress()

    def _measure(self) -> None:
        self._tracker.server.quota.measure()
        if time.monotonic() >= self._measure_at:
            self._measure_at = time.monotonic() + MEASURE_S
            self.disk = measure(self._tracker.journal.folder)

    def _look_at_silence(self) -> None:
        """Log ranks that can't be reached any more, and whose end nobody knows."""
        silent = self._tracker.silent_ranks()
        for peer in silent:
            if (key := (peer.run, peer.host, peer.pid)) not in self._silent:
                self._silent.add(key)
                warn("client gone without a word", **_of_peer(peer), frames=peer.n_frames)
        self._silent &= {(peer.run, peer.host, peer.pid) for peer in silent}

    def _look_at_progress(self) -> None:
        tracker, now = self._tracker, time.monotonic()
        hangs_s = tracker.server.silent_s
        hangs = f"for more than {HANGS_S:g} s: its disk?" if hangs_s > HANGS_S else ""
        self._changes.trouble(hangs, "the serving thread hangs")
        instance = tracker.handover.instance
        if instance and self._instance not in ("", instance):
            warn("the manager was started again", lag_records=tracker.lag_records)
        self._instance = instance or self._instance
        if tracker.handover.n_records != self._handed_over or not tracker.lag_records:
            self._handed_over, self._moved_at = tracker.handover.n_records, now
        is_stalled = now - self._moved_at > STALLED_S
        reason = f"nothing was handed over for {STALLED_S:g} s" if is_stalled else ""
        self._changes.trouble(reason, "hand-over stalled")


def _of_peer(peer: Peer) -> dict[str, str | int]:
    return {"run": peer.run, "rank": peer.rank, "host": peer.host, "client_pid": peer.pid}


def measure(folder: Path) -> Disk:
    """Measure the disk of a journal, which may hang: not for the thread that serves."""
    try:
        n_bytes = sum(path.stat().st_size for path in folder.glob("[0-9]*"))
        space = os.statvfs(folder)
    except OSError:
        return Disk()
    return Disk(n_bytes, space.f_bavail * space.f_frsize)


def note_client(peer: Peer) -> None:
    """Log that a rank has said HELLO."""
    offset_s = round(peer.clock_offset_ns / 1e9, 3) + 0.0
    note("client connected", **_of_peer(peer), clock_offset_s=offset_s)


def note_end(session: Session) -> None:
    """Log that a rank has said that it ended, and what it lost."""
    facts = {"run": session.run, "log": session.log_id, "records": session.n_records}
    if session.lost:
        warn("client ended and had lost records", **facts, lost=session.lost)
    else:
        note("client ended", **facts)


def note_start(tracker: Tracker, address: str) -> None:
    """Log what was started, with what it found."""
    journal = tracker.journal
    note(
        "started", **versions("pyzmq", "msgspec"), address=address, journal=journal.identity,
        folder=str(journal.folder), frames=journal.durable,
        clients_that_fit=tracker.server.room.n_clients,
    )  # fmt: skip
    for segment in journal.unreadable:
        warn("journal segment can't be read", reason=str(segment))
    for damage in journal.corrupt:
        warn("journal is damaged", reason=str(damage))


def note_stop(tracker: Tracker, why: str) -> None:
    """Log how a tracker ended; what it could not hand over the next one does."""
    level = logging.WARNING if tracker.lag_records or tracker.failure else logging.INFO
    note(
        "ended", level, why=tracker.failure or why, frames=tracker.journal.durable,
        handed_over=tracker.handover.n_records, not_handed_over=tracker.lag_records,
        refused=sum(tracker.server.refused_by.values()), duplicates=tracker.server.duplicates,
    )  # fmt: skip
