"""What lies in a project, and how large it is."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from pllib.project import Project

BLOCK_BYTES = 512
"""Source: stat(2), st_blocks."""


class Size(NamedTuple):
    n_files: int
    n_bytes: int


class Sizes:
    """Measures folders; what several names lead to (hard links of snapshots) counts where it is
    first met."""

    def __init__(self) -> None:
        self._met: set[tuple[int, int]] = set()

    def of(self, paths: Iterable[Path], suffixes: tuple[str, ...] = ()) -> Size:
        """Return how many files lie under paths, and the blocks that they take.

        Args:
            suffixes: Only of files whose names end so, if any are given.
        """
        n_files = n_bytes = 0
        for file in _files(paths):
            if suffixes and not file.endswith(suffixes):
                continue
            try:
                found = os.lstat(file)
            except FileNotFoundError:  # somebody is at work
                continue
            n_files += 1
            if (found.st_dev, found.st_ino) not in self._met:
                self._met.add((found.st_dev, found.st_ino))
                n_bytes += found.st_blocks * BLOCK_BYTES
        return Size(n_files, n_bytes)


def _files(paths: Iterable[Path]) -> Iterator[str]:
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            for place, _, names in os.walk(path):
                yield from (os.path.join(place, name) for name in names)  # noqa: PTH118
        elif os.path.lexists(path):
            yield str(path)


def freed(paths: Iterable[Path]) -> Size:
    """Return how much space deleting paths gives back: files with other names stay."""
    links: dict[tuple[int, int], list[int]] = {}
    n_files = 0
    for file in _files(paths):
        try:
            found = os.lstat(file)
        except FileNotFoundError:
            continue
        n_files += 1
        entry = links.setdefault(
            (found.st_dev, found.st_ino), [0, found.st_nlink, found.st_blocks * BLOCK_BYTES]
        )
        entry[0] += 1
    n_bytes = sum(size for n_met, n_links, size in links.values() if n_met == n_links)
    return Size(n_files, n_bytes)


def places(project: Project, archive: Path) -> Iterator[tuple[str, Path, Size]]:
    """Yield what lies where: its name, folder and size."""
    sizes = Sizes()
    for name, folder in (
        ("journals", project.journal),
        ("archive", archive),
        ("spools", project.spool),
        ("store", project.store),
        ("snapshots", project.snapshots),
        ("series", project.series),
        ("kept files", project.kept),
        ("launches", project.launches),
        ("endpoints", project.endpoints),
        ("logs", project.logs),
    ):
        if folder.exists():
            yield name, folder, sizes.of([folder])
