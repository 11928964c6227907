"""Files of points: their names, which of them count, and which have points in common.

The store names a run's files; those that a compaction has superseded it names as that too.  A
file's footer tells the frames that its points are all the points of, as ranges of frame numbers by
log id: files that have no frame in common have no point in common.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import pyoxigraph as ox

from pllib.identity import is_one

from ..vocabulary import term

NAME = re.compile(r"run=([0-9a-f]{32})/[0-9a-f]{16}\.parquet")
"""Names come back out of the store, where an import may have put anything."""

_PATTERN = re.compile(r"[*?[]")
FRAMES_KEY = b"sprov.frames"
MAX_SPAN = 1 << 22
"""Frames of a log that follow each other."""

Ranges = dict[str, list[tuple[int, int]]]
"""Log id (hex) to first and last numbers of frames; in order, none touching the next."""


class DamagedError(Exception):
    """A file of points can't be read, though the disk gives it."""


class File(NamedTuple):
    name: str
    """Relative to the folder of all series."""
    n_points: int


def files_that_count(store: ox.Store) -> dict[str, list[str]]:
    """Return run → names of its files that are not superseded."""
    found: dict[str, list[str]] = defaultdict(list)
    rows = store.query(
        f"SELECT ?f {{ ?run {term('sprov:seriesFile')} ?f "
        f"FILTER NOT EXISTS {{ ?run {term('sprov:supersededFile')} ?f }} }} ORDER BY ?f"
    )
    assert isinstance(rows, ox.QuerySolutions)
    for row in rows:
        if run := run_of(row["f"].value):
            found[run].append(row["f"].value)
    return found


def delete_unnamed(folder: Path, named: set[str]) -> int:
    """Delete files that no commit names; return how many."""
    stray = [
        path
        for path in folder.glob("run=*/*.parquet")
        if str(path.relative_to(folder)) not in named
    ]
    for path in stray:
        path.unlink(missing_ok=True)
    return len(stray)


def run_of(name: str) -> str | None:
    """Return the run's identity that a file is of; None if that is no name of a file of ours."""
    found = NAME.fullmatch(name)
    return found[1] if found else None


def ranges_of(frames: Iterable[tuple[bytes, int]]) -> Ranges:
    """Return frames, each (log id, number), as ranges."""
    return unite({log_id.hex(): [(number, number)]} for log_id, number in frames)


def unite(many: Iterable[Ranges]) -> Ranges:
    """Return the ranges that cover what any of them covers."""
    gathered: Ranges = {}
    for ranges in many:
        for log_id, spans in ranges.items():
            gathered.setdefault(log_id, []).extend(spans)
    return {log_id: _joined(spans) for log_id, spans in gathered.items()}


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = joined[-1][0], max(last, joined[-1][1])
        else:
            joined.append((first, last))
    return joined


def overlapping(files: Mapping[str, Ranges | None]) -> set[str]:
    """Return the files of one run that may have points in common with others.

    Args:
        files: Name to the frames that its footer tells, None for a file that tells none.
    """
    if None in files.values():
        return set(files)
    found: set[str] = set()
    reached: dict[str, tuple[int, str]] = {}
    """Log id to the last frame seen, and the file that has it."""
    for log_id, first, last, name in sorted(
        (log_id, first, last, name)
        for name, ranges in files.items()
        for log_id, spans in (ranges or {}).items()
        for first, last in spans
    ):
        furthest, holder = reached.get(log_id, (-1, name))
        if first <= furthest:
            found |= {name, holder}
        if last > furthest:
            reached[log_id] = last, name
    return found


def write_ranges(ranges: Ranges) -> dict[bytes, bytes]:
    """Return ranges as metadata of a footer."""
    return {FRAMES_KEY: json.dumps(ranges, separators=(",", ":")).encode()}


def literally(path: Path) -> str:
    """Return a path as DuckDB, which takes it for a pattern, finds it."""
    return _PATTERN.sub(r"[\g<0>]", str(path))


def read_ranges(path: Path) -> Ranges | None:
    """Return the frames that a file's footer tells, None if it tells none.

    Raises:
        OSError: The file is gone, no Parquet, or its footer is damaged.
    """
    import pyarrow as pa  # which takes 0.2 s, and many stores have no points
    import pyarrow.parquet as pq

    try:
        told = (pq.read_metadata(path).metadata or {}).get(FRAMES_KEY)
    except pa.ArrowInvalid as exc:
        raise OSError(f"{path} is no Parquet: {exc}") from exc
    if told is None:
        return None
    try:
        found = {log_id: [(a, b) for a, b in spans] for log_id, spans in json.loads(told).items()}
        spans = [span for each in found.values() for span in each]
        sound = all(map(is_one, found)) and all(0 <= a <= b < a + MAX_SPAN for a, b in spans)
    except (ValueError, TypeError, AttributeError) as exc:
        raise OSError(f"{path}: its footer is damaged: {exc}") from exc
    if not sound:
        raise OSError(f"{path}: its footer tells of frames that can't be")
    return found
