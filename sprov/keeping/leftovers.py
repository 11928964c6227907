"""What may be freed of a project without losing anything, and by which rule.

Each rule finds paths that nothing counts on any more, and names the lock under which it does, so
that nothing is touched that a living process uses.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from pllib import launch
from pllib.errors import Error
from pllib.listening import is_daemon
from pllib.project import Endpoint, ForeignEndpointError, Project, read_endpoint
from pllib.sharing import OWNERS_ALONE
from tracker.journal import segments

from ..pinned import PREFIX
from .archive import differences
from .holding import held, in_use
from .indexes import maybe_stray, snapshots_beyond, stray_series
from .places import Size, freed
from .stubs import identity_of, is_forgotten, left_of, read_archived, read_forgotten

DAY_S = 86_400.0
LAUNCH_DAYS = 30
"""What carries no name of its writer is left by one that is gone if it is older."""
LOG_DAYS = 30

Find = Callable[[Project, Path], Iterator[Path]]


class Rule(NamedTuple):
    what: str
    why: str
    find: Find
    """Given the project and a folder: a journal's for what is a journal's, else the archive's."""
    look: Find | None = None
    """Finds, without the lock, at least what `find` does."""


def store_leftovers(project: Project, archive: Path) -> Iterator[Path]:
    yield from project.store.glob("bulk-*.sst")
    for folder in (project.store, project.series, project.snapshots):
        aside = folder.with_name(f"{folder.name}.old")
        if aside.exists() and folder.exists():
            yield aside
    if (rebuilt := project.root / "rebuild").exists() and project.store.exists():
        yield rebuilt


def snapshot_leftovers(project: Project, archive: Path) -> Iterator[Path]:
    yield from project.snapshots.glob("*.partial")
    yield from (path for path in project.snapshots.glob("current.new") if path.is_symlink())


def journal_leftovers(project: Project, folder: Path) -> Iterator[Path]:
    yield from folder.glob("*.partial")
    yield from folder.glob("*.new")


def archived_segments(project: Project, folder: Path) -> Iterator[Path]:
    for told in read_archived(folder):
        left = left_of(folder, told)
        if not any(differences(folder, left, told.where(folder))):
            yield from left


def forgotten_segments(project: Project, folder: Path) -> Iterator[Path]:
    forgotten = read_forgotten(folder)
    for told in forgotten:
        yield from left_of(folder, told)
    for archived in read_archived(folder):
        if is_forgotten(archived, forgotten) and (where := archived.where(folder)).exists():
            yield where


def archive_leftovers(project: Project, archive: Path) -> Iterator[Path]:
    """Yield half copies of this project's journals: others may use the archive too.

    A whole one that no stub tells of may be all that a backup or a copy of the project has.
    """
    for made in archive.glob("*-*-*.partial"):
        name, identity, _ = made.name.rsplit("-", 2)
        folder = project.journal / name
        if folder.is_dir():
            with held(folder / "lock", make=False) as free:
                if free and identity in {identity_of(path) for _, path in segments(folder)}:
                    yield made


def collected_leftovers(project: Project, archive: Path) -> Iterator[Path]:
    for pattern in ("*.taken", "*.new"):
        yield from (path for path in project.spool.glob(pattern) if _is_left(path))


def pinned_leftovers(project: Project, archive: Path) -> Iterator[Path]:
    yield from filter(_is_left, project.snapshots.parent.glob(f"{PREFIX}*"))


def over_launches(
    is_over: Callable[[str], bool], project: Project, archive: Path
) -> Iterator[Path]:
    for folder in project.launches.glob("*"):
        if folder.is_dir() and folder.name.split("_")[0].isdigit() and is_over(folder.name):
            yield folder


def old_launches(project: Project, archive: Path) -> Iterator[Path]:
    """Yield claims that were made outside of jobs: nobody knows which launch goes on."""
    before = time.time() - LAUNCH_DAYS * DAY_S
    for path in (project.launches / "local").glob("*"):
        with contextlib.suppress(FileNotFoundError):
            if path.lstat().st_mtime < before:
                yield path


def old_logs(project: Project, archive: Path) -> Iterator[Path]:
    """Yield the folders of daemons' logs that nothing was added to; a daemon makes its own anew."""
    before = time.time() - LOG_DAYS * DAY_S
    for folder in project.logs.glob("*"):
        with contextlib.suppress(FileNotFoundError):
            if all(path.lstat().st_mtime < before for path in (folder, *folder.iterdir())):
                yield folder


def ended_endpoints(
    is_over: Callable[[str], bool], project: Project, archive: Path
) -> Iterator[Path]:
    for path in project.endpoints.glob("*.json"):
        if _is_left(path) and _has_ended(path, is_over):
            yield path
            yield from filter(os.path.lexists, (path.with_suffix(OWNERS_ALONE),))
    yield from (path for path in project.endpoints.glob("*.tmp") if _is_left(path))


def _has_ended(path: Path, is_over: Callable[[str], bool]) -> bool:
    """Tell whether no daemon is at an endpoint; that of another host ends with its job."""
    try:
        endpoint = read_endpoint(path)
    except ForeignEndpointError:  # it came with a copy of another project
        return True
    except Error:
        return False
    if not endpoint.tracker and not endpoint.manager:
        return True
    if endpoint.host != launch.host():
        return path.stem.isdigit() and is_over(path.stem)
    return not any(map(is_daemon, _pids(endpoint)))


