"""`sprov log daemons`: what tracker, manager and `sprov serve` logged."""

from __future__ import annotations

import contextlib
import heapq
import json
import os
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import click

from pllib import notices
from pllib.daemonlog import LEVELS, N_OLD, SUFFIX
from pllib.errors import SettingsError
from pllib.loglines import Entry, in_words
from pllib.moments import nanoseconds
from pllib.project import Project, find
from pllib.regular import open_regular

POLL_S = 0.3
NO_LINE = (ValueError, LookupError, TypeError, AttributeError, RecursionError)


@click.command()
@click.argument("name", required=False)
@click.option(
    "--level", type=click.Choice(LEVELS), default="info", show_default=True, help="And above."
)
@click.option("--lines", "-n", type=click.IntRange(min=0), help="Only the last so many.")
@click.option("--follow", "-f", is_flag=True, help="Go on with what is logged from now on.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
def daemons(name: str | None, level: str, lines: int | None, follow: bool, form: str) -> None:
    """Show what tracker, manager and `sprov serve` logged, at the endpoint NAME or at all.

    \b
        sprov log daemons --level warning
        sprov log daemons 4242 --format json
        sprov log daemons --lines 20 --follow
    """
    project = find()
    shown = frozenset(LEVELS[LEVELS.index(level) :])

    def show(entry: Entry) -> None:
        if entry["level"] in shown:
            click.echo(json.dumps(entry) if form == "json" else in_words(entry))

    reader = Reader(project, name)
    entries = (entry for entry in reader.read() if entry["level"] in shown)
    for entry in entries if lines is None else deque(entries, maxlen=lines):
        show(entry)
    if reader.n_unreadable:
        notices.write(f"{reader.n_unreadable} line(s) can't be read and are left out")
    while follow:
        time.sleep(POLL_S)
        for entry in reader.read():
            show(entry)


def files_of(project: Project, name: str | None) -> list[Path]:
    """Return the files that are written, or were last.

    Raises:
        SettingsError: No daemon of this name has logged.
    """
    folder = "*" if name is None else project.endpoint(name).stem
    paths = sorted(project.logs.glob(f"{folder}/*{SUFFIX}"))
    if name is not None and not paths:
        names = sorted(path.name for path in project.logs.glob("*") if path.is_dir())
        raise SettingsError(
            f"no daemon {name!r} has logged here", f"There are: {', '.join(names) or 'none'}"
        )
    return paths


def _open(path: Path) -> IO[bytes]:
    return open(open_regular(path, os.O_NOFOLLOW), "rb")


def _at(entry: Entry) -> int:
    return nanoseconds(entry["at"])


class Reader:
    """Reads what daemons log, from where it left off; holds no file open."""

    def __init__(self, project: Project, name: str | None) -> None:
        self._project, self._name = project, name
        self._read_to: dict[Path, tuple[int, int]] = {}
        """Of each daemon's file: inode, and the bytes of it that were read."""
        self.n_unreadable = 0
        """Lines that are none of a daemon's, or were cut when it was killed or its disk full."""

    def read(self) -> Iterator[Entry]:
        """Yield what is new, in the order of time."""
        streams = [self._entries(path) for path in files_of(self._project, self._name)]
        return heapq.merge(*streams, key=_at)

    def _entries(self, path: Path) -> Iterator[Entry]:
        for part in reversed(self._parts(path)):
            for line in part.split(b"\n"):
                if line and (entry := self._parse(line, path.parent.name)) is not None:
                    yield entry

    def _parts(self, path: Path) -> list[bytes]:
        """Return what is new in a daemon's files, the newest file first: it may be turned over."""
        last, parts, inodes = self._read_to.get(path, (0, 0)), list[bytes](), list[int]()
        for nth in range(N_OLD + 1):
            part = path.with_name(f"{path.name}.{nth}") if nth else path
            with contextlib.suppress(OSError), _open(part) as file:
                inode = os.fstat(file.fileno()).st_ino
                if inode in inodes:
                    continue
                start = file.seek(last[1]) if inode == last[0] else 0
                data = file.read()
                if nth == 0:
                    data = data[: data.rfind(b"\n") + 1]  # the rest is being written
                if not inodes:
                    self._read_to[path] = inode, start + len(data)
                inodes.append(inode)
                parts.append(data)
                if inode == last[0]:
                    break
        return parts

    def _parse(self, line: bytes, endpoint: str) -> Entry | None:
        with contextlib.suppress(*NO_LINE):
            entry = json.loads(line)
            if entry["level"] in LEVELS and isinstance(entry["event"], str):
                nanoseconds(entry["at"])
                return {**entry, "endpoint": endpoint}
        self.n_unreadable += 1
        return None
