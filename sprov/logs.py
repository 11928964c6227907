"""`sprov log`: look inside provenance logs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from pllib import notices
from pllib.errors import LogError, SettingsError
from pllib.log import LogReader, LogWriter
from pllib.printable import one_line
from pllib.project import find

from .daemonlogs import daemons
from .tallies import Tallies

_LOG = click.argument("path", type=click.Path(path_type=Path, exists=True, dir_okay=False))


@click.group()
def log() -> None:
    """Look inside provenance logs (spools, journals, offline files), and at what daemons logged."""


log.add_command(daemons)


@log.command()
def ls() -> None:
    """List this project's logs: frames, records, bytes, owner.

    \b
        sprov log ls
    """
    project = find()
    for path, note in _logs(project.root):
        try:
            click.echo(_summary(path) + note)
        except (LogError, OSError) as exc:
            click.echo(f"{one_line(str(path))}: {one_line(str(exc))}")


def _logs(root: Path) -> Iterator[tuple[Path, str]]:
    """Yield logs, each with what is to be said of it."""
    from .keeping.stubs import read_archived

    for pattern in ("spool/*.spool", "spool/*.log", "journal/*/*.log"):
        yield from ((path, "") for path in sorted(root.glob(pattern)))
    for folder in sorted(root.glob("journal/*")):
        for told in read_archived(folder):
            yield from ((told.where(folder) / name, " (archived)") for name in told.segments)


def _summary(path: Path) -> str:
    tallies = Tallies()
    with LogReader(path) as reader:
        for located in reader.frames():
            tallies.add(located.frame)
        owner = reader.header.owner
    bad = f", {len(reader.corrupt)} corrupt" if reader.corrupt else ""
    torn = ", torn at the end" if reader.torn else ""
    size = path.stat().st_size
    return (
        f"{path}  {tallies.n_frames} frames, {tallies.n_records} records, {size} bytes, "
        f"{owner.host} pid {owner.pid}{bad}{torn}"
    )


@log.command()
@_LOG
def show(path: Path) -> None:
    """Print a log's records, one a line.

    \b
        sprov log show .sprov/journal/local/000000000000.log | less
    """
    with LogReader(path) as reader:
        for located in reader.frames():
            state = "" if located.frame.sealed else " not sealed"
            click.echo(
                f"# frame {located.frame.number} of {located.frame.log_id.hex()} "
                f"at byte {located.offset}{state}"
            )
            for record in located.frame.records():
                click.echo(repr(record))
    for exc in reader.corrupt:
        notices.write(str(exc))
    if reader.corrupt:
        raise SystemExit(LogError.exit_code)


@log.command()
@_LOG
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="A file that is new."
)
def salvage(path: Path, output: Path) -> None:
    """Copy every intact frame of a log to another; the log itself stays as it is.

    \b
        sprov log salvage broken.log -o whole.log && sprov ingest whole.log
    """
    if output.exists():
        raise SettingsError(f"{output} exists", "Name a file that does not")
    with LogReader(path) as reader:
        writer = LogWriter(output, reader.header)
        try:
            for located in reader.frames():
                writer.append([located.frame.pack()])
            writer.sync()
        finally:
            writer.close()
    click.echo(f"{writer.n_frames} frame(s) kept, {len(reader.corrupt)} lost")
