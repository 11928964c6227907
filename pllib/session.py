"""A session: one process's capture, from `open` to `close`.

Runs inside the user's process, once per MPI rank.  Promises that hold for every function here:

* it returns at once: no DNS, network or lock is waited for on the calling thread;
* it never raises into user code once `open` has returned, nor swallows what theirs raises;
* what it cannot keep it counts, so that loss shows up in the graph (`Session.lost`).

The one exception is `close`, which may wait `close_timeout_s` and says so.
"""

from __future__ import annotations

import atexit
import functools
import itertools
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from . import clock, ends, late, notices, resources
from .clock import Clock
from .config import as_hyperparameters
from .execution import Execution, Transformation
from .failures import describe_error
from .foreign import is_theirs
from .losses import Losses
from .nesting import leave
from .recording import NOTHING, innermost
from .records import ROOT, Closed, Context, Declared, Ended, Facts, Started, encode
from .series import merged
from .shape import Shape, Shapes
from .spool import Chunk, Spool
from .values import as_text, interned
from .writer import Held, Local, Writer, retire_all

if TYPE_CHECKING:
    from pathlib import Path

    from .connection import Finder
    from .describing import Describer
    from .outbox import Outbox
    from .settings import Settings
    from .telemetry import Sampler
    from .unwinding import Left

Result = TypeVar("Result")
MAX_MESSAGES = 10


