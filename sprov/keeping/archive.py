"""Journals into an archive: the truth is copied, read back and compared before the original goes.

An archive is a folder ``NAME-IDENTITY-FIRST`` of the segments, compressed, and a manifest with the
BLAKE2b of each.  It is made under another name and renamed when it is whole; then the journal's
folder gets a stub that says where it lies, and only then are the segments deleted.

Guarantee: whenever this is killed, there is the original or an archive that was compared with it;
the next call finishes.  The segments go in order, so that a tracker that starts on what a kill left
goes on numbering behind them.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from _blake2 import blake2b
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from pllib.errors import LogError, SettingsError, UnavailableError
from pllib.log import ZLIB, Frame, LogReader, LogWriter, sync_folder
from pllib.project import Project
from pllib.settings import Retention
from pllib.sharing import is_shared, make_folder, open_file, share
from tracker.journal import segments
from tracker.sealing import SUFFIX

from ..tallies import Tallies
from .holding import journal_held
from .stubs import (
    ARCHIVED,
    FORMAT_VERSION,
    MANIFEST,
    Archived,
    Counts,
    Manifest,
    Segment,
    left_of,
    now,
    read_archived,
    who,
    write_told,
)

PIECE_BYTES = 1 << 20
Advance = Callable[[int], None]
"""Called with the bytes that were dealt with, for progress."""
Spans = list[tuple[int, Path, int | None]]
"""Segments of a journal: ordinal of the first frame, path, ordinal behind the last that counts."""


def archive_folder(project: Project, settings: Retention) -> Path:
    """Return where a project's archives lie."""
    if not settings.archive:
        return project.root / "archive"
    return project.root.parent / Path(settings.archive).expanduser()


def archive(project: Project, name: str, root: Path, advance: Advance) -> Archived | None:
    """Move a journal into the archive `root`; finish what a kill has interrupted.

    Returns:
        Where it lies; None if there was nothing to move.

    Raises:
        UnavailableError: It is being written, or the archive can't be.
        LogError: An archive of it is damaged, so that what is left here stays.
    """
    folder = project.journal / name
    with journal_held(folder):
        finish(folder)
        spans = spans_of(folder)
        if not spans:
            return None
        try:
            made = _make(project, folder, spans, root, advance)
        except OSError as exc:
            raise UnavailableError(
                f"the archive {root} can't be written: {exc.strerror or exc}",
                f"The journal {name} stays where it is",
            ) from exc
        write_told(folder / ARCHIVED, [*read_archived(folder), made])
        remove(folder, made)
        return made


def spans_of(folder: Path) -> Spans:
    known = segments(folder)
    ends = [*(first for first, _ in known[1:]), None]
    return [(*span, end) for span, end in zip(known, ends, strict=False)]


def finish(folder: Path) -> None:
    """Delete what is still here of what is archived, once its archive is compared again.

    Raises:
        LogError: The archive is damaged or can't be reached.
    """
    for told in read_archived(folder):
        if left_of(folder, told):
            if problems := list(damage(told.where(folder))):
                raise LogError(problems[0], "What is left of the journal stays where it is")
            remove(folder, told)


def remove(folder: Path, told: Any) -> None:
    """Delete segments that a stub tells of, the first ones first."""
    for path in left_of(folder, told):
        path.unlink()
        path.with_suffix(SUFFIX).unlink(missing_ok=True)
    sync_folder(folder)


def _make(project: Project, folder: Path, spans: Spans, root: Path, advance: Advance) -> Archived:
    """Copy and compare; the archive has its name when this returns.

    Raises:
        OSError: The disk is full or failed; nothing is left.
        LogError: What was written reads back otherwise.
    """
    identity = _identity(spans[0][1])
    final = root / f"{folder.name}-{identity}-{spans[0][0]:012d}"
    partial = final.with_name(f"{final.name}.partial")
    for stale in (partial, final):  # no stub tells of it: all of it is still here
        shutil.rmtree(stale, ignore_errors=True)
    make_folder(partial)
    try:
        tallies = Tallies()
        copies = [_copy(span, partial, tallies, advance) for span in spans]
        found = Counts(tallies.n_frames, tallies.n_records, tallies.runs)
        manifest = Manifest(
            FORMAT_VERSION, folder.name, identity, project.name, copies, found, now(), who()
        )
        write_told(partial / MANIFEST, manifest)
        _give(project, partial)
        partial.rename(final)
        sync_folder(root)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return _stub(project, final, manifest, tallies)


