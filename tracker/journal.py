"""The tracker's journal: the truth that every store is an index of.

A folder of packed logs (`pllib.log`) that share one log id, the journal's identity, across
restarts.  Frames are numbered through from 0 by their ordinal; a segment is named by the ordinal
of its first frame.  A segment that is full is sealed: its frames are compressed, one by one, so
that ordinals stay.

Guarantee: what `append` returned from is durable, and `read` never yields anything else.
Assumption: one writer a folder, held by a lock file.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import msgspec

from pllib import launch
from pllib.errors import LogCorruptError, UnavailableError
from pllib.log import (
    HEADER_BYTES,
    ZLIB,
    FileHeader,
    Frame,
    LogReader,
    LogWriter,
    Owner,
    new_header,
    sync_folder,
)
from pllib.sharing import make_folder, open_file

SEGMENT_BYTES = 64 << 20
CORRUPTION_GAP = 1 << 20
"""Ordinals left out behind a segment with corrupt frames, which can't be counted: a new frame must
not get an ordinal that a watermark already covers."""

FrameKey = tuple[bytes, int]


def segments(folder: Path) -> list[tuple[int, Path]]:
    """Return (ordinal of the first frame, path) of a journal's segments, in order."""
    found = [path for path in folder.glob("*.log") if path.stem.isdigit()]
    return sorted((int(path.stem), path) for path in found)


def read_journal(folder: Path, start: int = 0) -> Iterator[tuple[int, Frame]]:
    """Yield (ordinal, frame) of a journal that nobody writes, from ordinal `start` on."""
    known = segments(folder)
    for nth, (first, path) in enumerate(known):
        after = known[nth + 1][0] if nth + 1 < len(known) else None
        if after is not None and after <= start:
            continue
        with LogReader(path) as reader:
            for located in reader.frames(ordinal=first):
                if after is not None and located.ordinal >= after:
                    break
                if located.ordinal >= start:
                    yield located.ordinal, located.frame


class Journal:
    """The writing end; `close` when no other thread appends any more."""

    def __init__(self, folder: Path, segment_bytes: int = SEGMENT_BYTES) -> None:
        """Open or make a journal; what it holds is known afterwards.

        Raises:
            UnavailableError: Another tracker writes it, or the folder can't be written.
            LogError: A segment is of another format version, or not a log.
        """
        self.folder = folder
        self._segment_bytes = segment_bytes
        try:
            make_folder(folder)
            self._lock = _lock(folder / "lock")
        except OSError as exc:
            raise UnavailableError(f"the journal {folder} can't be written: {exc}") from exc
        self._seen: dict[bytes, set[int]] = defaultdict(set)
        self.corrupt: list[LogCorruptError] = []
        self._header, self._next = self._recover()
        self.durable = self._next
        """Ordinals below this are durable."""
        self._changed = threading.Condition()
        self._appending = threading.Lock()
        self._failed = self._closed = False
        self._writer = self._new_segment()

    @property
    def identity(self) -> str:
        return self._header.log_id.hex()

    def has(self, key: FrameKey) -> bool:
        return key[1] in self._seen.get(key[0], ())

    def append(self, frames: list[tuple[FrameKey, bytes]]) -> None:
        """Append packed frames and sync; any thread may, one at a time.

        Raises:
            OSError: Disk full or failed; none of these frames counts.
        """
        with self._appending:
            if self._closed:
                raise OSError(errno.ESHUTDOWN, "the journal is closed")
            self._append(frames)

    def _append(self, frames: list[tuple[FrameKey, bytes]]) -> None:
        if self._failed:
            self._roll()
            self._failed = False
        try:
            self._writer.append([data for _, data in frames])
            self._writer.sync()
        except OSError:
            # After a failed fsync nobody knows what is on the disk: what follows goes elsewhere.
            self._failed = True
            raise
        for (log_id, number), _ in frames:
            self._seen[log_id].add(number)
        self._next += len(frames)
        with self._changed:
            self.durable = self._next
            self._changed.notify_all()
        if self._writer.size >= self._segment_bytes:
            with contextlib.suppress(OSError):  # no space for another: this one goes on growing
                self._roll()

    def _roll(self) -> None:
        old, self._writer = self._writer, self._new_segment()
        old.close()

    def wait(self, beyond: int, timeout_s: float) -> bool:
        """Wait until there is a durable frame at ordinal `beyond`."""
        with self._changed:
            return self._changed.wait_for(lambda: self.durable > beyond, timeout_s)

    def wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def seal_next(self) -> bool:
        """Compress one full segment that is not yet; False if there is none."""
        for _, path in segments(self.folder)[:-1]:
            sealed = path.with_suffix(".sealed")
            if not sealed.exists():
                _compress(path)
                sealed.touch()
                return True
        return False

    def close(self) -> None:
        """End; who appends afterwards gets an OSError."""
        with self._appending:
            self._closed = True
        self._writer.close()
        if self._writer.n_frames == 0:
            self._writer.path.unlink()
        os.close(self._lock)

    def _recover(self) -> tuple[FileHeader, int]:
        mine = launch.process()
        header = new_header(Owner(launch.host(), mine.boot_id, mine.pid, mine.started))
        next_ordinal = 0
        for first, path in segments(self.folder):
            with LogReader(path) as reader:
                header = msgspec.structs.replace(header, log_id=reader.header.log_id)
                n_frames = 0
                for key in reader.frame_keys():
                    n_frames += 1
                    if key is not None:
                        self._seen[key[0]].add(key[1])
                self.corrupt.extend(reader.corrupt)
                reader.sync()
            if n_frames == 0 and not reader.corrupt:
                path.unlink()
            next_ordinal = first + n_frames + (CORRUPTION_GAP if reader.corrupt else 0)
        return header, next_ordinal

    def _new_segment(self) -> LogWriter:
        return LogWriter(self.folder / f"{self._next:012d}.log", self._header)


