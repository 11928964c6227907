"""Points of series: what journals hold of them against what the files hold that the store names.

A file's footer tells the frames that it has all the points of.  So each file is compared as a
whole: the number of its points, and the sum of a hash of each, against those of its frames in the
journals.  Nothing is kept but these two numbers for each file.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pyoxigraph as ox

from manager.series import SCHEMA, distinct, read_points, table_of
from manager.store.pointfiles import Ranges, files_that_count, literally, read_ranges
from pllib import linked
from tracker.seen import Seen

PIECE_POINTS = 1 << 17
PENDING_FRAMES = 256
_TYPES = {
    "log_id": "BLOB", "seq": "BIGINT", "series": "VARCHAR", "activity": "VARCHAR",
    "rank": "INTEGER", "name": "VARCHAR", "step": "BIGINT", "at_ns": "BIGINT", "value": "DOUBLE",
}  # fmt: skip
_COLUMNS = ", ".join(f"{name}::{kind}" for name, kind in _TYPES.items())
_SUMS = f"count(*), coalesce(sum(hash({_COLUMNS})::HUGEINT), 0)"

_BOUNDS = ", ".join(
    f"min({name}::{kind})::VARCHAR, max({name}::{kind})::VARCHAR"
    for name, kind in _TYPES.items()
    if name != "value"  # of which only some are comparable
)
# pyarrow 26 ends the process where a damaged footer gives a column another type; DuckDB 1.5 raises.
_TOLD_BOUNDS = """SELECT path_in_schema, coalesce(stats_min_value, stats_min),
coalesce(stats_max_value, stats_max) FROM parquet_metadata(?) WHERE row_group_id = ?"""

Key = tuple[bytes, int]


UNREADABLE = (OSError, pa.ArrowException, LookupError, ValueError, duckdb.Error)
"""What a damaged file raises."""


@dataclass
class Sum:
    """So many points, and the sum of their hashes."""

    n_points: int = 0
    of_hashes: int = 0

    def add(self, n_points: int, of_hashes: int) -> None:
        self.n_points += n_points
        self.of_hashes += of_hashes


@dataclass
class _Claim:
    """What is compared as a whole: a file, or all files of a run where one tells no frames."""

    names: list[str]
    ranges: Ranges | None
    stored: Sum = field(default_factory=Sum)
    journalled: Sum = field(default_factory=Sum)
    seen: Seen = field(default_factory=Seen)
    """Its frames that the journals have."""
    trouble: str = ""

    def has(self, key: Key) -> bool:
        if self.ranges is None:
            return not self.trouble
        spans = self.ranges.get(key[0].hex(), ())
        return any(first <= key[1] <= last for first, last in spans)

    def absent(self, forgotten: Seen) -> tuple[int, int]:
        """Return how many of its frames no journal has, and how many of these are forgotten."""
        n_absent = n_forgotten = 0
        for log_id, spans in (self.ranges or {}).items():
            key = bytes.fromhex(log_id)
            for first, last in spans:
                for number in range(first, last + 1):
                    if not self.seen.has(key, number):
                        n_absent += 1
                        n_forgotten += forgotten.has(key, number)
        return n_absent, n_forgotten


class PointCheck:
    """Files are read when it is made; then `add` the points of each frame, and ask `problems`."""

    def __init__(
        self, store: ox.Store, folder: Path, advance: Callable[[int], None] = lambda n: None
    ) -> None:
        """Args:
        store: The snapshot that names the files.
        folder: Of series.
        advance: Called with the number of files read, for progress.

        """
        self._duckdb = duckdb.connect()
        self._pending: list[tuple[str, Key, pa.Table]] = []
        self._n_pending = 0
        self._unclaimed: dict[str, list[Key]] = defaultdict(list)
        self.n_points = 0
        self._claims: dict[str, list[_Claim]] = {}
        for run, names in files_that_count(store).items():
            self._claims[run] = _claims(folder, names)
            for claim in self._claims[run]:
                self._read(folder, claim)
                advance(len(claim.names))

    @property
    def is_troubled(self) -> bool:
        """A file can't be read: it is damaged, or superseded since the snapshot."""
        return any(claim.trouble for claims in self._claims.values() for claim in claims)

    def add(self, run: str, key: Key, points: linked.Points) -> None:
        """Take in the points of one frame, each frame once."""
        self._pending.append((run, key, table_of(points)))
        self._n_pending += points.n_points
        if self._n_pending >= PIECE_POINTS or len(self._pending) >= PENDING_FRAMES:
            self._settle()

    def problems(self, forgotten: Seen) -> list[str]:
        """Return what does not agree, by file and by frame.

        Args:
            forgotten: Frames that no journal within reach has, as is known.
        """
        self._settle()
        found = []
        for run, claims in sorted(self._claims.items()):
            for claim in claims:
                if trouble := claim.trouble or _disagreement(claim, forgotten):
                    found.append(trouble)
            found.extend(_unclaimed(run, self._unclaimed.pop(run, [])))
        for run, keys in sorted(self._unclaimed.items()):
            found.extend(_unclaimed(run, keys))
        return found

    def _settle(self) -> None:
        if not self._pending:
            return
        nths = [
            pa.array([nth] * table.num_rows, pa.int32())
            for nth, (_, _, table) in enumerate(self._pending)
        ]
        whole = pa.concat_tables([table for _, _, table in self._pending]).unify_dictionaries()
        whole = whole.append_column("nth", pa.chunked_array(nths))
        for nth, n_points, of_hashes in self._sums(whole, "nth, ", "GROUP BY nth"):
            run, key, _ = self._pending[nth]
            self._assign(run, key, n_points, of_hashes)
        self._pending, self._n_pending = [], 0

    def _assign(self, run: str, key: Key, n_points: int, of_hashes: int) -> None:
        self.n_points += n_points
        claims = [claim for claim in self._claims.get(run, ()) if claim.has(key)]
        for claim in claims:
            claim.journalled.add(n_points, of_hashes)
            claim.seen.add(*key)
        if not claims:
            self._unclaimed[run].append(key)

    def _read(self, folder: Path, claim: _Claim) -> None:
        """Sum up what files hold; what can't be read is a trouble by name."""
        if claim.trouble:
            return
        paths = [folder / name for name in claim.names]
        try:
            for path in paths:
                claim.stored.add(*self._whole(path))
            if claim.ranges is None:  # files of one run may have points in common
                whole = distinct(pa.concat_tables([read_points(path) for path in paths]))
                claim.stored = Sum(*self._sums(whole)[0])
        except UNREADABLE as exc:
            claim.trouble = _unreadable(claim.names, exc)

    def _whole(self, path: Path) -> tuple[int, int]:
        """Sum up a file, as each of the two reads it that queries and compactions read it by."""
        found = Sum()
        for group in self._groups(path):
            found.add(*self._sums(group)[0])
        query = f"SELECT {_SUMS} FROM read_parquet(?, hive_partitioning = false)"
        n_points, of_hashes = self._execute(query, [literally(path)])[0]
        if Sum(n_points, of_hashes) != found:
            raise ValueError("DuckDB and Arrow do not read the same")
        return n_points, of_hashes

    def _groups(self, path: Path) -> Iterator[pa.Table]:
        """Yield a file's row groups, once their bounds are checked, by which readers leave one out.

        Raises:
            ValueError: Its footer tells of other columns, or of other bounds than they have.
        """
        with pq.ParquetFile(path) as file:
            if file.schema_arrow.remove_metadata() != SCHEMA:
                raise ValueError("its footer tells of other columns than series have")
            for nth in range(file.num_row_groups):
                piece = file.read_row_group(nth, columns=SCHEMA.names, use_threads=False)
                rows = self._execute(_TOLD_BOUNDS, [literally(path), nth])
                told = {name: [least, most] for name, least, most in rows}
                ((*bounds,),) = self._execute(f"SELECT {_BOUNDS} FROM points", points=piece)
                for at, name in enumerate(name for name in _TYPES if name != "value"):
                    if told[name] not in ([None, None], bounds[2 * at : 2 * at + 2]):
                        raise ValueError(f"its footer tells other bounds of {name}")
                yield piece

    def _sums(self, table: pa.Table, select: str = "", group: str = "") -> list[Any]:
        return self._execute(f"SELECT {select}{_SUMS} FROM points {group}", points=table)

    def _execute(self, query: str, values: object = None, points: pa.Table = None) -> list[Any]:
        if points is None:
            return list(self._duckdb.execute(query, values).fetchall())
        self._duckdb.register("points", points)
        try:
            return list(self._duckdb.execute(query).fetchall())
        finally:
            self._duckdb.unregister("points")


