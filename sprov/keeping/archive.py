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
        UnavailableError: It is being written, or is not stored, or the archive can't be written.
        LogError: An archive of it is damaged, or is another, so that what is left here stays.
    """
    from .stored import check_stored  # what loads the store, which `sprov log` needs not

    folder, made = project.journal / name, None
    with journal_held(folder):
        finish(folder)
        _drop_empty(folder)
        check_stored(project, name)
        while spans := spans_of(folder):  # once more, if a kill left an archive of the first ones
            try:
                made = _make(project, folder, spans, root, advance)
            except OSError as exc:
                raise UnavailableError(
                    f"the archive {root} can't be written: {exc.strerror or exc}",
                    f"The journal {name} stays where it is",
                ) from exc
            write_told(folder / ARCHIVED, [*read_archived(folder), made])
            remove(folder, left_of(folder, made))
    return made


def _drop_empty(folder: Path) -> None:
    """Delete what a killed tracker left without a frame, as one that starts does: that one would
    give its name to a segment that is in no archive."""
    for _, path in reversed(segments(folder)):
        with LogReader(path) as reader:
            if any(True for _ in reader.frame_keys()):
                return
        path.unlink()


def spans_of(folder: Path) -> Spans:
    known = segments(folder)
    ends = [*(first for first, _ in known[1:]), None]
    return [(*span, end) for span, end in zip(known, ends, strict=False)]


def finish(folder: Path) -> None:
    """Delete what is still here of what is archived, once its archive is compared again.

    Raises:
        LogError: The archive is damaged, can't be reached, or has not what is here.
    """
    for told in read_archived(folder):
        left = left_of(folder, told)
        if problem := next(differences(folder, left, told.where(folder)), ""):
            raise LogError(problem, "What is left of the journal stays where it is")
        remove(folder, left)


def differences(folder: Path, paths: list[Path], archive: Path) -> Iterator[str]:
    """Compare segments, if there are any, with an archive; yield what is wrong."""
    if not paths:
        return
    yield from damage(archive)
    for span in spans_of(folder):
        if span[1] in paths and not _is_copy(span, archive / span[1].name):
            yield f"{archive} has not what is in {span[1]}"


def remove(folder: Path, paths: list[Path]) -> None:
    """Delete segments, the first ones first."""
    for path in paths:
        path.unlink()
        path.with_suffix(SUFFIX).unlink(missing_ok=True)
    sync_folder(folder)


def _make(project: Project, folder: Path, spans: Spans, root: Path, advance: Advance) -> Archived:
    """Copy and compare; the archive has its name when this returns.

    Raises:
        OSError: The disk is full or failed; nothing is left.
        LogError: What was written reads back otherwise, or another archive has its name.
    """
    identity = _identity(spans[0][1])
    final = root / f"{folder.name}-{identity}-{spans[0][0]:012d}"
    if final.exists():
        return _adopt(project, folder, spans, final)
    partial = final.with_name(f"{final.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    make_folder(partial)
    try:
        tallies = Tallies()
        copies = [_copy(span, partial, tallies, advance) for span in spans]
        manifest = _manifest(project, folder.name, identity, copies, tallies)
        write_told(partial / MANIFEST, manifest)
        _give(project, partial)
        partial.rename(final)
        sync_folder(root)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    for problem in damage(final):  # a copy of this project may have freed files of it
        raise LogError(problem, "The original stays; delete that archive, then again")
    return _stub(project, final, manifest, tallies)


def _manifest(
    project: Project, name: str, identity: str, copies: list[Segment], tallies: Tallies
) -> Manifest:
    found = Counts(tallies.n_frames, tallies.n_records, tallies.runs)
    return Manifest(FORMAT_VERSION, name, identity, project.name, copies, found, now(), who())


def _adopt(project: Project, folder: Path, spans: Spans, final: Path) -> Archived:
    """Take an archive that no stub tells of for the journal's, if all of it is here too.

    A kill may have left it; so may a project that was copied, or that came back from a backup.

    Raises:
        LogError: It has something else, or more.
    """
    tallies = Tallies()
    try:
        manifest = read_manifest(final)
        names = {segment.name for segment in manifest.segments}
        here = [path for _, path, _ in spans if path.name in names]
        is_same = spans[0][1] in here and len(here) == len(names)
        is_same = is_same and not any(differences(folder, here, final))
    except (LogError, UnavailableError, SettingsError):
        is_same = False
    if not is_same:
        raise LogError(
            f"{final} is an archive that is not what is here, and no stub tells of it",
            "The journal stays where it is; move that folder elsewhere if it may go",
        )
    for segment in manifest.segments:
        with LogReader(final / segment.name) as reader:
            for located in reader.frames():
                tallies.add(located.frame)
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


def _is_copy(span: tuple[int, Path, int | None], copy: Path) -> bool:
    """Tell whether a copy has the frames that count of a segment, and no others."""
    first, path, after = span
    digest = blake2b(digest_size=32)
    try:
        with LogReader(path) as reader:
            for _ in _frames(reader, None if after is None else after - first, digest):
                pass
            is_whole = not reader.corrupt and not reader.torn
        return _same(copy, digest) if is_whole else _digest_of_file(copy) == _digest_of_file(path)
    except (OSError, LogError):
        return False


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
