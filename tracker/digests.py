"""What files hold: a digest of each version that a rank spoke of, while it is still that version.

Never computed in a rank: a file may be large, and a rank waits for nobody.  So it is read here,
later, and a version that has changed by then is told as overwritten.  A copy or a moved file has
the same content as what it was made from: that is how lineage goes on where nobody recorded it.
"""

from __future__ import annotations

import os
import time

import msgspec

from pllib import launch, linked
from pllib.contents import FileChangedError, digest_of
from pllib.data import Directory, File, version_of
from pllib.identity import digest
from pllib.log import Frame, frame_of
from pllib.records import MIN_CONTENT_BYTES, NO_RANK, Context, Digested, FileVersion, encode

State = tuple[str, int, int, str]


def examine(file: linked.File, largest: int) -> Digested | None:
    """Return what a file version holds, or that it was overwritten; None if that can't be told.

    Args:
        largest: Bytes over which nothing is read.
    """
    if file.kind == "reference" or not MIN_CONTENT_BYTES <= file.size <= largest:
        return None
    recorded: State = (file.store, file.size, file.mtime_ns, file.version)
    found = _state(file)
    if found is None or found[0] != file.store:  # gone, or a path of another host
        return None
    try:
        if found != recorded:
            raise FileChangedError
        of_bytes = digest_of(file.path, file.size, is_directory=bool(file.version))
        if _state(file) != recorded:
            raise FileChangedError
    except FileChangedError:
        of_bytes = ""
    except OSError:
        return None
    return Digested(
        0, file.store, file.path, file.size, file.mtime_ns, file.version,
        f"blake2b:{of_bytes}" if of_bytes else None, time.time_ns(),
    )  # fmt: skip


def _state(file: linked.File) -> State | None:
    found = version_of(Directory(file.path) if file.version else File(file.path))
    if not isinstance(found, FileVersion):
        return None
    return found.store, found.size, found.mtime_ns, found.version


class DigestLog:
    """A log of what one process digested, as frames for a journal.

    Its frames are of a queue of their own, which no run has.
    """

    def __init__(self, speaker: str) -> None:
        self._log_id = os.urandom(16)
        self._n_frames = self._n_records = 0
        self._context = encode(_context(speaker))

    def frame(self, found: list[Digested]) -> Frame:
        """Return the next frame, numbered through."""
        records = [self._context]
        for record in found:
            records.append(encode(msgspec.structs.replace(record, seq=self._n_records)))
            self._n_records += 1
        frame = frame_of(self._log_id, self._n_frames, records)
        self._n_frames += 1
        return frame


def _context(speaker: str) -> Context:
    return Context(
        run=digest("digests", speaker), restart=0, rank=NO_RANK, size=0, host=launch.host(),
        pid=os.getpid(), user="", program=speaker, project="", workflow="",
        opened_ns=time.time_ns(),
    )  # fmt: skip
