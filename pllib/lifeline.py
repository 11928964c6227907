"""A pipe by which a daemon notices that the process that started it has ended, however it did.

The kernel closes the starter's end of it, after SIGKILL too.  PR_SET_PDEATHSIG would tell of the
end of the thread that forked, and nothing of a parent that ended before it was set (prctl(2)).
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

OPTION = "--lifeline"
"""Of a daemon's command: the descriptor of its end."""


def watch(descriptor: int, on_end: Callable[[], None]) -> None:
    """Call `on_end` on a thread of its own once the starter has ended."""

    def wait() -> None:
        os.read(descriptor, 1)  # nobody writes: it returns at the end of the other side
        on_end()

    threading.Thread(target=wait, name="lifeline", daemon=True).start()


def end_when_asked(stop: Callable[[str], None], starter: int | None) -> None:
    """Call `stop` with who asked, on SIGTERM, on SIGINT and at the end of the starter.

    Args:
        starter: As `watch` takes it; None if nobody's end matters.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: stop(signal.Signals(number).name))
    if starter is not None:
        watch(starter, lambda: stop("its starter ended"))
