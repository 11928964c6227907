"""How the working tree differs from the commit that is checked out.

git is asked beside the running command; without one, and in a repository that it refuses, the
commit is all that is known.
"""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Callable

COMMAND = (
    "git", "-c", "core.fsmonitor=false", "diff", "--no-ext-diff", "--no-textconv", "--no-color",
    "HEAD",
)  # fmt: skip
"""Nothing that the repository's configuration names is run, but for its filters."""
MAX_BYTES = 16 << 20
"""A longer difference is data, and not kept."""
TIMEOUT_S = 30.0
POLL_S = 0.05


def difference(folder: str, is_over: Callable[[], bool]) -> bytes | None:
    """Return the difference of the tree around a folder from its commit; None if it isn't known.

    Args:
        is_over: Tells whether to give up.
    """
    environ = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        asked = subprocess.Popen(
            COMMAND, cwd=folder, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    except OSError:  # there is no git
        return None
    with asked:
        assert asked.stdout is not None
        data = _read(asked.stdout.fileno(), is_over)
        if data is None:
            asked.kill()
    return data if asked.returncode == 0 else None


def _read(fd: int, is_over: Callable[[], bool]) -> bytes | None:
    """Return all that comes; None if it is too much or takes too long."""
    found, until_s = bytearray(), time.monotonic() + TIMEOUT_S
    poll = select.poll()
    poll.register(fd)
    while len(found) <= MAX_BYTES and time.monotonic() < until_s and not is_over():
        if poll.poll(POLL_S * 1000):
            data = os.read(fd, 1 << 20)
            if not data:
                return bytes(found)
            found += data
    return None
