"""A session: one process's capture, from `open` to `close`.

Runs inside the user's process, once per MPI rank.  Promises that hold for every function here:

* it returns at once: no DNS, network or lock is waited for on the calling thread;
* it never raises into user code once `open` has returned, nor swallows what theirs raises;
* what it cannot keep it counts, so that loss shows up in the graph (`Session.lost`).

The one exception is `close`, which may wait `close_timeout_s` and says so.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import sys
import threading
import time
import warnings
import weakref
from collections import Counter, deque
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from . import identity, launch, mounts, sender
from .errors import Error, NotAProjectError
from .execution import (
    _NOTHING,
    Execution,
    Transformation,
    as_hyperparameters,
    describe_error,
    innermost,
    leave,
)
from .foreign import is_theirs
from .log import Owner
from .project import Project, choose_endpoint, find, read_endpoint
from .records import ROOT, Closed, Context, Ended, Started, encode
from .sender import Connection, Outbox, Sender
from .settings import Settings, from_process
from .shape import Shape, Shapes
from .spool import Chunk, Spool, Writer
from .values import interned

if TYPE_CHECKING:
    from pathlib import Path

Result = TypeVar("Result")
SHARED_MEMORY = "/dev/shm"

_opened = itertools.count()
_sessions: weakref.WeakSet[Session] = weakref.WeakSet()
_fork_hook = False


class _Local(threading.local):
    """A thread's writer; a thread that has none yet sees None."""

    writer: Writer | None = None
    held: _Held | None = None


class _Held:
    """Goes with its thread, and leaves the thread's writer to the next one."""

    __slots__ = ("_idle", "_writer")

    def __init__(self, writer: Writer, idle: deque[Writer]) -> None:
        self._writer = writer
        self._idle = idle

    def __del__(self) -> None:
        if not self._writer.busy:
            self._idle.append(self._writer)


