"""A project's quota: beyond it no frame is journalled, and ranks keep theirs.

What counts is all that lies in `.sprov/`, in blocks as `du` counts them, a file with several names
once; indexes in a folder elsewhere do not.  To measure takes a walk, so it is done now and then by
a thread of its own, and what was journalled since is added.
"""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

BLOCK_BYTES = 512
"""Source: stat(2), st_blocks."""
EVERY_S = 10.0
REST = 20
"""A walk takes at most one part in so many of the time."""


class Quota:
    """Of one project; `measure` is for one thread, `check` and `add` for another."""

    def __init__(self, root: Path, most_bytes: int) -> None:
        """Args:
        most_bytes: 0 for no quota; nothing is measured then.
        """
        self._root = root
        self.most_bytes = most_bytes
        self._measured = 0
        self._since = 0
        """Bytes that were journalled since that was measured."""
        self._measure_at = 0.0

    @property
    def used_bytes(self) -> int:
        return self._measured + self._since

    def status(self) -> dict[str, int]:
        """Return what there is to tell of a quota; nothing of none."""
        if not self.most_bytes:
            return {}
        return {"project_bytes": self.used_bytes, "quota_bytes": self.most_bytes}

    def measure(self) -> None:
        """Measure if it is time to."""
        now = time.monotonic()
        if not self.most_bytes or now < self._measure_at:
            return
        since = self._since
        self._measured = project_bytes(self._root)
        self._since -= since  # what was added meanwhile may count twice until the next time
        ended = time.monotonic()
        self._measure_at = ended + max(EVERY_S, REST * (ended - now))

    def check(self) -> None:
        """Do nothing as long as something may be added.

        Raises:
            OSError: The quota is used up; ``EDQUOT``, as of a file system.
        """
        if self.most_bytes and self.used_bytes >= self.most_bytes:
            raise OSError(
                errno.EDQUOT,
                f"the project's quota of {self.most_bytes} bytes is used up ({self.used_bytes} "
                "bytes): `sprov gc` shows what may go, quota_bytes in [serve] sets it",
            )

    def add(self, n_bytes: int) -> None:
        self._since += n_bytes


def project_bytes(root: Path) -> int:
    """Return how much space the files under a project's root take; what vanishes does not count."""
    counted: set[tuple[int, int]] = set()
    n_bytes = 0
    for place, _, names in os.walk(root):
        for name in names:
            try:
                status = os.lstat(os.path.join(place, name))  # noqa: PTH118
            except OSError:
                continue
            if (status.st_dev, status.st_ino) not in counted:
                counted.add((status.st_dev, status.st_ino))
                n_bytes += status.st_blocks * BLOCK_BYTES
    return n_bytes
