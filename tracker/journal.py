"""The tracker's journal: the truth that every store is an index of.

A folder of packed logs (`pllib.log`) that share one log id, the journal's identity, across
restarts.  Frames are numbered through from 0 by their ordinal; a segment is named by the ordinal
of its first frame.  A segment that is full is sealed (`tracker.sealing`): its frames are
compressed, one by one, so that ordinals stay.

A restart reads the summaries of sealed segments, and of the others every checksum.  The checksums
it needs because it must not take a frame for one that it has (and acknowledge it) when what it has
is damaged, and because behind damage frames can't be counted.  Those of a sealed segment were right
when it was sealed, and all its frames acknowledged long ago; the next segment's name counts them.

Guarantee: what `append` returned from is durable, and `Follower` never yields anything else.
Assumption: one writer a folder, held by a lock file.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from itertools import islice, pairwise
from pathlib import Path
from typing import NamedTuple

import msgspec

from pllib import owners
from pllib.errors import BusyError, LogCorruptError, LogError, UnavailableError
from pllib.log import (
    HEADER_BYTES,
    FileHeader,
    Frame,
    Located,
    LogReader,
    LogWriter,
    new_header,
)
from pllib.sharing import make_folder, open_file

from .sealing import seal, summary_of
from .seen import Seen

SEGMENT_BYTES = 64 << 20
CORRUPTION_GAP = 1 << 20
"""Ordinals left out behind a segment with damage, whose frames can't be counted: a new frame must
not get an ordinal that a watermark already covers."""

FrameKey = tuple[bytes, int]
Watermarks = Mapping[str, int]
"""Run to the ordinal of the last frame of it that a store has."""


def segments(folder: Path) -> list[tuple[int, Path]]:
    """Return (ordinal of the first frame, path) of a journal's segments, in order."""
    found = [path for path in folder.glob("*.log") if path.stem.isdigit()]
    return sorted((int(path.stem), path) for path in found)


def _with_ends(folder: Path) -> Iterator[tuple[int, Path, int | None]]:
    """Yield segments, each with the ordinal that the next one begins at.

    What an earlier one has from there on was never acknowledged: its sync failed.
    """
    known = segments(folder)
    for nth, (first, path) in enumerate(known):
        yield first, path, known[nth + 1][0] if nth + 1 < len(known) else None


class Unreadable(NamedTuple):
    """A segment that is empty, no log, or can't be read."""

    path: Path
    why: str

    def __str__(self) -> str:
        return f"segment {self.path} is skipped: {self.why}"


OnUnreadable = Callable[[Unreadable], None]
UNREADABLE = (LogError, OSError)


def refuse_unreadable(segment: Unreadable) -> None:
    """Have nothing that is read go on without a segment.

    Raises:
        LogError: Says which one.
    """
    raise LogError(f"segment {segment.path}: {segment.why}", "`sprov log ls` lists all")


def why_unreadable(exc: Exception) -> str:
    return str(exc.strerror or exc) if isinstance(exc, OSError) else exc.args[0]


def read_journal(
    folder: Path, start: int = 0, on_unreadable: OnUnreadable = refuse_unreadable
) -> Iterator[tuple[int, Frame]]:
    """Yield (ordinal, frame) of a journal that nobody writes, from ordinal `start` on.

    Args:
        on_unreadable: Called with a segment that can't be read; when it returns, that is skipped.
    """
    for first, path, after in _with_ends(folder):
        if after is not None and after <= start:
            continue
        for located, _ in _frames(first, path, after, on_unreadable):
            if located.ordinal >= start:
                yield located.ordinal, located.frame


def read_unstored(
    folder: Path, watermarks: Watermarks, on_unreadable: OnUnreadable = refuse_unreadable
) -> Iterator[tuple[int, Frame, Watermarks]]:
    """Yield what a store may not have of a journal that nobody writes.

    Whole segments that it has are passed over.  With each frame come the watermarks to judge it by:
    none behind damage, where ordinals are too low.

    Args:
        on_unreadable: Called with a segment that can't be read; when it returns, that is skipped.
    """
    for first, path, after in _with_ends(folder):
        summary = summary_of(path)
        if summary is not None and summary.is_stored(watermarks):
            continue
        for located, is_behind_damage in _frames(first, path, after, on_unreadable):
            yield located.ordinal, located.frame, {} if is_behind_damage else watermarks


