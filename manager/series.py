"""Points of series in Parquet: one file for each run in each commit, partitioned by run.

A file is written and synced first and then named in the store, in the commit that its records are
in.  Readers open only named files; what a crash left unnamed is deleted on start.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pllib import linked
from pllib.log import sync_folder

SCHEMA = pa.schema(
    [
        ("log_id", pa.binary(16)),
        ("seq", pa.int64()),
        ("series", pa.string()),
        ("activity", pa.string()),
        ("rank", pa.int32()),
        ("name", pa.string()),
        ("step", pa.int64()),
        ("at_ns", pa.int64()),
        ("value", pa.float64()),
    ]
)


def write_points(folder: Path, run: str, points: Iterable[linked.Points]) -> str:
    """Write one file, durable when this returns; return its name relative to `folder`.

    Raises:
        OSError: The disk is full or failed.
    """
    tables = [
        pa.table([getattr(each, name) for name in SCHEMA.names], schema=SCHEMA) for each in points
    ]
    name = f"run={run}/{os.urandom(8).hex()}.parquet"
    path = folder / name
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    pq.write_table(pa.concat_tables(tables), path, compression="zstd")
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    sync_folder(path.parent)
    sync_folder(folder)
    return name


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
