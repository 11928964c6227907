"""How sessions end with their process: in order, by a fork's child, or by the next one."""

from __future__ import annotations

import atexit
import os
import sys
import weakref
from typing import TYPE_CHECKING

from .recording import innermost

if TYPE_CHECKING:
    from .session import Session

_sessions: weakref.WeakSet[Session] = weakref.WeakSet()
_watches_forks = False


def enrol(session: Session) -> None:
    """Have a session closed when the process ends in order, and left alone by forked children.

    A child of multiprocessing ends by `os._exit`, after finalizers of its own.
    """
    global _watches_forks
    if not _watches_forks:
        _watches_forks = True
        os.register_at_fork(after_in_child=_abandon_all)
    _sessions.add(session)
    atexit.register(session.close)
    processes, util = map(sys.modules.get, ("multiprocessing.process", "multiprocessing.util"))
    if processes is not None and util is not None and processes.parent_process() is not None:
        util.Finalize(None, session.close, exitpriority=0)


def _abandon_all() -> None:
    for session in list(_sessions):
        session.abandon()
    _sessions.clear()
    innermost.set(None)


def latest() -> Session | None:
    """Return the open session of this process, for threads that inherit no context."""
    return next(iter(s for s in _sessions if not s.is_closed), None)


def close_unmanaged() -> None:
    """Close sessions that no `with` will: in a notebook a second `open` ends the first."""
    for session in [s for s in _sessions if not s.is_closed and not s.is_managed]:
        session.close()
