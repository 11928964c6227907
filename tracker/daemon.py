"""The tracker as a process: the server thread in front, the linking thread behind it."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pllib import launch
from pllib.daemonlog import warn
from pllib.errors import Error, LogError, UnavailableError
from pllib.linked import Session
from pllib.listening import Listening, authority, is_daemon
from pllib.moments import date_time
from pllib.project import (
    Endpoint,
    Project,
    known_endpoint,
    leave_endpoint,
    read_endpoint,
    update_endpoint,
)
from pllib.trackerkey import read_secret, write_secret

from .admission import Peer
from .digester import Digester
from .dispatch import Dispatch
from .handover import Handover, ManagerRestartedError
from .journal import Follower, Journal
from .observer import Observer, note_client, note_end, note_start, note_stop
from .processes import ProcessWatch
from .server import Server, is_pair, new_keys
from .workqueue import WorkQueues

READ_AHEAD_RECORDS, READ_AHEAD_BYTES = 20_000, 128 << 20
IDLE_S = 0.05
LISTED_RANKS = 500
"""Of `status`, which is answered by the thread that acknowledges."""
DIGEST_END_S = 0.5
"""How long the end waits for a file that is being read; `sprov ingest` reads it then."""
DRAIN_S = 1.2
"""How long the end waits for the manager to take what is journalled, from when it is asked for: all
of it is safe, and what the manager lacks then the next tracker hands on, or `sprov ingest`."""


RESTART_HINT = "What was journalled is safe, and a new one goes on from there"
LAST_BATCH_S = 0.2
"""How long a batch that is under way is waited for beyond that; it may be taken twice."""


class Tracker:
    def __init__(
        self,
        endpoint_file: Path,
        journal_folder: Path,
        listening: Listening,
        digest_limit_bytes: int,
        drain_s: float = DRAIN_S,
        project: Project | None = None,
    ) -> None:
        """Open the journal and bind; then the endpoint file says so.

        A restart takes keys and port from the endpoint file, so that ranks find it again.

        Args:
            project: Whose ranks on this node are watched; None for none.

        Raises:
            Error: The journal or the address can't be had.
        """
        self._endpoint_file = endpoint_file
        self._drain_s = drain_s
        self.journal = Journal(journal_folder)
        try:
            endpoint, secret = _claim(endpoint_file)
            self.server = Server(self.journal, endpoint, secret, listening)
        except Error:
            self.journal.close()
            raise
        if endpoint.tracker:
            warn("took over from a tracker that did not end in order", its_pid=endpoint.tracker_pid)
        self._advertise(listening)
        self.queues = WorkQueues()
        self.handover = Handover(self._manager)
        self.dispatch = Dispatch(self.handover, self.journal.identity)
        self.digester = Digester(self.journal, digest_limit_bytes)
        self._follower = Follower(self.journal)
        self._settled = -1
        """Ordinals below this are durable in the store; -1 while that is not known."""
        self._taken = (-1, "")
        """Ordinals below this the manager has taken, and which instance of it."""
        self.processes: ProcessWatch | None = None
        if project is not None:
            self.processes = ProcessWatch(project, endpoint_file, os.environ)
        self.server.on_rank = self._note_rank
        self._observer = Observer(self)
        self._ended: set[bytes] = set()
        """Logs whose sessions have said that they ended."""
        self.lost_by: Counter[str] = Counter()
        """What these sessions lost, by reason."""
        self.n_hellos = 0
        self._stopping = threading.Event()
        self._received_all = threading.Event()
        self._asked_at = 0.0
        self.asked_by = ""
        self.failure = ""
        """Which thread stopped, and on what: the tracker ends then."""
        self._sealing_trouble = ""

    def run(self) -> None:
        """Serve until `stop`, then drain.

        Raises:
            UnavailableError: One of its threads stopped on an error: a new tracker goes on from
                the journal.
        """
        # Batches are tens of thousands of objects and no cycles: collecting cost a tenth.
        gc.set_threshold(200_000, 50, 50)
        note_start(self, self._address)
        linking = self._start("linker", self._link)
        observing = self._start("observer", self._observer.run)
        self._start("sealer", self._seal)
        digesting = self._start("digester", self.digester.run)
        if self.processes is not None:
            self._start("processes", self.processes.run)
        self.server.serve(self._stopping.is_set, self.status)
        if self.processes is not None:
            self.processes.stop()
        until = self._asked_at + self._drain_s
        self.digester.stop()
        digesting.join(min(DIGEST_END_S, max(0.0, until - time.monotonic())))
        self._received_all.set()
        self.journal.wake()
        linking.join(max(0.0, until - time.monotonic()))
        self.handover.stop()
        linking.join(LAST_BATCH_S)
        self._observer.stop()
        observing.join(LAST_BATCH_S)
        note_stop(self, self.asked_by)
        self.server.close()
        self.journal.close()
        leave_endpoint(self._endpoint_file, tracker="", tracker_pid=0)
        if self.failure:
            raise UnavailableError(f"the tracker stopped, {self.failure}", RESTART_HINT)

    def _start(self, name: str, work: Callable[[], None]) -> threading.Thread:
        """Start a thread whose error ends the tracker, which is of no use without it."""

        def guarded() -> None:
            try:
                work()
            except Exception as exc:  # noqa: BLE001  whatever it was, it must be seen
                self.failure = self.failure or f"{name}: {type(exc).__name__}: {exc}"
                self.stop()

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        thread.start()
        return thread

    def stop(self, asked_by: str = "") -> None:
        """Ask for the end; from a signal handler too.

        Args:
            asked_by: For the log.
        """
        self.asked_by = self.asked_by or asked_by
        self._asked_at = time.monotonic()
        self._stopping.set()

    def _advertise(self, listening: Listening) -> None:
        port = 0 if listening.folder else int(self.server.url.rpartition(":")[2])
        at = f"tcp://{authority(listening.advertised, port)}" if port else self.server.url
        self._address = at
        update_endpoint(
            self._endpoint_file,
            tracker=at,
            tracker_pid=os.getpid(),
            tracker_port=port,
            host=launch.host(),
            tracker_host=launch.host(),
            started=date_time(time.time_ns(), digits=0),
        )

    def _manager(self) -> Endpoint | None:
        try:
            return read_endpoint(self._endpoint_file)
        except Error:
            return None

    def _link(self) -> None:
        self._rewind()
        while True:
            busy = self._read_ahead() | self._hand_over()
            drained = self._received_all.is_set() and not self.lag_records
            if drained or (self.handover.is_stopped and self._received_all.is_set()):
                return
            if not busy and not self.journal.wait(self._follower.ordinal, IDLE_S):
                self._confirm()
            done = not self.queues.n_records and not self.handover.n_unconfirmed
            self._settled = self._follower.ordinal if done else -1
            self._note_taken()

    def _note_taken(self) -> None:
        if not self.handover.is_stopped:  # else the last batch may have been dropped
            below = self.queues.first_ordinal
            taken = self._follower.ordinal if below is None else below
            self._taken = taken, self.handover.instance

    @property
    def lag_records(self) -> int:
        """Records queued here, and frames not read yet as one each: 0 when all is handed over."""
        return self.queues.n_records + self.journal.durable - self._follower.ordinal

    def _read_ahead(self) -> bool:
        busy = False
        queues = self.queues
        while queues.n_due_records < READ_AHEAD_RECORDS and queues.n_bytes < READ_AHEAD_BYTES:
            found = self._follower.next()
            if found is None:
                return busy
            busy = True
            self.queues.put(*found, self._follower.watermarks)
        return busy

    def _hand_over(self) -> bool:
        due = self.queues.take_frames(all_ages=self._received_all.is_set())
        if due is None:
            return False
        try:
            sent = self.dispatch.send(due)
            if sent.left:
                self.queues.put_back(due.run, sent.left, sent.pause_s)
            for batch in sent.taken:
                self.digester.offer(batch.files)
                self._note_ends(batch.sessions)
        except ManagerRestartedError:
            self._rewind()
        return True

    def _note_ends(self, sessions: list[Session]) -> None:
        for session in sessions:
            if (log_id := bytes.fromhex(session.log_id)) not in self._ended:
                self._ended.add(log_id)
                self.lost_by.update(session.lost)
                note_end(session)

    def _note_rank(self, peer: Peer) -> None:
        self.n_hellos += 1
        note_client(peer)
        if self.processes is not None:
            self.processes.note(peer.log_id or b"", peer.host, peer.pid)

    def _confirm(self) -> None:
        """A manager that was killed after it took a batch is only noticed by asking."""
        if self.handover.n_unconfirmed:
            try:
                self.handover.confirm(self.journal.identity)
            except ManagerRestartedError:
                self._rewind()

    def _rewind(self) -> None:
        """Begin again behind what the manager's store has of each run."""
        self._taken = (-1, "")
        found = self.handover.watermarks(self.journal.identity)
        if found is not None:
            self.queues.clear()
            self._follower.rewind(found)

    def _seal(self) -> None:
        while not self._stopping.wait(1.0):
            try:
                self.journal.seal_next()
                self._sealing_trouble = ""
            except (OSError, LogError) as exc:
                self._sealing_trouble = f"sealing: {exc}"

    @property
    def trouble(self) -> str:
        """What is wrong now; empty when all is well."""
        damage = [*self.journal.unreadable, *self.journal.corrupt]
        corrupt = "; ".join(str(each) for each in damage[:3])
        return (
            self.failure
            or self.server.trouble
            or self.handover.trouble
            or self.dispatch.trouble
            or self._sealing_trouble
            or self.digester.trouble
            or (self.processes.trouble if self.processes else "")
            or corrupt
        )

    def status(self) -> dict[str, Any]:
        """Return counts for `sprov status`."""
        now = time.time()
        refused_by = dict(self.server.refused_by)
        peers = self.server.admission.ranks()
        taken_below, manager = self._taken
        return {
            "journal": self.journal.identity,
            "frames": self.journal.durable,
            "taken_below": taken_below,
            "manager": manager,
            "duplicates": self.server.duplicates,
            "refused": sum(refused_by.values()),
            "refused_by": refused_by,
            "queued_records": self.queues.n_records,
            "unread_frames": self.journal.durable - self._follower.ordinal,
            "settled": self._settled >= self.journal.durable,
            "handed_over": self.handover.n_records,
            "skipped": sum(self.dispatch.skipped.values()),
            "skipped_by": dict(self.dispatch.skipped),
            "refused_frames": [frame._asdict() for frame in list(self.dispatch.refused)],
            "refused_frames_not_listed": self.dispatch.n_refused - len(self.dispatch.refused),
            "unreadable_frames": self.queues.unreadable,
            "digested": self.digester.n_digested,
            "overwritten": self.digester.n_overwritten,
            "to_digest": self.digester.n_unfinished,
            "trouble": self.trouble,
            "lost": sum(self.lost_by.values()),
            "lost_by": dict(self.lost_by),
            **self._observer.disk._asdict(),
            **self.server.quota.status(),
            "hellos": self.n_hellos,
            "clients": len(peers),
            "clients_that_fit": self.server.room.n_clients,
            "ranks": [
                {
                    "run": peer.run,
                    "rank": peer.rank,
                    "host": peer.host,
                    "pid": peer.pid,
                    "silent_s": round(now - peer.seen, 1),
                    "frames": peer.n_frames,
                }
                for peer in peers[:LISTED_RANKS]
            ],
            "ranks_not_listed": max(len(peers) - LISTED_RANKS, 0),
            **self._silent(now),
        }

    def _silent(self, now: float) -> dict[str, Any]:
        """Return the ranks that can't be reached and of which no end is known."""
        silent = [
            {"run": peer.run, "rank": peer.rank, "host": peer.host, "pid": peer.pid,
             "silent_s": round(now - peer.seen, 1)}
            for peer in self.silent_ranks()
        ]  # fmt: skip
        return {"silent": len(silent), "silent_ranks": silent[:LISTED_RANKS]}

    def silent_ranks(self) -> list[Peer]:
        """Return the ranks that `_silent` is of; on any thread."""
        told = set() if self.processes is None else self.processes.told
        departed = [*self.server.admission.departed.items()]
        return [peer for log, peer in departed if log not in self._ended and log not in told]


def _claim(path: Path) -> tuple[Endpoint, str]:
    """Return the endpoint to serve, with keys, and the secret one.

    Raises:
        UnavailableError: A tracker that lives has this name.
    """
    old = known_endpoint(path)
    if old.host == launch.host() and is_daemon(old.tracker_pid):
        raise UnavailableError(
            f"a tracker runs already, as process {old.tracker_pid} ({path})",
            "`sprov stop` ends it, or give this one another --name",
        )
    secret = read_secret(path)
    if not is_pair(old.server_public_key, secret):
        keys, secret = new_keys()
        write_secret(path, secret)
        old = update_endpoint(path, **keys)
    return old, secret