def _frames(
    first: int, path: Path, after: int | None, on_unreadable: OnUnreadable
) -> Iterator[tuple[Located, bool]]:
    """Yield the frames of a segment that count, each with whether some before it are lost."""
    try:
        reader = LogReader(path)
    except UNREADABLE as exc:
        on_unreadable(Unreadable(path, why_unreadable(exc)))
        return
    with reader:
        frames = reader.frames(ordinal=first)
        while True:
            try:
                located = next(frames, None)
            except OSError as exc:  # the disk: what was read counts
                on_unreadable(Unreadable(path, why_unreadable(exc)))
                return
            if located is None or (after is not None and located.ordinal >= after):
                return
            yield located, bool(reader.lost)


class Journal:
    """The writing end; `close` when no other thread appends any more."""

    def __init__(self, folder: Path, segment_bytes: int = SEGMENT_BYTES) -> None:
        """Open or make a journal; what it holds is known afterwards.

        Raises:
            BusyError: Another tracker writes it.
            UnavailableError: The folder can't be written.
        """
        self.folder = folder
        self._segment_bytes = segment_bytes
        with _writable(folder):
            make_folder(folder)
            self._lock = _lock(folder / "lock")
        self._seen = Seen()
        self.corrupt: list[LogCorruptError] = []
        self.unreadable: list[Unreadable] = []
        """Segments that are left alone; what they hold may be journalled again."""
        self.starts: list[int] = []
        """Ordinals of the first frames of its segments."""
        self._changed = threading.Condition()
        self._appending, self._sealing = threading.Lock(), threading.Lock()
        self._failed = self._closed = False
        self._n_sealed = 0
        try:
            with _writable(folder):
                self._header, self._next = self._recover()
                self._writer = self._new_segment()
        except UnavailableError:
            os.close(self._lock)
            raise
        self.durable = self._next
        """Ordinals below this are durable."""

    @property
    def identity(self) -> str:
        return self._header.log_id.hex()

    def has(self, key: FrameKey) -> bool:
        return self._seen.has(*key)

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
            # After a failed fsync nobody knows what is on the disk: what follows goes elsewhere,
            # and what is there now must not count for who reads the segment to its end.
            self._failed = True
            with contextlib.suppress(OSError):
                self._writer.take_back()
            raise
        for (log_id, number), _ in frames:
            self._seen.add(log_id, number)
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
        """Seal one full segment that is not yet; False if there is none, or the journal is closed.

        Raises:
            OSError: The disk is full or failed.
        """
        with self._sealing:
            return self._seal_next()

    def _seal_next(self) -> bool:
        starts = self.starts[self._n_sealed :]
        for first, after in pairwise(starts):
            path = self.segment(first)
            if summary_of(path) is None:
                return seal(path, first, after, lambda: self._closed)
            self._n_sealed += 1
        return False

    def segment(self, first: int) -> Path:
        return self.folder / f"{first:012d}.log"

    def close(self) -> None:
        """End; who appends afterwards gets an OSError, and what is being sealed stays as it was."""
        with self._appending:
            self._closed = True
        with self._sealing:  # who has the lock next may seal the same segment
            pass
        self._writer.close()
        if self._writer.n_frames == 0:
            self._writer.path.unlink(missing_ok=True)  # on a full disk it may not have come back
        os.close(self._lock)

    def _recover(self) -> tuple[FileHeader, int]:
        header = new_header(owners.this_process())
        for stray in (*self.folder.glob("*.partial"), *self.folder.glob("*.new")):
            stray.unlink()
        next_ordinal = 0
        for first, path, after in _with_ends(self.folder):
            try:
                with LogReader(path) as reader:
                    n_frames = self._take(path, reader, None if after is None else after - first)
            except UNREADABLE as exc:
                self.unreadable.append(Unreadable(path, why_unreadable(exc)))
                next_ordinal = first + CORRUPTION_GAP  # nobody knows how many frames it has
                continue
            if n_frames is None:
                path.unlink()
                continue
            header = msgspec.structs.replace(header, log_id=reader.header.log_id)
            self.starts.append(first)
            is_whole = not reader.lost and not reader.torn
            next_ordinal = first + n_frames + (0 if is_whole else CORRUPTION_GAP)
        return header, next_ordinal

    def _take(self, path: Path, reader: LogReader, most: int | None) -> int | None:
        """Note what a segment has; return how many frames, None if there was never one in it.

        Args:
            most: Frames of it that count.
        """
        summary = summary_of(path)
        if summary is not None and summary.is_intact:
            self._seen.unite(summary.seen)
            return summary.n_frames
        n_frames = 0
        for key in islice(reader.frame_keys(), most):
            n_frames += 1
            if key is not None:
                self._seen.add(*key)
        self.corrupt.extend(reader.lost)
        with _writable(self.folder):  # it can be read, but what it has is not acknowledged again
            reader.sync()
        return n_frames or None

    def _new_segment(self) -> LogWriter:
        path = self.segment(self._next)
        path.unlink(missing_ok=True)  # of an attempt that failed: nothing that counts has its name
        writer = LogWriter(path, self._header)
        if self.starts[-1:] != [self._next]:
            self.starts.append(self._next)
        return writer


