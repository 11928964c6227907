"""What a record of 10 used and 10 generated values takes up: as triples, log, store and wire bytes.

Generated values are random doubles.  Where it says "new", used ones are too: each is used for the
first time, and nothing but names compresses.  Else they repeat as settings do
(`benchmarks.workload`), and the targets for triples and store are for these.
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
from pathlib import Path

from manager.mapping import map_batch
from manager.store.writable import Store
from pllib.linked import encode_batch
from pllib.log import ZLIB, LogReader
from pllib.project import Project

from . import service, table, workload


def folder_bytes(folder: Path) -> int:
    """Return the bytes of disk that a folder's files take, as ``du`` counts them."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def log_bytes(log: Path) -> tuple[int, int]:
    """Return the bytes of a log's frames raw, and as in a sealed segment."""
    with LogReader(log) as reader:
        frames = [located.frame for located in reader.frames()]
    return sum(len(f.pack()) for f in frames), sum(len(f.pack(ZLIB)) for f in frames)


def n_triples(log: Path) -> int:
    """Count distinct triples: the store keeps those that batches repeat once."""
    lines = itertools.chain.from_iterable(map_batch(batch) for batch in workload.batches(log))
    return len(set(itertools.chain.from_iterable(text.splitlines() for text in lines)))


def batch_bytes(log: Path) -> int:
    return sum(len(encode_batch(batch)) for batch in workload.batches(log))


def store_bytes(project: Project) -> tuple[int, int]:
    """Take the project's logs in; return the bytes of its store, then and when optimized."""
    subprocess.run([service.command("sprov"), "ingest"], check=True, capture_output=True)
    loaded = folder_bytes(project.store)
    store = Store(project.store)
    store.optimize()
    store.close()
    return loaded, folder_bytes(project.store)


def of_kind(n_records: int, *, fresh: bool) -> list[table.Row]:
    kind = "used values new" if fresh else "used values settings"

    def row(figure: str, unit: str, total: int, at_most: float | None = None) -> table.Row:
        return table.Row(f"{figure}, {kind}", unit, total / n_records, at_most=at_most)

    with service.project() as project:
        log = workload.capture(project, n_records, fresh=fresh)
        raw, sealed = log_bytes(log)
        triples, handed_over = n_triples(log), batch_bytes(log)
        loaded, optimized = store_bytes(project)
    return [
        row("triples a record", "", triples, None if fresh else 48),
        row("log bytes a record, raw", "B", raw, 300),
        row("log bytes a record, sealed", "B", sealed, 200),
        row("wire bytes a record, rank to tracker", "B", raw),
        row("wire bytes a record, tracker to manager", "B", handed_over),
        row("store bytes a record, loaded", "B", loaded, None if fresh else 7000),
        row("store bytes a record, optimized", "B", optimized, None if fresh else 7000),
    ]


def measure(options: argparse.Namespace) -> list[table.Row]:
    return of_kind(options.records, fresh=False) + of_kind(options.records, fresh=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=25_000)
    table.run(measure, parser)
