"""Logs that no tracker took: dead ranks' spools on this node, packed logs in the project.

Not for ranks: who collects (`sprov ingest`, `sprov slurm collect`) reads them here.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from . import launch, telling
from .delivery import deliver
from .errors import LogError
from .instants import last_instant
from .log import LogReader, LogWriter, Owner, new_header, record_bodies
from .owners import NOBODY, IsOver, is_gone
from .places import own_places
from .project import Endpoint, Project
from .records import CLOSED_TAG, Outcome
from .redaction import Redactor
from .redaction import load as load_redactor
from .settings import InSlurm, load, load_section
from .sharing import make_folder, sync_folder
from .sweeping import Sweeper


def never(job: str, cluster: str) -> bool:
    """Say of any job that nobody knows whether it is over."""
    return False


@dataclass
class Log:
    """A log to be taken in; what it holds is counted while `frames` is read."""

    path: Path
    log_id: bytes
    owner: Owner
    is_abandoned: bool
    """Its owner was gone before anything was read."""
    doubt: str = ""
    """Why nobody can tell from here whether its owner is gone."""
    is_spool: bool = False
    """Its owner fills frames in place, whatever a copy of it is called."""
    n_frames: int = 0
    n_records: int = 0
    is_closed: bool = False
    """It holds the end of a session."""
    last_ns: int = 0
    """When something was recorded last, as far as the file tells."""
    trouble: str = ""
    sweep: Callable[[bytes], bytes] = field(default=Sweeper(Redactor()).sweep)
    """Takes secrets out of a spool's frames: its owner had no time to."""

    @property
    def is_done(self) -> bool:
        """It was read to its end, and there will be no more in it."""
        return (self.is_abandoned or self.is_closed) and not self.trouble

    def frames(self) -> Iterator[bytes]:
        """Yield its intact frames, packed; what can't be read is told and stays in the file.

        Raises:
            LogError: The file can't be read.
        """
        self.n_frames = self.n_records = 0
        if not self.path.exists():  # another collector was quicker
            return
        try:
            with LogReader(self.path) as reader:
                for located in reader.frames(unsealed=self.is_abandoned or not self.is_spool):
                    bodies = [*record_bodies(located.frame.payload)]
                    self.last_ns = max(self.last_ns, last_instant(bodies))
                    self.is_closed = any(body[1] == CLOSED_TAG for body in bodies) or self.is_closed
                    self.n_frames += 1
                    self.n_records += located.frame.n_records
                    frame = located.frame
                    if self.is_spool:
                        frame = msgspec.structs.replace(frame, payload=self.sweep(frame.payload))
                    yield frame.pack()
                if self.is_abandoned or not self.is_spool:  # else its owner may be writing it
                    self.trouble = "; ".join(str(exc) for exc in reader.corrupt)
        except OSError as exc:
            raise LogError(f"{self.path} can't be read: {exc.strerror}") from None


def open_log(path: Path, is_over: IsOver = never) -> Log:
    """Read who a log belongs to, and when it was written last.

    Raises:
        LogError: It is no log, can't be read, or not by this version.
    """
    try:
        with LogReader(path) as reader:
            header, written_ns = reader.header, path.stat().st_mtime_ns
            gone, doubt = is_gone(reader, is_over)
    except OSError as exc:
        raise LogError(f"{path} can't be read: {exc.strerror}") from None
    is_spool = header.stride > 0
    return Log(path, header.log_id, header.owner, gone, doubt, is_spool, last_ns=written_ns)


def spool_folders(project: Project, environ: Mapping[str, str]) -> list[Path]:
    """Return where spools of this node may lie.

    Raises:
        SettingsError: The settings that say it can't be read.
    """
    folders = [project.spool, *own_places()]
    in_slurm = load_section(InSlurm, project.config, environ)
    for chosen in (load(project.config, environ).spool_dir, in_slurm.spool_dir):
        if chosen:
            folders.append(Path(chosen))
    return [folder for folder in dict.fromkeys(folders) if folder.is_dir()]


def spools(project: Project, environ: Mapping[str, str], is_over: IsOver = never) -> list[Log]:
    """Return the spools of a project whose owners are gone; what can't be read has its trouble."""
    return judged(project, environ, is_over)[0]


def judged(
    project: Project, environ: Mapping[str, str], is_over: IsOver = never, *, gone: bool = False
) -> tuple[list[Log], list[Log]]:
    """Return the spools of a project that may be taken, and those of which nobody can tell.

    Args:
        gone: Somebody says that the owners of the latter are gone.
    """
    found = [_believed(log, gone=gone) for log in _spools(project, environ, is_over)]
    taken = [log for log in found if log.is_abandoned or log.trouble]
    return taken, [log for log in found if log.doubt]


def _believed(log: Log, *, gone: bool) -> Log:
    return replace(log, is_abandoned=True, doubt="") if gone and log.doubt else log


def of_original(project: Project, environ: Mapping[str, str], is_over: IsOver = never) -> list[Log]:
    """Return spools of the project that this one was copied from, or moved from another disk."""
    if not (original := project.copied_from):
        return []
    folders = [folder for folder in spool_folders(project, environ) if folder != project.spool]
    return [
        log
        for folder in folders
        for log in _open_all(folder, "*.spool", is_over, _owners(project))
        if log.owner.project == original and log.is_abandoned
    ]