class Follower:
    """Reads a journal that is being written, frame by frame, only what is durable."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.ordinal = 0
        self._stored: Watermarks = {}
        self._reader: LogReader | None = None
        self._first = self._offset = self._at = self._opened_at = 0

    def rewind(self, stored: Watermarks | None = None) -> None:
        """Begin again, passing over the segments of which a store has all."""
        self.close()
        self.ordinal = 0
        self._stored = stored or {}

    def close(self) -> None:
        if self._reader is not None:
            self._reader.__exit__()
            self._reader = None

    @property
    def watermarks(self) -> Watermarks:
        """What to judge the last frame by: none behind damage, where ordinals are too low."""
        return {} if self._reader is not None and self._reader.lost else self._stored

    def next(self) -> tuple[int, Frame] | None:
        """Return the next durable frame, or None if there is none yet."""
        while self.ordinal < (durable := self._journal.durable):
            if self._reader is None and not self._open():
                self.ordinal = self._end(durable)
                continue
            assert self._reader is not None
            # A frame behind the end may be there, too, if its sync has failed.
            end = self._end(durable)
            located = next(self._reader.frames(offset=self._offset, ordinal=self._at), None)
            if located is None or located.ordinal >= end:
                if self._opened_at == self.ordinal:  # nothing more in here, since it was opened
                    self.ordinal = end
                self.close()
                continue
            self._offset, self._at = located.end, located.ordinal + 1
            if located.ordinal >= self.ordinal:
                self.ordinal = self._at
                return located.ordinal, located.frame
        return None

    def _open(self) -> bool:
        """Open the segment of the next ordinal, at its first frame; False to pass over it."""
        starts = self._journal.starts
        self.ordinal = max(self.ordinal, starts[0])  # those before can't be read
        self._first = self._at = starts[bisect_right(starts, self.ordinal) - 1]
        path = self._journal.segment(self._first)
        if self._stored and self.ordinal == self._first:
            summary = summary_of(path)
            if summary is not None and summary.is_stored(self._stored):
                return False
        self._offset = HEADER_BYTES
        self._opened_at = self.ordinal
        self._reader = LogReader(path)
        return True

    def _end(self, durable: int) -> int:
        """Return the first ordinal that is not in the segment that was opened last.

        Args:
            durable: Of the journal, read before: a segment that begins later is no end of this one.
        """
        starts = self._journal.starts
        nth = bisect_right(starts, self._first)
        return starts[nth] if nth < len(starts) else durable


@contextlib.contextmanager
def _writable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise UnavailableError(f"the journal {folder} can't be written: {exc}") from exc


def _lock(path: Path) -> int:
    fd = open_file(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise BusyError(
            f"another tracker writes the journal {path.parent}",
            "`sprov status` shows it; give this one another --name",
        ) from None
    return fd
