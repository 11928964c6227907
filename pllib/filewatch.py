"""Whether the files of a session are still where they are found, on the sender's thread.

Somebody may remove `.sprov/spool`, or a file in it, while a rank runs, or rename what it lies in.
The mapping goes on without a name, and so does an open log: what is captured then would go with the
process, without a word.  A project that was moved is followed; else other files are made, and get
what the old ones had.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from .foreign import is_theirs
from .places import SHARED_MEMORY, own_place

if TYPE_CHECKING:
    from pathlib import Path

    from .outbox import Outbox
    from .spool import Spool

RETRY_S = 1.0
OUTBOX_EVERY_S = 2.0
"""It may lie on a file system of other nodes."""


class Guest(Protocol):
    """What is said to the session."""

    def tell(self, message: str) -> None: ...
    def lose(self, reason: str, n_records: int = 1) -> None: ...


class FileWatch:
    """Looks at the spool and the outbox of one session."""

    def __init__(self, spool: Spool, outbox: Outbox, guest: Guest) -> None:
        self._spool = spool
        self._outbox = outbox
        self._guest = guest
        self._spool_at = self._outbox_at = 0.0

    def look(self, now: float) -> None:
        """Look where the files are, and make others where they are gone."""
        if now >= self._spool_at:
            self._look_at_spool(now)
        if now >= self._outbox_at:
            self._outbox_at = now + OUTBOX_EVERY_S
            self.look_at_outbox()

    def _look_at_spool(self, now: float) -> None:
        was = self._spool.path
        try:
            here = self._spool.look()
            if here is None:
                self._spool.replace(folder_after(was.parent) / f"{os.urandom(8).hex()}.spool")
                self._guest.tell(f"{was} is gone: records go on in {self._spool.path}")
        except OSError as exc:
            if is_theirs(exc):
                raise
            self._spool_at = now + RETRY_S
            reason = exc.strerror or type(exc).__name__
            self._guest.tell(f"{was} is gone, and no other can be made: {reason}")
            return
        if here is None:
            self._outbox_at = 0.0  # it lay there, too
        elif here != was:
            self._spool.path = here
            self._outbox.follow(was.parent, here.parent)
            self._guest.tell(f"the project was moved: records go on in {here.parent}")

    def look_at_outbox(self) -> None:
        was = self._outbox.path
        if self._outbox.look():
            self._guest.tell(f"{was} is gone: what it had is in {self._outbox.path}")
        if n_lost := self._outbox.take_lost():
            self._guest.lose("a log that was removed can't be read any more", n_lost)


def folder_after(folder: Path) -> Path:
    """Return where to make another file for one that was in this folder.

    A project that is gone as a whole is not made again, nor is a place of all users taken without
    a look at whose it is now.

    Raises:
        OSError: No folder can be made.
    """
    is_shared_memory = str(folder.parent) == SHARED_MEMORY
    if not is_shared_memory and (folder.is_dir() or folder.parents[1].is_dir()):
        return folder
    return own_place()