class Session(Execution):
    """One process's part of a run; `pllib.open` makes it."""

    # Those that every capture reads: past 30 attributes CPython 3.11 looks them up more slowly.
    __slots__ = (
        "__dict__", "__weakref__", "_began", "_clock_offset", "local", "open_transformations",
        "sampler", "sequence", "shapes",
    )  # fmt: skip

    def __init__(
        self,
        context: Context,
        spool: Spool,
        settings: Settings,
        outbox: Outbox,
        finder: Finder | None,
    ) -> None:
        self._session = self
        self._wall_clock, self._host = Clock(), context.host
        self._clock_offset = self._wall_clock.offset_ns
        """What the monotonic clock lacks to the time of records."""
        self._settings = settings
        self._spool = spool
        self._context = encode(context)
        self._leases: dict[Chunk, Writer] = {}
        self._writers: list[Writer] = []
        self._idle: deque[Writer] = deque()
        self.is_closed = self.is_managed = self._closing = False
        self._opener = threading.get_ident()
        self._last_error_id = id(ends.last_error())
        self._closer = 0
        """The thread that writes the end, when no other may write any more."""
        self._told: set[str] = set()
        self._tick_at = 0.0
        self._announced: set[int] = set()
        self._outer: Execution | None = None
        self.kind, self.name, self.path, self.only_rank = "run", context.workflow, "", None
        self.step, self._known = None, {}
        self.plans: dict[tuple[str, str], bytes] = {}
        """What stages said of their plans, by kind and name."""
        self.run, self.rank, self.size = context.run, context.rank, context.size
        self._shapes = Shapes()
        self.shapes: dict[str, Shape] = {}
        """The shape that transformations of a name had last."""
        self.local = Local()
        self.lost = Losses()
        """Reason to number of records that were not kept."""
        self.sequence = itertools.count()
        self.seq = next(self.sequence)
        self.open_transformations: dict[int, Transformation] = {}
        self.occurrences: dict[str, tuple[int, int]] = {}
        self._left: deque[Left] = deque(maxlen=32)
        """Executions that ended with their generators: one exception may go past several."""
        self.sampler: Sampler | None = None
        self.describer: Describer | None = None
        self._began = self.guard(resources.used)
        from .sender import Sender  # not before a session is opened

        self._sender = Sender(spool, self._leases, outbox, finder, settings.flush_age_s, self)

    @property
    def status(self) -> str:
        """online if there is a tracker, else offline."""
        return self._sender.status

    @property
    def log_id(self) -> bytes:
        return self._spool.log_id

    @property
    def spool_path(self) -> Path:
        return self._spool.path

    def _now_ns(self) -> int:
        """Return the time of what is recorded now, UTC nanoseconds since 1970."""
        return time.perf_counter_ns() + self._clock_offset

    def next_seq(self) -> int:
        return next(self.sequence)

    def begin(self, context: Context, config: Any, resume_from: Any) -> None:
        """Write the run's start and settings, start the sender, become the innermost."""
        self.write(
            (self.kind, self.name, NOTHING, NOTHING),
            lambda sig: encode(
                Started(self.next_seq(), self.seq, ROOT, sig, context.opened_ns, self.path)
            ),
        )
        if config is not None:
            self.guard(lambda: self.start_with(as_hyperparameters(self, config)))
        if resume_from is not None:
            self.resumed_from(resume_from)
        self._outer = innermost.get()
        innermost.set(self)
        try:
            self._sender.start()
        except RuntimeError as exc:  # no thread to be had, as at interpreter exit: spool only
            self.tell(f"no sender: {exc}; records stay in {self.spool_path}")
        ends.enrol(self)

    def __enter__(self) -> Session:
        self.is_managed = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close(error=error)

    def shape(self, kind: str, name: str, used: list[Any], generated: list[Any]) -> Shape:
        return self._shapes.find(kind, name, used, generated)

    def shape_of(self, kind: str, name: Any, used: tuple[Any, ...]) -> Shape | None:
        """Return a shape that was met with these used names; None if there is none."""
        return self._shapes.of(kind, name, used)

    def write(
        self, names: tuple[str, str, list[Any], list[Any]], make: Callable[[int], bytes]
    ) -> None:
        """Write one record; count it if it can't be kept.

        Args:
            names: Kind, name, used names and generated names of the record's shape.
            make: Encodes the record, given the shape's number.
        """
        self.write_shaped(self.shape(*names), make)

    def write_shaped(self, shape: Shape, make: Callable[[int], bytes]) -> Writer | None:
        """Write one record of a shape; count it if it can't be kept.

        Returns:
            The writer that has it, None if it was not kept.
        """
        if self.is_closed and threading.get_ident() != self._closer:
            self.lost["after close"] += 1
            return None
        writer = self.local.writer
        if writer is None or writer.busy:
            writer = self._new_writer()
        if writer.write(shape, make):
            return writer
        if self._settings.spool_full == "block" and self._wait_for_room():
            return self.write_shaped(shape, make)
        if self.is_closed:
            self.lost["after close"] += 1
        else:
            self.lose("spool full")
        return None

    def _new_writer(self) -> Writer:
        try:
            writer = self._idle.pop()
        except IndexError:
            writer = Writer(self._spool, self._context, self._leases, self._sender.retire)
            self._writers.append(writer)
        self.local.writer, self.local.lines = writer, writer.lines
        self.local.held = Held(writer, self._idle)
        return writer

    def declare(self, declared: Declared) -> None:
        """Write one thing of a plan."""
        self.write((self.kind, self.name, NOTHING, NOTHING), lambda _: encode(declared))

    def interrupted(self) -> None:
        """Put this thread's writer in order after an exception in the middle of a write."""
        writer = self.local.writer
        if writer is not None and writer.busy:
            writer.interrupted()

    def forget(self, execution: Execution) -> None:
        """Write no more points of an execution by what was known of it."""
        for line in [line for writer in [*self._writers] for line in [*writer.lines.values()]]:
            for other in [*line.others.values()]:
                if other.owner is execution:
                    other.owner = None

    def _wait_for_room(self) -> bool:
        """Wait, as the user chose, until the sender has freed a chunk."""
        while not self._closing:
            self._sender.wake()
            if self._spool.free:
                return True
            time.sleep(0.002)
        return False

    def guard(self, call: Callable[..., Result], *args: Any) -> Result | None:
        """Call one of ours; an exception of ours is counted and told once, never raised."""
        try:
            return call(*args)
        except Exception as exc:
            if is_theirs(exc):
                raise
            self.failed(exc)
            return None

    def failed(self, exc: Exception) -> None:
        self.lose(f"{type(exc).__name__} in capture: {as_text(exc)}")

    def lose(self, reason: str, n_records: int = 1) -> None:
        """Count records that were not kept, and say so once."""
        self.lost.add(reason, n_records)
        self.tell(f"{reason}; records that can't be kept are counted")

    def tell(self, message: str, *, at_end: bool = False) -> None:
        """Say something once on stderr: ten such things at most, and what is said at the end."""
        if message not in self._told and (at_end or len(self._told) < MAX_MESSAGES):
            self._told.add(message)
            notices.write(f"rank {self.rank}: {message}")

    def tick(self, now: float) -> None:
        """On the sender's thread: a start record for each transformation that is open for long."""
        if self.describer is not None:
            self.guard(self.describer.advance)
        if now - self._tick_at < self._settings.flush_age_s:
            return
        self._tick_at = now
        self.guard(self._look_at_clock)
        self.guard(late.look, self)
        before_ns = time.perf_counter_ns() - int(self._settings.flush_age_s * 1e9)
        for execution in list(self.open_transformations.values()):
            is_long = 0 < execution._clock < before_ns  # 0 as long as it is being entered
            if is_long and execution.seq not in self._announced:
                self._announced.add(execution.seq)
                self.guard(self._announce, execution)
        self._announced.intersection_update(list(self.open_transformations))

    def _look_at_clock(self) -> None:
        """Record that the wall clock was set; times go on by the monotonic one."""
        if step_ns := self._wall_clock.step():
            text = clock.told(step_ns, self._host)
            facts = encode(Facts(self.next_seq(), {f"{clock.FACT}{self.rank}": text}))
            self.write((self.kind, self.name, NOTHING, NOTHING), lambda _: facts)
            self.tell(f"the clock was {text}; what is recorded goes on by the monotonic clock")

    def _announce(self, execution: Transformation) -> None:
        self.write(
            ("transformation", interned(execution.name), NOTHING, NOTHING),
            lambda sig: encode(
                Started(
                    self.next_seq(), execution.seq, execution.parent_seq(), sig,
                    execution.started_ns, only_rank=execution.only_rank,
                )
            ),
        )  # fmt: skip

    def close(self, timeout_s: float | None = None, *, error: BaseException | None = None) -> None:
        """End the session: write its end, and wait for the tracker to have it all.

        Args:
            timeout_s: Wait at most so long, `close_timeout_s` by default; what is not delivered
                by then stays in the project's spool for `sprov ingest`.
            error: What ended the block, if it was an exception.
        """
        from .settings import seconds

        wait_s = seconds(timeout_s, self._settings.close_timeout_s)
        self._close(wait_s, error, with_process=False)

    def _end_with_process(self) -> None:
        """Close at the end of the process: by an exception that nobody caught, or in order."""
        error, is_status_known = ends.of_process(self._last_error_id)
        self._close(None, error, with_process=not is_status_known)

    def _end_with_worker(self) -> None:
        """Close at the end of a worker of multiprocessing, in a `finally` of Python up to 3.12."""
        self._close(None, sys.exc_info()[1], with_process=False)

    def _close(
        self, timeout_s: float | None, error: BaseException | None, *, with_process: bool
    ) -> None:
        if self._closing:
            return
        self._closing = True
        self.guard(leave, self, error)
        if self.sampler is not None:
            self.guard(self.sampler.stop)
        if self.describer is not None:
            self.guard(self.describer.finish)
        self.guard(self._write_end, error, with_process)
        self.is_closed, self._closer = True, 0
        ends.dismiss(self)
        self.guard(self._finish, self._settings.close_timeout_s if timeout_s is None else timeout_s)

    def _summarise(self) -> None:
        """Write what the points of each series were."""
        for totals in merged(self._writers).values():
            summary = functools.partial(totals.summary, self.next_seq())
            self.write_shaped(totals.shape, summary)

    def _stop_others(self) -> None:
        """Have records of other threads refused and counted from here on."""
        self.is_closed, self._closer = True, threading.get_ident()
        self._spool.reserve(self._closer)
        others = [writer for writer in self._writers if writer is not self.local.writer]
        retire_all(others, self._sender.retire)

    def _write_end(self, error: BaseException | None, with_process: bool) -> None:
        self._stop_others()
        self._spool.release_reserve(keep=1)
        self.guard(self._summarise)
        self._spool.release_reserve()
        if self._sender.trouble and (writer := self.local.writer) is not None:
            writer.limit = 0  # the end in a frame of its own, for which the outbox has kept room
        self.guard(self._look_at_clock)
        at_ns = self._now_ns()
        plain = (self.kind, self.name, NOTHING, NOTHING)
        took = None if self._began is None else self.guard(resources.used_since, self._began)
        said = describe_error(error)
        ended = Ended(
            self.next_seq(), self.seq, at_ns, said, took, with_process and error is None
        )  # fmt: skip
        self.write(plain, lambda _: encode(ended))
        written = sum(writer.count() for writer in self._writers) + 1
        closed = Closed(self.next_seq(), written, self.lost.recorded(), at_ns)
        self.write(plain, lambda _: encode(closed))

    def _finish(self, timeout_s: float) -> None:
        done = self._sender.finish(timeout_s)
        for writer in self._writers:
            writer.map = writer.words = None
        self._spool.close(keep=not done)
        if self._sender.trouble:
            self.tell(self._sender.trouble, at_end=True)
        if lost := self.lost.in_words():
            self.tell(lost, at_end=True)
        if not done:
            self.tell(f"records are left in {self.spool_path}: run `sprov ingest`", at_end=True)

    def abandon(self) -> None:
        """In a forked child: capture nothing; the parent's session goes on in the parent."""
        self.is_closed = self._closing = True
        self.local = Local()
        self.lost = Losses()
        self.open_transformations = {}
        atexit.unregister(self._end_with_process)
