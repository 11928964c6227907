"""`sprov verify`: records captured = journalled = stored.

Captured is what each session's last record says that it wrote; journalled is what the journals
hold, archived or not, frame checksums and all; stored is proved by making every triple of every
journalled record again and looking it up, and by comparing the points that the series files hold
(`sprov.pointcheck`).  One frame is in memory at a time.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pyoxigraph as ox

from manager.mapping import map_batch
from manager.store.pointfiles import files_that_count
from manager.store.snapshots import current_snapshot, missing, open_snapshot, query_prefixes
from pllib import jsontext
from pllib.errors import LogError, UnavailableError
from pllib.log import LogReader
from pllib.project import Project, find
from pllib.waiting import n_logs
from query.engine import find_engine
from query.progress import bar
from tracker.linker import context_of, link

from .keeping.archive import damage, spans_of
from .keeping.pieces import Kept, Piece, kept
from .left import in_words as in_words_of_waiting
from .left import waiting_logs
from .pinned import pinned
from .skipped import in_words, refusal
from .tallies import Tallies

if TYPE_CHECKING:
    from .pointcheck import PointCheck

REMEDY = "Run `sprov rebuild`: it makes the store from the logs, as this version stores them"
"""For triples that the store has not; what was stored by an earlier version may lack some."""
MAX_SNAPSHOTS = 5
"""So often a newer snapshot is tried when files of the last one are gone."""


@click.command()
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
@click.option(
    "--shapes",
    "run",
    is_flag=False,
    flag_value="@last",
    metavar="[RUN]",
    help="Check instead that a run's graph (of the last run by default) is valid PROV-ML.",
)
@click.option(
    "--tables",
    is_flag=True,
    help="Also read all tables of the store through: the indexes and texts that looking up triples "
    "does not touch.  Some ten times as long as counting them.",
)
@click.option("--timeout", default=600.0, show_default=True, help="Seconds, of each query.")
def verify(form: str, run: str | None, tables: bool, timeout: float) -> None:
    """Prove that logs and store agree; exit status 1 if they do not.

    With --shapes, that what is stored of a run has all that it needs and contradicts neither itself
    nor PROV: by SHACL, and by constraints of W3C PROV-CONSTRAINTS.

    \b
        sprov verify
        sprov verify --shapes
        sprov verify --shapes 4242_7
    """
    project = find()
    if run is not None:
        from .validate import validate_run

        validate_run(find_engine(project, timeout_s=timeout), run, form)
        return
    found = check(project, tables=tables)
    click.echo(jsontext.dumps(found) if form == "json" else _report(found))
    if not found["agree"]:
        raise SystemExit(1)


def check(project: Project, *, tables: bool = False) -> dict[str, Any]:
    """Compare; keys are counts, ``problems`` (lines) and ``agree``.

    What is journalled from now on is left for the next time.

    Args:
        tables: Also read the tables of the snapshot that is compared.
    """
    with contextlib.ExitStack() as kept_open:
        return _check(project, kept_open if tables else None)


def _check(project: Project, pins: contextlib.ExitStack | None) -> dict[str, Any]:
    """Compare.

    Args:
        pins: Where to keep the snapshot until its tables are read; None to leave them alone.
    """
    journals = kept(project)
    sizes = {path: path.stat().st_size for piece in journals.pieces for path in _paths(piece)}
    find_engine(project).flush()
    with bar(sum(sizes.values()), "verifying") as verifying:
        try:
            comparison = _Comparison(project, pins)
        except (UnavailableError, RuntimeError) as exc:
            if not (project.snapshots / "current").exists():
                raise
            return {"problems": [f"the store is damaged: {exc}"], "agree": False}
        for piece in journals.pieces:
            comparison.compare(piece, sizes, verifying.update)
    for name in kept(project).moved_since(journals):
        comparison.problems.append(
            f"journal {name} was archived or forgotten while it was compared: `sprov verify` again"
        )
    if pins is not None:
        from .storecheck import damage as damage_of_tables

        comparison.problems += damage_of_tables(comparison.of)
    return _found(project, journals, comparison)


def _found(project: Project, journals: Kept, comparison: _Comparison) -> dict[str, Any]:
    problems = [*map(str, journals.unreachable), *comparison.problems]
    problems += comparison.tallies.problems_beyond(journals.absent)
    if (points := comparison.points) is not None:
        problems += points.problems(journals.absent)
    problems += [in_words(reason, n) for reason, n in sorted(comparison.skipped.items())]
    if comparison.n_without_run:
        problems.append(f"{comparison.n_without_run} frame(s) say of no run: nothing is stored")
    if left := waiting_logs(project):
        problems.append(in_words_of_waiting(n_logs(left)))
    return {
        **comparison.tallies.counts,
        "skipped": sum(comparison.skipped.values()),
        "triples_missing": comparison.n_missing,
        "points": 0 if points is None else points.n_points,
        "archived": sum(piece.is_archived for piece in journals.pieces),
        "forgotten": sum(told.counts.n_records for _, told in journals.forgotten),
        "problems": problems,
        "agree": not problems,
    }


def _paths(piece: Piece) -> Iterator[Path]:
    return (path for _, path, _ in spans_of(piece.folder))


class _Comparison:
    """Journals against the newest snapshot and its series files."""

    def __init__(self, project: Project, pins: contextlib.ExitStack | None) -> None:
        self.of = project
        """With the snapshot that is compared."""
        self._series = project.series
        self.tallies = Tallies()
        self.problems: list[str] = []
        self.n_missing = self.n_without_run = 0
        self.skipped: Counter[str] = Counter()
        """Records that are not linked, by reason."""
        self.points: PointCheck | None = None
        """None while there are none, in files or journals."""
        for _ in range(MAX_SNAPSHOTS):
            before = current_snapshot(project.snapshots)
            if pins is not None:
                pins.close()
                self.of = pins.enter_context(pinned(project))
            self._store = open_snapshot(self.of.snapshots)
            self.points = self._check_points() if files_that_count(self._store) else None
            is_troubled = self.points is not None and self.points.is_troubled
            if not is_troubled or current_snapshot(project.snapshots) == before:
                break

    def _check_points(self) -> PointCheck:
        from .pointcheck import PointCheck  # with DuckDB and pyarrow, which take 0.3 s

        return PointCheck(self._store, self._series)

    def compare(self, piece: Piece, sizes: dict[Path, int], advance: Any) -> None:
        """Compare a journal as far as it was when sizes were taken."""
        if piece.is_archived:
            self.problems += [f"journal {piece.name}: {line}" for line in damage(piece.folder)]
        for first, path, after in spans_of(piece.folder):
            if path in sizes:
                try:
                    self._compare(piece, path, first, after, sizes[path])
                except (OSError, LogError) as exc:
                    self.problems.append(f"journal {piece.name}: {exc}")
                except RuntimeError as exc:  # RocksDB's word for corruption (pyoxigraph 0.5.13)
                    self.problems.append(f"the store is damaged: {exc}")
                advance(sizes[path])

    def _compare(self, piece: Piece, path: Path, first: int, after: int | None, size: int) -> None:
        n_triples, n_frames, worst = 0, 0, ""
        with LogReader(path) as reader:
            for located in reader.frames(ordinal=first):
                if located.offset >= size or (after is not None and located.ordinal >= after):
                    break
                if n_missing := self._missing(piece, located.ordinal, located.frame):
                    n_triples += n_missing
                    n_frames += 1
                    worst = worst or f"the first at byte {located.offset}"
            self.problems += [f"journal {piece.name}: {exc}" for exc in reader.corrupt]
        self.n_missing += n_triples
        if n_frames:
            self.problems.append(
                f"journal {piece.title}: {n_triples} triples of {n_frames} "
                f"frame(s) in {path.name} are not in the store, {worst}"
            )

    def _missing(self, piece: Piece, ordinal: int, frame: Any) -> int:
        """Return how many triples of a frame the store has not, and note its points."""
        context = context_of(frame)
        if not self.tallies.add(frame):
            return 0
        if context is None:
            self.n_without_run += 1
            return 0
        batch = link([(ordinal, frame)], piece.identity, context.run)
        self.skipped.update(batch.skipped)
        n_missing = len(missing(self._store, "".join(map_batch(batch))))
        if n_missing and (reason := refusal(self._select, frame)):
            self.n_missing += n_missing
            self.problems.append(
                f"journal {piece.title}: frame {frame.number} of log {frame.log_id.hex()}, run "
                f"{context.run[:8]}, was refused: {reason} ({batch.n_records} record(s))"
            )
            return 0
        if batch.points is not None:
            if self.points is None:
                self.points = self._check_points()
            self.points.add(context.run, (frame.log_id, frame.number), batch.points)
        return n_missing

    def _select(self, query: str) -> list[dict[str, str]]:
        rows = self._store.query(query, prefixes=query_prefixes())
        assert isinstance(rows, ox.QuerySolutions)
        names = [variable.value for variable in rows.variables]
        return [{name: row[name].value for name in names if row[name]} for row in rows]


def _report(found: dict[str, Any]) -> str:
    lines = [f"{name.replace('_', ' '):<20}{found[name]}" for name in found if name != "problems"]
    lines += [f"problem: {line}" for line in found["problems"]]
    if found.get("triples_missing"):
        lines.append(REMEDY)
    return "\n".join(lines)