def _stub(project: Project, final: Path, manifest: Manifest, tallies: Tallies) -> Archived:
    where, home = Path(os.path.realpath(final)), Path(os.path.realpath(project.root))
    return Archived(
        manifest.identity,
        str(where.relative_to(home) if where.is_relative_to(home) else where),
        [segment.name for segment in manifest.segments],
        tallies.frames,
        manifest.counts,
        manifest.when,
        manifest.who,
    )


def _identity(path: Path) -> str:
    with LogReader(path) as reader:
        return reader.header.log_id.hex()


def _copy(
    span: tuple[int, Path, int | None], into: Path, tallies: Tallies, advance: Advance
) -> Segment:
    """Copy a segment, compressed if all of it can be read, else byte by byte; read it back."""
    first, path, after = span
    copy = into / path.name
    most = None if after is None else after - first
    digest, is_whole = blake2b(digest_size=32), True
    with LogReader(path) as reader:
        writer = LogWriter(copy, reader.header)
        try:
            for frame in _frames(reader, most, digest):
                tallies.add(frame)
                writer.append([frame.pack(ZLIB)])
            writer.sync()
        finally:
            writer.close()
        is_whole = not reader.corrupt and not reader.torn
    if not is_whole:
        _copy_bytes(path, copy)
    written = _digest_of_file(copy)
    if not (_same(copy, digest) if is_whole else written == _digest_of_file(path)):
        raise LogError(f"{copy} reads back otherwise than it was written", "The original stays")
    advance(path.stat().st_size)
    return Segment(copy.name, copy.stat().st_size, written)


def _frames(reader: LogReader, most: int | None, digest: Any) -> Iterator[Frame]:
    """Yield the frames that count, and have a digest take in what each says."""
    for nth, located in enumerate(reader.frames()):
        if most is not None and nth >= most:
            return
        frame = located.frame
        digest.update(b"%s %d %d " % (frame.log_id, frame.number, len(frame.payload)))
        digest.update(frame.payload)
        yield frame


def _same(copy: Path, digest: Any) -> bool:
    found = blake2b(digest_size=32)
    with LogReader(copy) as reader:
        for _ in _frames(reader, None, found):
            pass
        return not reader.corrupt and not reader.torn and found.digest() == digest.digest()


def _copy_bytes(path: Path, copy: Path) -> None:
    with (
        path.open("rb") as source,
        open(open_file(copy, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as target,
    ):
        shutil.copyfileobj(source, target, PIECE_BYTES)
        target.flush()
        os.fsync(target.fileno())


def _digest_of_file(path: Path) -> str:
    """Read a file from the disk, as far as the kernel can be told to."""
    digest = blake2b(digest_size=32)
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while piece := file.read(PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def _give(project: Project, folder: Path) -> None:
    """Share an archive as the project is shared, wherever it lies."""
    if is_shared(project.root):
        group = project.root.stat().st_gid
        for path in (folder, *folder.iterdir()):
            with contextlib.suppress(PermissionError):  # its folder gives it another group
                os.chown(path, -1, group)
        share(folder)


def read_manifest(folder: Path) -> Manifest:
    """Read what an archive says that it holds.

    Raises:
        UnavailableError: It can't be reached.
        LogError: It is of a newer format, or can't be read.
    """
    path = folder / MANIFEST
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except OSError as exc:
        raise UnavailableError(
            f"the archive {folder} can't be reached: {exc.strerror}", "Is its disk mounted?"
        ) from exc
    except msgspec.DecodeError as exc:
        raise LogError(f"{path} can't be read: {exc}") from exc
    if found.format > FORMAT_VERSION:
        raise SettingsError(
            f"{folder} has archive format version {found.format}, this sprov reads "
            f"{FORMAT_VERSION}",
            "Upgrade sprov to read it; it was left as it is",
        )
    return found


def damage(folder: Path, advance: Advance = lambda n: None) -> Iterator[str]:
    """Compare an archive with its manifest; yield what is wrong."""
    try:
        manifest = read_manifest(folder)
    except (LogError, UnavailableError, SettingsError) as exc:
        yield str(exc)
        return
    for segment in manifest.segments:
        path = folder / segment.name
        try:
            is_same = _digest_of_file(path) == segment.blake2b
        except OSError as exc:
            yield f"{path} can't be read: {exc.strerror}"
            continue
        if not is_same:
            yield f"{path} is not what was archived: its BLAKE2b differs"
        advance(segment.n_bytes)
