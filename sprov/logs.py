"""`sprov log`: look inside provenance logs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from pllib.errors import LogError, SettingsError
from pllib.log import LogReader, LogWriter
from pllib.project import find
from pllib.records import Context, Signature

_LOG = click.argument("path", type=click.Path(path_type=Path, exists=True, dir_okay=False))


@click.group()
def log() -> None:
    """Look inside provenance logs: spools, journals and offline files."""


@log.command()
def ls() -> None:
    """List this project's logs: frames, records, bytes, owner.

    \b
        sprov log ls
    """
    project = find()
    for path in _logs(project.root):
        try:
            click.echo(_summary(path))
        except LogError as exc:
            click.echo(f"{path}: {exc}")


def _logs(root: Path) -> Iterator[Path]:
    yield from sorted(root.glob("spool/*.spool"))
    yield from sorted(root.glob("spool/*.log"))
    yield from sorted(root.glob("journal/*/*.log"))


def _summary(path: Path) -> str:
    with LogReader(path) as reader:
        frames = [located.frame for located in reader.frames()]
        owner = reader.header.owner
    n_records = sum(
        not isinstance(record, Context | Signature)
        for frame in frames
        for record in frame.records()
    )
    bad = f", {len(reader.corrupt)} corrupt" if reader.corrupt else ""
    torn = ", torn at the end" if reader.torn else ""
    size = path.stat().st_size
    return (
        f"{path}  {len(frames)} frames, {n_records} records, {size} bytes, "
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
        click.echo(f"sprov: {exc}", err=True)
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
        frames = [located.frame for located in reader.frames()]
        writer = LogWriter(output, reader.header)
    writer.append([frame.pack() for frame in frames])
    writer.sync()
    writer.close()
    click.echo(f"{len(frames)} frame(s) kept, {len(reader.corrupt)} lost")
