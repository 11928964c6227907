"""How fast the running daemons bring a journal into the store, against a bare bulk load.

The journal is written before `sprov serve` starts, so that no rank takes part.  Time runs from the
tracker's first read of it, which follows at once on the manager's answer to where it should begin,
to the commit of the last record.  The end is seen by the store's watermarks: ``/v1/status`` counts
the triples one by one (pyoxigraph 0.5.13), so it is asked once, afterwards, for the number of
records.  The floor loads the very same triples in commits of the same size into an empty store,
once before and once after, because a shared disk has moods; the mean of the two counts.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pyoxigraph as ox

from manager.store.snapshots import few_files
from pllib.project import Endpoint, Project
from query.engine import ask_json

from . import service, table, workload

INGEST_TIMEOUT_S = 3600.0


@dataclass
class Load:
    """A log of records, and the same as commits of N-Triples in a file."""

    log: Path
    texts: Path
    sizes: list[int]
    """Bytes of each commit."""
    n_records: int
    n_triples: int


def prepare(project: Project, n_records: int, *, fresh: bool, texts: bool) -> Load:
    """Capture records; link and map them, unless no floor is wanted."""
    log = workload.capture(project, n_records, fresh=fresh)
    if not texts:
        return Load(log, log, [], sum(batch.n_records for batch in workload.batches(log)), 0)
    load = Load(log, project.root / "commits.nt", [], 0, 0)
    with load.texts.open("wb") as sink:
        for text, n in workload.commits(log):
            sink.write(text)
            load.sizes.append(len(text))
            load.n_records += n
            load.n_triples += text.count(b"\n")
    return load


def bare_s(load: Load, root: Path) -> float:
    """Return the seconds that `bulk_load` takes for a load's triples on an empty store."""
    with tempfile.TemporaryDirectory(dir=root) as folder, load.texts.open("rb") as source:
        with few_files():
            store = ox.Store(folder)
        taken = 0.0
        for size in load.sizes:
            text = io.BytesIO(source.read(size))
            start = time.perf_counter()
            store.bulk_load(input=text, format=ox.RdfFormat.N_TRIPLES)
            taken += time.perf_counter() - start
        del store
    return taken


def daemons_s(project: Project, load: Load) -> float:
    """Return the seconds from the tracker's first read to the manager's last commit."""
    journal, n_frames = workload.journalled(project, load.log)

    def begun() -> bool:
        status = service.tracker_status(project)
        return status is not None and status["unread_frames"] < n_frames

    with service.starting(project) as process:
        service.wait_for(begun, process, every_s=0.01)
        start = time.perf_counter()
        found = service.endpoint(project)
        path = f"/v1/watermarks?journal={journal}"
        service.wait_for(
            lambda: n_frames - 1 in ask_json(found, path)["watermarks"].values(),
            process,
            INGEST_TIMEOUT_S,
            every_s=0.1,
        )
        taken = time.perf_counter() - start
        check(found, load)
    return taken


def check(endpoint: Endpoint, load: Load) -> None:
    status = ask_json(endpoint, "/v1/status")
    if status["records"] != load.n_records or status["trouble"]:
        raise RuntimeError(f"{load.n_records} records were captured, the manager says {status}")


def measure(options: argparse.Namespace) -> list[table.Row]:
    rows, per_record = [], 0.0
    if options.records:
        rate, floor = against_floor(options.records, fresh=options.fresh)
        per_record = 1e6 / rate
        kind = "all new" if options.fresh else "settings"
        figure = f"ingest {options.records:,} records, used values {kind}"
        rows.append(table.compared(figure, "records/s", rate, floor, at_least=0.7))
    if options.records and options.growth:
        larger = growth_us(options.growth, fresh=options.fresh)
        figure = f"ingest, time a record at {options.growth:,}"
        rows.append(table.compared(figure, "us", larger, per_record, at_most=1.5))
    return rows


def against_floor(n_records: int, *, fresh: bool) -> tuple[float, float]:
    """Return records/s of the daemons and of the floor."""
    with service.project() as project:
        load = prepare(project, n_records, fresh=fresh, texts=True)
        before = bare_s(load, project.root)
        taken = daemons_s(project, load)
        after = bare_s(load, project.root)
    table.note(
        f"{load.n_triples:,} triples, {load.n_triples / load.n_records:.1f} a record; bare load "
        f"{before:.1f} s before, {after:.1f} s after; daemons {taken:.1f} s"
    )
    return load.n_records / taken, 2 * load.n_records / (before + after)


def growth_us(n_records: int, *, fresh: bool) -> float:
    """Return the microseconds a record that the daemons take for a larger load."""
    with service.project() as project:
        load = prepare(project, n_records, fresh=fresh, texts=False)
        return daemons_s(project, load) / load.n_records * 1e6


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--growth", type=int, default=0, help="also a load of so many records")
    parser.add_argument("--fresh", action="store_true", help="new used values in each record")
    table.run(measure, parser)