class Session(Execution):
    """One process's part of a run; `pllib.open` makes it."""

    def __init__(
        self,
        context: Context,
        spool: Spool,
        settings: Settings,
        outbox: Outbox,
        connect: Callable[[], Connection] | None,
    ) -> None:
        self._session = self
        self._settings = settings
        self._spool = spool
        self._context = encode(context)
        self._leases: dict[Chunk, Writer] = {}
        self._writers: list[Writer] = []
        self._idle: deque[Writer] = deque()
        self._closed = self._closing = self._entered = False
        self._told: set[str] = set()
        self._tick_at = 0.0
        self._announced: set[int] = set()
        self._outer: Execution | None = None
        self.kind, self.name, self.path, self.only_rank = "run", context.workflow, "", None
        self.run, self.rank, self.size = context.run, context.rank, context.size
        self._shapes = Shapes()
        self.shapes: dict[str, Shape] = {}
        """The shape that transformations of a name had last."""
        self.local = _Local()
        self.lost: Counter[str] = Counter()
        """Reason to number of records that were not kept."""
        self.sequence = itertools.count()
        self.seq = next(self.sequence)
        self.open_transformations: dict[int, Transformation] = {}
        self.occurrences: dict[str, tuple[int, int]] = {}
        self._sender = Sender(
            spool, self._leases, outbox, connect, settings.flush_age_s, self._tick
        )
        self.status = "online" if connect else "offline"

    @property
    def log_id(self) -> bytes:
        return self._spool.log_id

    @property
    def spool_path(self) -> Path:
        return self._spool.path

    def next_seq(self) -> int:
        return next(self.sequence)

    def begin(self, context: Context, config: Any) -> None:
        """Write the run's start and settings, start the sender, become the innermost."""
        self.write(
            (self.kind, self.name, _NOTHING, _NOTHING),
            lambda sig: encode(
                Started(self.next_seq(), self.seq, ROOT, sig, context.opened_ns, self.path)
            ),
        )
        if config is not None:
            self.guard(lambda: self.used(as_hyperparameters(config)))
        self._outer = innermost.get()
        innermost.set(self)
        try:
            self._sender.start()
        except RuntimeError as exc:  # no thread to be had, as at interpreter exit: spool only
            self.tell(f"no sender: {exc}; records stay in {self.spool_path}")
        _watch_forks()
        _sessions.add(self)
        atexit.register(self.close)

    def __enter__(self) -> Session:
        self._entered = True
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

    def write(
        self, names: tuple[str, str, list[Any], list[Any]], make: Callable[[int], bytes]
    ) -> None:
        """Write one record; count it if it can't be kept.

        Args:
            names: Kind, name, used names and generated names of the record's shape.
            make: Encodes the record, given the shape's number.
        """
        self.write_shaped(self.shape(*names), make)

    def write_shaped(self, shape: Shape, make: Callable[[int], bytes]) -> None:
        """Write one record of a shape; count it if it can't be kept."""
        if self._closed:
            self.lost["after close"] += 1
            return
        writer = self.local.writer
        if writer is None or writer.busy:
            writer = self._new_writer()
        if writer.write(shape, make):
            return
        if self._settings.spool_full == "block" and self._wait_for_room():
            self.write_shaped(shape, make)
            return
        self.lose("spool full")

    def _new_writer(self) -> Writer:
        try:
            writer = self._idle.pop()
        except IndexError:
            writer = Writer(self._spool, self._context, self._leases, self._sender.retire)
            self._writers.append(writer)
        self.local.writer = writer
        self.local.held = _Held(writer, self._idle)
        return writer

    def interrupted(self) -> None:
        """Put this thread's writer in order after an exception in the middle of a write."""
        writer = self.local.writer
        if writer is not None and writer.busy:
            writer.interrupted()

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
        self.lose(f"{type(exc).__name__} in capture: {exc}")

    def lose(self, reason: str, n_records: int = 1) -> None:
        """Count records that were not kept, and say so once."""
        self.lost[reason[:200]] += n_records
        self.tell(f"{reason}; records that can't be kept are counted")

    def tell(self, message: str) -> None:
        if message not in self._told and len(self._told) < 10:
            self._told.add(message)
            with contextlib.suppress(Exception):  # a closed or foreign stderr may raise anything
                sys.stderr.write(f"sprov: rank {self.rank}: {message}\n")

    def _tick(self, now: float) -> None:
        """On the sender's thread: a start record for each transformation that is open for long."""
        if now - self._tick_at < self._settings.flush_age_s:
            return
        self._tick_at = now
        before_ns = time.time_ns() - int(self._settings.flush_age_s * 1e9)
        for execution in list(self.open_transformations.values()):
            if execution.started_ns < before_ns and execution.seq not in self._announced:
                self._announced.add(execution.seq)
                self.guard(self._announce, execution)
        self._announced.intersection_update(list(self.open_transformations))

    def _announce(self, execution: Transformation) -> None:
        self.write(
            ("transformation", interned(execution.name), _NOTHING, _NOTHING),
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
        if self._closing:
            return
        self._closing = True
        leave(self)
        self.guard(self._write_end, error)
        self._closed = True
        atexit.unregister(self.close)
        self.guard(self._finish, self._settings.close_timeout_s if timeout_s is None else timeout_s)

    def _write_end(self, error: BaseException | None) -> None:
        at_ns = time.time_ns()
        plain = (self.kind, self.name, _NOTHING, _NOTHING)
        self.write(
            plain, lambda _: encode(Ended(self.next_seq(), self.seq, at_ns, describe_error(error)))
        )
        written = sum(writer.count() for writer in self._writers) + 1
        closed = Closed(self.next_seq(), written, dict(self.lost), at_ns)
        self.write(plain, lambda _: encode(closed))

    def _finish(self, timeout_s: float) -> None:
        done = self._sender.finish(timeout_s)
        for writer in self._writers:
            writer.map = writer.words = None
        self._spool.close(keep=not done)
        if self._sender.trouble:
            self.tell(self._sender.trouble)
        if not done:
            self.tell(f"records are left in {self.spool_path}: run `sprov ingest`")

    def abandon(self) -> None:
        """In a forked child: capture nothing; the parent's session goes on in the parent."""
        self._closed = self._closing = True
        self.local = _Local()
        self.lost = Counter()
        self.open_transformations = {}
        atexit.unregister(self.close)


def _watch_forks() -> None:
    global _fork_hook
    if not _fork_hook:
        _fork_hook = True
        os.register_at_fork(after_in_child=_abandon_all)


def _abandon_all() -> None:
    for session in list(_sessions):
        session.abandon()
    _sessions.clear()
    innermost.set(None)


def latest() -> Session | None:
    """Return the open session of this process, for threads that inherit no context."""
    return next(iter(s for s in _sessions if not s._closed), None)


def open_session(
    *,
    study: str | None,
    experiment: str | None,
    run: str | None,
    name: str | None,
    workflow: str | None,
    tags: tuple[str, ...],
    config: Any,
    mode: str | None,
    settings: Mapping[str, Any] | None,
    facts: Mapping[str, str] | None,
) -> Session | None:
    """Open a session; None if the mode is off.

    Raises:
        SettingsError: A setting or the launch is not usable.
        UnavailableError: No spool can be made.
    """
    project = _project()
    given = {**(settings or {}), **({"mode": mode} if mode else {})}
    chosen = from_process(project.config, given)
    if chosen.mode == "off":
        return None
    project.create()
    for other in [s for s in _sessions if not s._closed and not s._entered]:
        other.close()
    context = _context(project, study, experiment, run, name, workflow, tags, facts)
    mine = launch.process()
    owner = Owner(launch.host(), mine.boot_id, mine.pid, mine.started)
    spool = _new_spool(project, chosen, owner)
    connect = _connector(project, chosen, context, spool.log_id)
    outbox = Outbox(project.spool / f"{spool.log_id.hex()}.log", spool)
    session = Session(context, spool, chosen, outbox, connect)
    session.begin(context, config)
    if connect is None and chosen.mode == "online" and context.rank == 0:
        session.tell(
            f"no tracker found, so records go to {project.spool}; `sprov ingest` takes them in"
        )
    return session


def _project() -> Project:
    from pathlib import Path

    try:
        return find()
    except NotAProjectError:
        return Project(Path.cwd() / ".sprov")


def _context(
    project: Project,
    study: str | None,
    experiment: str | None,
    run: str | None,
    name: str | None,
    workflow: str | None,
    tags: tuple[str, ...],
    facts: Mapping[str, str] | None,
) -> Context:
    found = launch.find()
    nth = next(_opened)
    launched = f"{found.launch}#{nth}" if nth else found.launch
    program = os.path.basename(sys.argv[0]) if sys.argv and sys.argv[0] else "python"  # noqa: PTH119
    return Context(
        run=identity.run(found.scope, launched, run),
        restart=found.restart,
        rank=found.rank,
        size=found.size,
        host=launch.host(),
        pid=os.getpid(),
        user=_user(),
        program=interned(program),
        project=project.name,
        workflow=workflow or experiment or study or interned(program.removesuffix(".py")),
        opened_ns=time.time_ns(),
        study=study,
        experiment=experiment,
        name=name or run,
        tags=tuple(str(tag) for tag in tags),
        scope=found.scope,
        launch=launched,
        facts={**found.facts, **{str(k): str(v) for k, v in (facts or {}).items()}},
    )


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's uid without a name
        return str(os.getuid())


def _new_spool(project: Project, settings: Settings, owner: Owner) -> Spool:
    """Make the spool where it can be mapped: as set, in the project, else in shared memory."""
    from pathlib import Path

    folder = Path(settings.spool_dir) if settings.spool_dir else project.spool
    if mounts.mount_of(folder).kind not in mounts.MAPPABLE:
        folder = Path(SHARED_MEMORY, f"sprov-{os.getuid()}")
    name = f"{os.urandom(8).hex()}.spool"
    return Spool(folder / name, owner, settings.flush_bytes, settings.spool_limit_bytes)


def _connector(
    project: Project, settings: Settings, context: Context, log_id: bytes
) -> Callable[[], Connection] | None:
    if settings.mode != "online":
        return None
    path = choose_endpoint(project, os.environ)
    try:
        endpoint = read_endpoint(path) if path is not None else None
    except Error as exc:
        warnings.warn(f"sprov: {exc}", stacklevel=4)
        return None
    if endpoint is None or not endpoint.tracker:
        return None
    hello = sender.hello(log_id, context.run, context.rank, context.host)
    return lambda: Connection(endpoint, hello)
