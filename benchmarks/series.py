"""Series: how fast points come from a journal into Parquet, and back out.

The journal holds the points of two series, captured by one rank.  Time runs from the first read of
the journal to the snapshot that shows the last point, in one process as `sprov ingest` does it; by
the daemons to the last commit, compactions beside it; the best of some runs counts, each with its
floor behind it: pyarrow writing the very same columns, ready-made, to as many files, synced.
The series that is read back was stored by the manager's writer, in half a million points a commit.
"""

from __future__ import annotations

import argparse
import os
import time
from array import array
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pyarrow.parquet as pq

import pllib
from pllib import linked
from pllib.identity import digest, iri
from pllib.log import frame_of
from pllib.project import Project
from query.engine import Engine
from query.series import read_series
from sprov.indexing import index, open_writer
from tracker.linker import link

from . import ingest as journal
from . import service, table, workload

NAMES = ("loss", "accuracy")
FRAME_POINTS = 6_500
"""About as many as 256 KiB hold."""
N_RUNS, N_READS = 3, 5


def capture(project: Project, n_points: int) -> Path:
    """Capture points offline; return the log."""
    settings = {"spool_full": "block", "close_timeout_s": 60.0}
    with (
        pllib.open(study="benchmark", mode="offline", settings=settings) as session,
        session.stage("training", "fit") as stage,
    ):
        for step in range(n_points // len(NAMES)):
            for name in NAMES:
                stage.metric(name, step / 7, step=step)
    (log,) = project.spool.glob("*.log")
    return log


def files(project: Project) -> list[Path]:
    return sorted(project.series.glob("run=*/*.parquet"))


def bare_s(project: Project) -> float:
    """Return the seconds that pyarrow takes to write the project's points again, ready-made."""
    tables = [pq.ParquetFile(path).read() for path in files(project)]
    start = time.perf_counter()
    for nth, points in enumerate(tables):
        with (project.root / f"bare-{nth}.parquet").open("wb") as file:
            pq.write_table(points, file)
            os.fsync(file.fileno())
    return time.perf_counter() - start


def stored_s(project: Project, n_records: int) -> float:
    """Return the seconds from the journal to a snapshot that shows all of it."""
    start = time.perf_counter()
    with open_writer(project.store, project.series, project.snapshots) as writer:
        n_found = index(project, writer)
    taken = time.perf_counter() - start
    if n_found != n_records:
        raise RuntimeError(f"{n_records} records were captured, {n_found} stored")
    return taken


def daemons_s(project: Project, log: Path, n_records: int) -> float:
    return journal.daemons_s(project, journal.Load(log, log, [], n_records, 0))


def triples_a_series(project: Project) -> float:
    (row,) = Engine(project, None).select(
        "SELECT (COUNT(DISTINCT ?s) AS ?series) (COUNT(*) AS ?n) { ?s a sprov:Series ; ?p ?o }"
    )
    return int(row["n"]) / int(row["series"])


def ingest(n_points: int) -> list[table.Row]:
    measured, daemons = [], []
    for _ in range(N_RUNS):
        with service.project() as project:
            log = capture(project, n_points)
            workload.journalled(project, log)
            n_records = sum(batch.n_records for batch in workload.batches(log))
            rate = n_points / stored_s(project, n_records)
            measured.append((rate, n_points / bare_s(project), triples_a_series(project)))
        with service.project() as project:
            daemons.append(n_points / daemons_s(project, capture(project, n_points), n_records))
        table.note(f"{rate:,.0f} points/s from the journal, {measured[-1][1]:,.0f} ready-made")
        table.note(f"{daemons[-1]:,.0f} points/s by the daemons")
    rate, bare, n_triples = max(measured)
    figure = f"series, journal to Parquet, {n_points:,} points"
    return [
        table.Row(figure, "points/s", rate, at_least=300_000),
        table.compared(f"{figure}, beside ready-made", "points/s", rate, bare),
        table.Row(f"{figure}, by the daemons", "points/s", max(daemons)),
        table.Row(f"series, triples for {n_points // len(NAMES):,} points", "", n_triples),
    ]


def batches(n_points: int, run: str) -> Iterator[linked.Batch]:
    """Yield points of one series, as the tracker hands them over."""
    log_id = os.urandom(16)
    source = linked.PointSource(log_id, digest("series", log_id, "loss"), 0, "loss")
    for number, first in enumerate(range(0, n_points, FRAME_POINTS)):
        n = min(FRAME_POINTS, n_points - first)
        steps = array("q", range(first, first + n)).tobytes()
        times = array("q", [10**18 + 1000 * step for step in range(first, first + n)]).tobytes()
        values = array("d", [step / 7 for step in range(first, first + n)]).tobytes()
        points = linked.Points(
            [source], [digest(number)], [(log_id, number)], bytes(4 * n), bytes(4 * n),
            b"\1" * n, steps, steps, times, values,
        )  # fmt: skip
        batch = link([(number, frame_of(log_id, number, []))], "0" * 32, run)
        yield msgspec.structs.replace(batch, points=points, n_records=n)


def read_back(n_points: int) -> list[table.Row]:
    run = digest("run")
    with service.project() as project:
        with open_writer(project.store, project.series, project.snapshots) as writer:
            for batch in batches(n_points, run):
                writer.submit_waiting(batch)
        measured = [read_s(project, iri("run", run), n_points) for _ in range(N_READS)]
        seconds, floor = min(measured)
    figure = f"series, {n_points:,} points of one read back"
    return [
        table.Row(figure, "s", seconds, at_most=1.0),
        table.compared(f"{figure}, beside pyarrow's read", "s", seconds, floor),
    ]


def read_s(project: Project, run: str, n_points: int) -> tuple[float, float]:
    """Return the seconds of `read_series`, and of pyarrow reading the same columns."""
    start = time.perf_counter()
    found = read_series(Engine(project, None), run, ["loss"])
    taken = time.perf_counter() - start
    if found.num_rows != n_points or found["step"][-1].as_py() != n_points - 1:
        raise RuntimeError(f"{n_points} points were stored, {found.num_rows} read")
    columns = found.column_names
    del found
    start = time.perf_counter()
    read = [pq.read_table(path, columns=columns, partitioning=None) for path in files(project)]
    bare = time.perf_counter() - start
    table.note(f"{taken:.2f} s, pyarrow {bare:.2f} s, {len(read)} files")
    return taken, bare


def measure(options: argparse.Namespace) -> list[table.Row]:
    return ingest(options.points) + read_back(options.read)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--read", type=int, default=10_000_000)
    table.run(measure, parser)
