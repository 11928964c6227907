"""Where a rank's frames go when no tracker takes them: a packed log in the project.

It is made with room for the session's end, which is told there when the disk is full.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from .foreign import suppressing
from .frame import read_head
from .log import HEADER_BYTES, LogWriter
from .sharing import make_folder
from .whereabouts import find_file, is_truncated, remove_stump

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from .log import FileHeader

FULL = (errno.ENOSPC, errno.EDQUOT)
COPY_BYTES = 1 << 20
ROOM_BYTES = 16 << 10
"""Kept in the log from the start, so that a session's end has a place on a full disk."""


class Outbox:
    """One packed log, made when it is first written; another if the device fails under it."""

    def __init__(self, folder: Path, header: FileHeader) -> None:
        self.trouble = ""
        """Why the last frames were not written, all or some of them."""
        self._folder = folder
        self._header = header
        self._n_given_up = 0
        self._is_full = False
        self._writer: LogWriter | None = None
        self._has_end = False
        """`keep_end` has put something into its room."""
        self._n_records = self._n_lost = 0
        """Records in the log that there is; those in logs that were removed and can't be read."""
        self._is_adrift = False
        """The log was removed and no other could be made yet."""

    @property
    def path(self) -> Path:
        nth = f"-{self._n_given_up}" if self._n_given_up else ""
        return self._folder / f"{self._header.log_id.hex()}{nth}.log"

    @property
    def is_open(self) -> bool:
        return self._writer is not None

    def append(self, frames: Iterable[bytes]) -> int:
        """Append frames and sync; return how many, from the first on, are durable."""
        self.trouble = ""
        if self._is_adrift or self._is_truncated():
            self.trouble = f"{self.path} is gone"  # until `look` has made another
            return 0
        try:
            writer = self._open()
        except OSError as exc:
            self._fail(exc)
            return 0
        n_frames = n_records = 0
        try:
            for frame in frames:
                writer.append([frame])
                n_frames += 1
                n_records += read_head(frame).n_records
        except OSError as exc:
            self._fail(exc)
        try:
            writer.sync()
        except OSError as exc:  # what is not durable now never is: Linux says so only once
            n_frames = n_records = 0
            self._fail(exc)
            self._take_back(writer)
        self._n_records += n_records
        if self.trouble and not self._is_full:
            self._give_up(writer)
        return n_frames

    def _open(self) -> LogWriter:
        if self._writer is None:
            self._writer = self._make()
        return self._writer

    def _is_truncated(self) -> bool:
        writer = self._writer
        return writer is not None and is_truncated(writer.fileno(), writer.size)

    def _make(self) -> LogWriter:
        if not self._folder.parents[1].is_dir():  # the project was moved: it is not made again
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        make_folder(self._folder)
        try:
            return LogWriter(self.path, self._header, is_locked=True, room=ROOM_BYTES)
        except OSError:
            if self.path.is_file():  # its name may be lost with the folder's sync
                self._n_given_up += 1
            raise

    def follow(self, before: Path, folder: Path) -> None:
        """Make what is not yet made in the folder that this one has become."""
        if self._folder == before:
            self._folder = folder

    def look(self) -> bool:
        """See where the log is; if it is gone, have another with all it had, and return True."""
        writer = self._writer
        if writer is None:
            return False
        is_whole = not self._is_truncated()
        here = find_file(writer.fileno(), writer.path) if is_whole else None
        if here is not None:
            writer.path, self._folder = here, here.parent
            return False
        try:
            self._writer = self._remake(writer, is_whole=is_whole)
            self._is_adrift = False
        except OSError as exc:
            self._is_adrift = True
            self.trouble = f"{writer.path} is gone, and no other can be made: {exc.strerror}"
            return False
        with suppressing(OSError):
            writer.close()
        if not is_whole:
            remove_stump(writer.path, HEADER_BYTES)
        return True

    def _remake(self, before: LogWriter, *, is_whole: bool) -> LogWriter:
        other = self._make()
        try:
            if not (is_whole and self._copy(before, other)):
                self._n_lost += self._n_records
                self._n_records = 0
        except OSError:
            other.close()
            other.path.unlink(missing_ok=True)
            raise
        return other

    def _copy(self, before: LogWriter, other: LogWriter) -> bool:
        """Copy what a log had; False if it can't be read, as when another node removed it."""
        for at in range(before.begin, before.size, COPY_BYTES):
            try:
                data = os.pread(before.fileno(), min(COPY_BYTES, before.size - at), at)
            except OSError:
                return False
            other.append([data])
        other.sync()
        return True

    def take_lost(self) -> int:
        """Return how many records could not be copied since this was asked last."""
        n_lost, self._n_lost = self._n_lost, 0
        return n_lost

    def keep_end(self, frames: list[bytes]) -> None:
        """Put the last of frames that the disk did not take into the room that was kept for them.

        They say how the session ended and what it counted; all are in the spool as well, which may
        be in memory that goes when the job does.
        """
        if self._writer is None or not frames:
            return
        last: list[bytes] = []
        for frame in reversed(frames):
            if sum(map(len, last)) + len(frame) > ROOM_BYTES:
                break
            last.insert(0, frame)
        self._has_end = True
        try:
            self._writer.fill_room(last)
        except OSError as exc:
            self._fail(exc)

    def _fail(self, exc: OSError) -> None:
        self._is_full = exc.errno in FULL
        self.trouble = f"{self.path}: {exc.strerror or exc}"

    def _take_back(self, writer: LogWriter) -> None:
        try:
            writer.take_back()
        except OSError:  # frames that come twice are one
            self._is_full = False

    def _give_up(self, writer: LogWriter) -> None:
        """Leave a file as it is: what it ends with is not known."""
        self.close()
        if not writer.is_empty:
            self._n_given_up += 1

    def close(self) -> None:
        """Close the log, and remove it if nothing came into it: a tracker took all."""
        writer, self._writer = self._writer, None
        if writer is None:
            return
        with suppressing(OSError):
            writer.close()
        if writer.is_empty and not self._has_end:
            with suppressing(OSError):
                writer.path.unlink()
