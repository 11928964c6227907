"""`sprov gc`: what a project keeps, and what of it may go."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from pllib import notices
from pllib.errors import Error, SettingsError
from pllib.project import Project, find
from pllib.settings import Retention, load_section
from pllib.waiting import n_logs
from query.progress import bar
from slurm.over import IsOver, over_jobs

from .keeping.archive import archive, archive_folder, spans_of
from .keeping.leftovers import DAY_S, freeable
from .keeping.places import Size, freed, places
from .keeping.stubs import read_archived
from .left import in_words as in_words_of_waiting
from .left import waiting_logs

COLUMNS = ("what", "path", "files", "bytes", "free", "why")
Row = dict[str, Any]


@click.command()
@click.argument("journals", nargs=-1, metavar="[JOURNAL]...")
@click.option("--free", "do", flag_value="free", help="Free what this shows as free.")
@click.option("--archive", "do", flag_value="archive", help="Move these journals to the archive.")
@click.option("--forget", "do", flag_value="forget", help="Delete these journals for good.")
@click.option("--yes", is_flag=True, help="Forget without asking.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table")
def gc(journals: tuple[str, ...], do: str | None, yes: bool, form: str) -> None:
    """Show what the project keeps and what of it may be freed; with --free, free it.

    Nothing is freed that is not elsewhere. Journals are the truth: they are moved to the archive,
    which verify and rebuild read, or deleted when told to be forgotten, archived or not.

    \b
        sprov gc
        sprov gc --free
        sprov gc --archive 4242 4243
        sprov gc --forget 4242
    """
    project = find()
    settings = load_section(Retention, project.config, os.environ)
    root = archive_folder(project, settings)
    if do in ("archive", "forget"):
        _check_names(project, journals, do)
        act = _archive if do == "archive" else _forget
        act(project, list(journals), root, yes)
        return
    if journals:
        raise SettingsError("journals are named with --archive or --forget alone")
    if do == "free":
        _free(project, root, settings)
    else:
        _show(project, root, settings, form)


def _check_names(project: Project, names: tuple[str, ...], do: str) -> None:
    known = [path.name for path in sorted(project.journal.glob("*")) if path.is_dir()]
    there = f"There are: {', '.join(known) or 'none'}"
    if not names:
        raise SettingsError(f"--{do} needs names of journals", there)
    for name in names:
        if name not in known:
            raise SettingsError(f"no journal {name!r} here", there)


def _show(project: Project, root: Path, settings: Retention, form: str) -> None:
    from query.tables import print_rows

    is_over = over_jobs()
    rows: list[Row] = [
        {"what": name, "path": path, "files": size.n_files, "bytes": size.n_bytes, "free": False,
         "why": _note(project, name, is_over)}
        for name, path, size in places(project, root)
    ]  # fmt: skip
    for found in freeable(project, root, is_over):
        rows.append(_freeable_row(found.what, found.paths, found.why))
    if due := due_journals(project, settings):
        why = f"not written for {settings.keep_days:g} days: go to the archive"
        rows.append(_freeable_row("journals", [project.journal / name for name in due], why))
    if form == "json":
        print_rows([{**row, "path": str(row["path"])} for row in rows], COLUMNS, "json")
        return
    shown = [
        {
            **row,
            "path": _short(project, row["path"]),
            "free": "yes" if row["free"] else "",
            "bytes": in_words(row["bytes"]),
        }
        for row in rows
    ]
    print_rows(shown, COLUMNS, "table")


def _freeable_row(what: str, paths: list[Path], why: str) -> Row:
    size: Size = freed(paths)
    where = paths[0] if len(paths) == 1 else Path(os.path.commonpath([p.parent for p in paths]))
    return {"what": what, "path": where, "files": size.n_files, "bytes": size.n_bytes,
            "free": True, "why": why}  # fmt: skip


def _note(project: Project, name: str, is_over: IsOver) -> str:
    if name != "spools":
        return ""
    return in_words_of_waiting(n_logs(waiting_logs(project, is_over)))


def _short(project: Project, path: Path) -> str:
    try:
        return str(path.relative_to(project.root.parent))
    except ValueError:
        return str(path)


def in_words(n_bytes: float) -> str:
    """Return bytes as people read them: ``1.5 MiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if n_bytes < 1024:
            return f"{n_bytes:.0f} B" if unit == "B" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1024
    return f"{n_bytes:.1f} TiB"


def due_journals(project: Project, settings: Retention) -> list[str]:
    """Return the journals that the retention setting sends to the archive."""
    if not settings.keep_days:
        return []
    before = time.time() - settings.keep_days * DAY_S
    return [
        folder.name
        for folder in sorted(path for path in project.journal.glob("*") if path.is_dir())
        if (spans := spans_of(folder)) and spans[-1][1].stat().st_mtime < before
    ]


def _free(project: Project, root: Path, settings: Retention) -> None:
    found = freeable(project, root, over_jobs(), free=True)
    n_files = sum(each.deleted.n_files for each in found)
    n_bytes = sum(each.deleted.n_bytes for each in found)
    click.echo(f"{n_files} file(s) deleted, {in_words(n_bytes)} freed")
    troubles = [line for each in found for line in each.troubles]
    for line in troubles:
        notices.write(line)
    if due := due_journals(project, settings):
        _archive(project, due, root, True)
    if troubles:
        raise SystemExit(1)


def _archive(project: Project, names: list[str], root: Path, yes: bool) -> None:
    def move(name: str, advance: Callable[[int], None]) -> str:
        made = archive(project, name, root, advance)
        return (
            f"journal {name} lies in {made.where(project.journal / name)}"
            if made
            else f"journal {name} has nothing to move"
        )

    _each(project, names, move, "archiving")


def _forget(project: Project, names: list[str], root: Path, yes: bool) -> None:
    from .keeping.forget import forget

    asked = f"Delete {', '.join(names)} for good, archived or not?"
    if not yes and not (sys.stdin.isatty() and click.confirm(asked, err=True)):
        raise SettingsError("nothing was forgotten", "Without a terminal to ask on, say --yes")

    def delete(name: str, advance: Callable[[int], None]) -> str:
        folder = project.journal / name
        archives = [one.where(folder) for one in read_archived(folder)]
        absent = [str(path) for path in archives if not path.exists()]
        n_records = sum(told.counts.n_records for told in forget(project, name, advance))
        rest = f"; not found, so not deleted: {', '.join(absent)}" if absent else ""
        return f"journal {name} is forgotten: {n_records} record(s){rest}"

    _each(project, names, delete, "forgetting")


def _each(
    project: Project,
    names: list[str],
    act: Callable[[str, Callable[[int], None]], str],
    label: str,
) -> None:
    """Do it to each journal; one that can't be is told, and the others go on.

    Raises:
        SystemExit: With the status of the last trouble.
    """
    paths = [path for name in names for _, path, _ in spans_of(project.journal / name)]
    said: list[str] = []
    troubles: list[str] = []
    status = 0
    with bar(sum(path.stat().st_size for path in paths), label) as moving:
        for name in names:
            try:
                said.append(act(name, moving.update))
            except (Error, OSError) as exc:
                troubles.append(str(exc))
                status = getattr(exc, "exit_code", 1)
    for line in said:
        click.echo(line)
    for trouble in troubles:
        notices.write(trouble)
    if status:
        raise SystemExit(status)
