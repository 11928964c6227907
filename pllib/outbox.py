"""Where a rank's frames go when no tracker takes them: a packed log in the project.

It is made with room for the session's end, which is told there when the disk is full.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from .foreign import suppressing
from .log import LogWriter
from .sharing import make_folder

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from .log import FileHeader

FULL = (errno.ENOSPC, errno.EDQUOT)
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
        try:
            writer = self._open()
        except OSError as exc:
            self._fail(exc)
            return 0
        n_frames = 0
        try:
            for frame in frames:
                writer.append([frame])
                n_frames += 1
        except OSError as exc:
            self._fail(exc)
        try:
            writer.sync()
        except OSError as exc:  # what is not durable now never is: Linux says so only once
            n_frames = 0
            self._fail(exc)
            self._take_back(writer)
        if self.trouble and not self._is_full:
            self._give_up(writer)
        return n_frames

    def _open(self) -> LogWriter:
        if self._writer is None:
            make_folder(self._folder)
            try:
                self._writer = LogWriter(self.path, self._header, is_locked=True, room=ROOM_BYTES)
            except OSError:
                if self.path.is_file():  # its name may be lost with the folder's sync
                    self._n_given_up += 1
                raise
        return self._writer

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
        else:
            with suppressing(OSError):
                writer.path.unlink()

    def close(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            with suppressing(OSError):
                writer.close()