def _claims(folder: Path, names: list[str]) -> list[_Claim]:
    """Return what is compared as a whole of one run."""
    claims = []
    for name in names:
        try:
            claims.append(_Claim([name], read_ranges(folder / name)))
        except UNREADABLE as exc:
            claims.append(_Claim([name], None, trouble=_unreadable([name], exc)))
    if any(claim.ranges is None and not claim.trouble for claim in claims):
        troubled = [claim for claim in claims if claim.trouble]
        told = [name for claim in claims if not claim.trouble for name in claim.names]
        return [*troubled, _Claim(told, None)]
    return claims


def _unreadable(names: list[str], exc: Exception) -> str:
    why = getattr(exc, "strerror", None) or str(exc).split("\n")[0]
    return f"series file {', '.join(names)} can't be read: {why}"


def _disagreement(claim: _Claim, forgotten: Seen) -> str:
    name = ", ".join(claim.names)
    n_absent, n_forgotten = claim.absent(forgotten)
    if n_absent > n_forgotten:
        return f"series file {name} has points of {n_absent} frame(s) that no journal has"
    stored, journalled = claim.stored, claim.journalled
    if n_absent and stored.n_points >= journalled.n_points:
        return ""  # what remains can't be told apart from what was forgotten
    if stored.n_points != journalled.n_points:
        return (
            f"series file {name} has {stored.n_points} points, the journals have "
            f"{journalled.n_points} of its frames"
        )
    if stored.of_hashes != journalled.of_hashes:
        return f"series file {name} has other points than the journals"
    return ""


def _unclaimed(run: str, keys: list[Key]) -> list[str]:
    if not keys:
        return []
    log_id, number = min(keys)
    return [
        f"run {run[:8]}: the points of {len(keys)} frame(s) are in no series file that can be "
        f"read, the first is frame {number} of log {log_id.hex()}"
    ]