class Follower:
    """Reads a journal that is being written, frame by frame, only what is durable."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.ordinal = 0
        self._reader: LogReader | None = None
        self._offset = self._at = self._opened_at = 0

    def rewind(self) -> None:
        self.close()
        self.ordinal = 0

    def close(self) -> None:
        if self._reader is not None:
            self._reader.__exit__()
            self._reader = None

    def next(self) -> tuple[int, Frame] | None:
        """Return the next durable frame, or None if there is none yet."""
        while self.ordinal < self._journal.durable:
            reader = self._reader or self._open()
            located = next(reader.frames(offset=self._offset, ordinal=self._at), None)
            if located is None or located.ordinal >= self._after():
                if self._opened_at == self.ordinal:  # nothing more in here, since it was opened
                    self.ordinal = self._after()
                self.close()
                continue
            self._offset, self._at = located.end, located.ordinal + 1
            if located.ordinal >= self.ordinal:
                self.ordinal = self._at
                return located.ordinal, located.frame
        return None

    def _open(self) -> LogReader:
        """Open the segment that holds the next ordinal, at its first frame."""
        holding = [item for item in segments(self._journal.folder) if item[0] <= self.ordinal]
        self._at, path = holding[-1]
        self._offset = HEADER_BYTES
        self._opened_at = self.ordinal
        self._reader = LogReader(path)
        return self._reader

    def _after(self) -> int:
        """Return the first ordinal that is not in the segment of the next one."""
        later = [first for first, _ in segments(self._journal.folder) if first > self.ordinal]
        return later[0] if later else self._journal.durable


def _compress(path: Path) -> None:
    """Rewrite a full segment with compressed frames, in one rename."""
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    with LogReader(path) as reader:
        frames = [located.frame for located in reader.frames()]
        if reader.corrupt:
            return
        writer = LogWriter(partial, reader.header)
    for frame in frames:
        writer.append([frame.pack(ZLIB)])
    writer.sync()
    writer.close()
    partial.rename(path)
    sync_folder(path.parent)


def _lock(path: Path) -> int:
    fd = open_file(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise UnavailableError(
            f"another tracker writes the journal {path.parent}",
            "`sprov status` shows it; give this one another --name",
        ) from None
    return fd
