"""How sessions end with their process: in order, by an exception, by a fork's child.

A second `open` leaves the first session open, but at a prompt: in a notebook the cell that opens a
session is run again, and nothing else ends the one before.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from types import CodeType, FrameType
from typing import TYPE_CHECKING

from .recording import innermost

if TYPE_CHECKING:
    from .session import Session

_sessions: list[Session] = []
"""Open ones, in the order in which they were opened."""
_watches_forks = False
_worker: FrameType | None = None
"""The frame that runs this process, if it is a worker of multiprocessing."""


class WorkerError(Exception):
    """What a worker of multiprocessing ended with, when its exception is gone."""


def enrol(session: Session) -> None:
    """Have a session closed when the process ends in order, and left alone by forked children.

    A child of multiprocessing ends by `os._exit`, after finalizers of its own; from Python 3.13 on
    it runs what is registered with `atexit`.
    """
    global _watches_forks, _worker
    if not _watches_forks:
        _watches_forks = True
        os.register_at_fork(after_in_child=_abandon_all)
    _sessions.append(session)
    atexit.register(session._end_with_process)
    processes, util = map(sys.modules.get, ("multiprocessing.process", "multiprocessing.util"))
    if processes is not None and util is not None and processes.parent_process() is not None:
        _worker = _worker or _running(processes.BaseProcess._bootstrap.__code__)
        util.Finalize(None, session._end_with_worker, exitpriority=0)


def dismiss(session: Session) -> None:
    """Forget a session that is closed."""
    atexit.unregister(session._end_with_process)
    if session in _sessions:
        _sessions.remove(session)


def _running(code: CodeType) -> FrameType | None:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code is not code:
        frame = frame.f_back
    return frame


def of_process(last_id: int) -> tuple[BaseException | None, bool]:
    """Return what ends this process, None for nothing, and whether its exit status is known.

    Args:
        last_id: As of `uncaught`.
    """
    error = uncaught(last_id)
    status = None if _worker is None else _worker.f_locals.get("exitcode")
    if status and error is None:
        error = WorkerError(f"exit status {status}")
    return error, status is not None


def _abandon_all() -> None:
    global _worker
    _worker = None
    for session in [*_sessions]:
        session.abandon()
    _sessions.clear()
    innermost.set(None)


def latest() -> Session | None:
    """Return the open session that was opened last, for threads that inherit no context."""
    return next((session for session in reversed(_sessions) if not session.is_closed), None)


def is_interactive() -> bool:
    """Tell whether somebody types at a prompt: Python's own, IPython's, a notebook's."""
    return hasattr(sys, "ps1")


def close_replaced() -> None:
    """At a prompt, close what this thread opened before and no `with` will close, and say so."""
    if not is_interactive():
        return
    for session in [*_sessions]:
        if session._opener == threading.get_ident() and not session.is_managed:
            session.tell(f"run {session.run[:8]} is closed, since another session is opened here")
            session.close()


def last_error() -> BaseException | None:
    """Return the exception that the interpreter reported last."""
    error = getattr(sys, "last_exc", None)  # from Python 3.12 on
    return getattr(sys, "last_value", None) if error is None else error


def uncaught(last_id: int) -> BaseException | None:
    """Return the exception that ends this process, None if there is none.

    The interpreter keeps it before it calls `sys.excepthook`, whosever that is.  At a prompt it is
    only what some line raised, and the program went on.

    Args:
        last_id: `id` of the last one when the session was opened, which is none of its errors.
    """
    error = last_error()
    return None if error is None or id(error) == last_id or is_interactive() else error