def _pids(endpoint: Endpoint) -> tuple[int, ...]:
    return endpoint.tracker_pid, endpoint.manager_pid, endpoint.serve_pid


def _is_left(path: Path) -> bool:
    try:
        return time.time() - path.lstat().st_mtime > DAY_S and not in_use(path)
    except FileNotFoundError:
        return False


OF_STORE = (
    Rule("store", "left by a rebuild or a load that was killed", store_leftovers),
    Rule("snapshots", "left by a manager that was killed", snapshot_leftovers),
    Rule("snapshots", "older than those that are kept", snapshots_beyond),
    Rule("series", "not named by a commit, or superseded", stray_series, maybe_stray),
)
"""Under the store's lock."""
OF_JOURNALS = (
    Rule("journals", "left by a tracker that was killed", journal_leftovers),
    Rule("journals", "archived, but for what a kill has left", archived_segments),
    Rule("journals", "forgotten, but for what a kill has left", forgotten_segments),
)
"""Under the lock of each journal."""


def _others(is_over: Callable[[str], bool]) -> tuple[Rule, ...]:
    """Return the rules that need no lock.

    Args:
        is_over: Tells whether a Slurm job is over.
    """
    return (
        Rule("archive", "left by a `sprov gc` that was killed", archive_leftovers),
        Rule("snapshots", "left by a `sprov verify` that was killed a day ago", pinned_leftovers),
        Rule("spools", "left by a collector that was killed a day ago", collected_leftovers),
        Rule("launches", "claims of jobs that are over", partial(over_launches, is_over)),
        Rule("launches", f"claims outside of jobs, {LAUNCH_DAYS} days old", old_launches),
        Rule("logs", f"of daemons that logged nothing for {LOG_DAYS} days", old_logs),
        Rule("endpoints", "of daemons that ended a day ago", partial(ended_endpoints, is_over)),
    )


class Freeable(NamedTuple):
    what: str
    why: str
    paths: list[Path]
    deleted: Size = Size(0, 0)
    """What is gone of it, as it was looked for afterwards."""
    troubles: tuple[str, ...] = ()
    """What could not be deleted, and why."""


def freeable(
    project: Project, archive: Path, is_over: Callable[[str], bool], *, free: bool = False
) -> list[Freeable]:
    """Return what may be freed; free it at once if told to.

    What a daemon or another command uses now is left out, and so is what can't be looked at.

    Args:
        is_over: Tells whether a Slurm job is over.
    """
    found: list[Freeable] = []
    lock = project.store.with_name(f"{project.store.name}.lock")
    found += _locked(OF_STORE, lock, project, archive, free)
    for folder in sorted(path for path in project.journal.glob("*") if path.is_dir()):
        found += _locked(OF_JOURNALS, folder / "lock", project, folder, free)
    found += [_apply(rule, project, archive, free) for rule in _others(is_over)]
    return _merged(found)


def _locked(
    rules: tuple[Rule, ...], lock: Path, project: Project, folder: Path, free: bool
) -> list[Freeable]:
    """Apply rules under a lock, which is tried only if there is something to find: it may be in
    the way of a daemon that starts."""
    if not any(any((rule.look or rule.find)(project, folder)) for rule in rules):
        return []
    with held(lock, make=free) as alone:
        return [_apply(rule, project, folder, free) for rule in rules] if alone else []


def _apply(rule: Rule, project: Project, folder: Path, free: bool) -> Freeable:
    paths = []
    troubles: list[str] = []
    n_files = n_bytes = 0
    for path in rule.find(project, folder):  # which may hold a lock meanwhile
        paths.append(path)
        if free:
            before = freed([path])
            troubles += _delete(path)
            left = freed([path])
            n_files += before.n_files - left.n_files
            n_bytes += max(before.n_bytes - left.n_bytes, 0)
    return Freeable(rule.what, rule.why, paths, Size(n_files, n_bytes), tuple(troubles))


def _delete(path: Path) -> list[str]:
    """Delete a file or folder; return what could not be, and why."""
    is_folder = path.is_dir() and not path.is_symlink()
    try:
        if is_folder:
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as exc:
        if is_folder:
            shutil.rmtree(path, ignore_errors=True)  # the rest of it
        if os.path.lexists(path):
            return [f"{path} can't be deleted: {exc.strerror}: {exc.filename}"]
    return []


def _merged(found: list[Freeable]) -> list[Freeable]:
    by_rule: dict[tuple[str, str], list[Freeable]] = {}
    for one in found:
        by_rule.setdefault((one.what, one.why), []).append(one)
    return [_together(parts) for parts in by_rule.values() if any(one.paths for one in parts)]


def _together(parts: list[Freeable]) -> Freeable:
    n_files = sum(one.deleted.n_files for one in parts)
    n_bytes = sum(one.deleted.n_bytes for one in parts)
    paths = [path for one in parts for path in one.paths]
    troubles = tuple(line for one in parts for line in one.troubles)
    return Freeable(parts[0].what, parts[0].why, paths, Size(n_files, n_bytes), troubles)
