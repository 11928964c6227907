"""Full segments of a journal: compressed, and summed up in a file beside each.

The summary, ``NNN.sealed``, tells what a restart needs of a segment without reading it: which
frames it has, and how far of which runs.  It is written last, in one rename, and is of the segment
only as long as that has the size that it says.

Guarantee: whenever this is killed, a segment has all its frames; one in which anything can't be
read is left as it is.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from pllib.log import ZLIB, LogReader, LogWriter, new_file, sync_folder

from .linker import context_of
from .seen import Bounds, Seen

SUFFIX = ".sealed"
_CRC_BYTES = 4


class Summary(msgspec.Struct, array_like=True):
    """What a segment holds."""

    size: int
    """Bytes of the file."""
    n_frames: int
    is_intact: bool
    """There is nothing in it but frames that can be read."""
    seen: dict[bytes, Bounds]
    runs: dict[str, int]
    """Run to the ordinal of its last frame."""

    def is_stored(self, watermarks: Mapping[str, int]) -> bool:
        """Tell whether a store with these watermarks has all of it."""
        return self.is_intact and all(
            last <= watermarks.get(run, -1) for run, last in self.runs.items()
        )


def summary_of(path: Path) -> Summary | None:
    """Return the summary of a segment; None if it has none that is right."""
    try:
        data = path.with_suffix(SUFFIX).read_bytes()
        found = msgspec.msgpack.decode(data[:-_CRC_BYTES], type=Summary)
        size = path.stat().st_size
    except (OSError, msgspec.MsgspecError):
        return None
    is_right = data[-_CRC_BYTES:] == _crc(data[:-_CRC_BYTES]) and found.size == size
    return found if is_right else None


def seal(path: Path, first: int, after: int, is_stopping: Callable[[], bool]) -> bool:
    """Compress a segment that is full, and sum it up; False if it was told to stop.

    Args:
        first: Ordinal of its first frame.
        after: Of the next segment's; what this one has from there on does not count.

    Raises:
        OSError: The disk is full or failed; the segment is as it was.
    """
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    try:
        found = _compress(path, partial, first, after, is_stopping)
        if found is None:
            return False
        if found.is_intact:
            found.size = partial.stat().st_size
            partial.rename(path)
            sync_folder(path.parent)
    finally:
        partial.unlink(missing_ok=True)
    data = msgspec.msgpack.encode(found)
    with new_file(path.with_suffix(SUFFIX)) as fd:
        os.write(fd, data + _crc(data))
        os.fsync(fd)
    os.close(fd)
    return True


def _compress(
    path: Path, partial: Path, first: int, after: int, is_stopping: Callable[[], bool]
) -> Summary | None:
    """Write a segment's frames compressed, and durable; None if it was told to stop."""
    seen = Seen()
    runs: dict[str, int] = {}
    with LogReader(path) as reader:
        writer = LogWriter(partial, reader.header)
        try:
            for located in reader.frames(ordinal=first):
                if located.ordinal >= after:
                    break
                if is_stopping():
                    return None
                frame = located.frame
                writer.append([frame.pack(ZLIB)])
                seen.add(frame.log_id, frame.number)
                if (context := context_of(frame)) is not None:
                    runs[context.run] = located.ordinal
            writer.sync()
        finally:
            writer.close()
        is_intact = not reader.corrupt and not reader.torn
    return Summary(path.stat().st_size, writer.n_frames, is_intact, dict(seen.ranges), runs)


def _crc(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(_CRC_BYTES, "little")