def _spools(project: Project, environ: Mapping[str, str], is_over: IsOver) -> Iterator[Log]:
    sweep, keys = Sweeper(load_redactor(project.config, environ)).sweep, project.keys
    for folder in spool_folders(project, environ):
        owners = None if folder == project.spool else _owners(project)
        for log in _open_all(folder, "*.spool", is_over, owners):
            log.sweep = sweep
            # A container may see the project elsewhere: what is in its own folder is its own.
            if folder == project.spool or log.owner.project in ("", *keys) or log.trouble:
                yield log


def named(
    project: Project, paths: Iterable[Path], environ: Mapping[str, str], *, gone: bool = False
) -> list[Log]:
    """Open logs that somebody named.

    Args:
        gone: Somebody says that their owners are gone, if nobody can tell.

    Raises:
        LogError: One is no log, can't be read, or not by this version.
        SettingsError: A pattern of secrets is not usable.
    """
    sweep = Sweeper(load_redactor(project.config, environ)).sweep
    return [replace(_believed(open_log(path), gone=gone), sweep=sweep) for path in paths]


def _owners(project: Project) -> set[int]:
    """Return whose files in a folder of all users may be this project's: others' may be forged."""
    try:
        return {os.geteuid(), project.root.stat().st_uid}
    except FileNotFoundError:
        return {os.geteuid()}


def packed(project: Project, is_over: IsOver = never) -> list[Log]:
    """Return what was left in the project's own folder, by ranks that may still be writing it."""
    return _open_all(project.spool, "*.log", is_over)


def logs(project: Project, environ: Mapping[str, str], is_over: IsOver = never) -> list[Log]:
    """Return all that waits to be taken in on this node."""
    return [*spools(project, environ, is_over), *packed(project, is_over)]


def n_logs(found: Iterable[Log]) -> int:
    """Return how many logs wait: a rank's spool and its packed log are parts of one."""
    return len({log.log_id or log.path for log in found})


def _open_all(
    folder: Path, pattern: str, is_over: IsOver, owners: set[int] | None = None
) -> list[Log]:
    """Open what lies in a folder.

    Args:
        owners: Users whose files are read; None for all.
    """
    found = []
    for path in sorted(folder.glob(pattern)):
        try:
            status = path.lstat()
        except OSError:  # another collector was quicker
            continue
        # Others may put links and pipes there: one leads elsewhere, the other blocks who opens it.
        if not stat.S_ISREG(status.st_mode) or (owners and status.st_uid not in owners):
            continue
        try:
            found.append(open_log(path, is_over))
        except LogError as exc:
            if path.exists():
                found.append(
                    Log(
                        path, b"", NOBODY, is_abandoned=False, trouble=str(exc),
                        is_spool=path.suffix == ".spool",
                    )
                )  # fmt: skip
    return found


def send(endpoint: Endpoint, frames: Iterable[bytes], timeout_s: float = 10.0) -> None:
    """Hand frames to a tracker.

    Raises:
        UnavailableError: It refuses, or is silent for `timeout_s`.
        LogError: It has all but frames that it will never take.
    """
    for _ in deliver(endpoint, frames, timeout_s):
        pass


def pack(project: Project, name: str, frames: Iterable[bytes]) -> None:
    """Put frames into a packed log in the project, for `sprov ingest`; it appears when it is whole,
    and is durable when this returns.

    Raises:
        OSError: The folder can't be written or the disk is full.
    """
    make_folder(project.spool)
    partial = project.spool / f"{name}.{os.urandom(4).hex()}.taken"
    writer = LogWriter(partial, new_header(NOBODY))
    try:
        for frame in frames:
            writer.append([frame])
        writer.sync()
        if writer.n_frames:
            partial.rename(partial.with_suffix(".log"))
            sync_folder(project.spool)
    finally:
        writer.close()
        partial.unlink(missing_ok=True)


def tell_killed(
    project: Project, logs: Iterable[Log], endpoint: Endpoint | None, *, timeout_s: float = 5.0
) -> int:
    """Tell of sessions that never closed and whose processes are gone; return how many.

    Args:
        logs: Spools, read to their ends.

    Raises:
        OSError: No tracker took it and the project can't be written.
    """
    by_run: dict[str, list[Outcome]] = {}
    for log in logs:
        left = log.is_spool and log.is_abandoned and not log.is_closed and log.path.exists()
        if left and log.owner.run:
            by_run.setdefault(log.owner.run, []).append(killed(log))
    for run, outcomes in by_run.items():
        telling.tell(project, run, outcomes, endpoint=endpoint, timeout_s=timeout_s)
    return sum(map(len, by_run.values()))


def killed(log: Log) -> Outcome:
    """Return how the owner of a spool ended that has no end: one of an earlier boot with its node.

    Args:
        log: Read to its end.
    """
    mine = log.owner.host == launch.host() and log.owner.boot_id != launch.boot_id()
    state = "node_failure" if mine else "killed"
    return seen_later(Outcome(0, log.log_id.hex(), state, 0, node=log.owner.host), log)


def seen_later(outcome: Outcome, log: Log) -> Outcome:
    """Return an outcome at the last sign of a spool's owner, whose end is only seen now."""
    return msgspec.structs.replace(outcome, at_ns=log.last_ns, seen_ns=time.time_ns())


def dispose(project: Project, logs: Iterable[Log]) -> None:
    """Delete logs that are done: their frames are durable elsewhere."""
    for log in logs:
        if log.is_done:
            log.path.unlink(missing_ok=True)
            if log.is_spool:  # its process was killed while it began a packed log
                (project.spool / f"{log.log_id.hex()}.log.new").unlink(missing_ok=True)
