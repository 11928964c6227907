"""Points of series in Parquet: one file for each run in each commit, partitioned by run.

A file is written and synced first and then named in the store, in the commit that its records are
in.  Readers open only named files; what a crash left unnamed is deleted on start.  No file has a
point twice; which files may have points in common `manager.store.pointfiles` tells.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pllib import linked
from pllib.log import sync_folder
from pllib.sharing import make_folder, open_file

from .store.pointfiles import (
    DamagedError,
    File,
    Ranges,
    ranges_of,
    read_ranges,
    unite,
    write_ranges,
)

_TEXT = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema(
    [
        ("log_id", pa.dictionary(pa.int32(), pa.binary())),
        ("seq", pa.int64()),
        ("series", _TEXT),
        ("activity", _TEXT),
        ("rank", pa.int32()),
        ("name", _TEXT),
        ("step", pa.int64()),
        ("at_ns", pa.int64()),
        ("value", pa.float64()),
    ]
)
ROW_GROUP_POINTS = 1 << 17
_NUMBERS = dict.fromkeys(("seq", "step", "at_ns"), "DELTA_BINARY_PACKED")
_ENCODINGS = {**_NUMBERS, "value": "BYTE_STREAM_SPLIT"}
"""Half the time and two thirds of the bytes of the defaults (pyarrow 26, 10 million points)."""


def write_points(folder: Path, run: str, batches: Sequence[linked.Points]) -> File:
    """Write one file, durable when this returns.

    Raises:
        OSError: The disk is full or failed.
    """
    frames = [frame for points in batches for frame in points.frames]
    table = pa.concat_tables([table_of(points) for points in batches])
    if len(set(frames)) < len(frames):
        table = distinct(table)
    return write_table(folder, run, table, ranges_of(frames))


def merge(folder: Path, run: str, names: Sequence[str]) -> File:
    """Write the points of files of one run as one file, durable when this returns.

    Raises:
        OSError: The disk is full or failed.
        DamagedError: A file can't be read.
    """
    paths = [folder / name for name in names]
    try:
        table = distinct(pa.concat_tables([read_points(path) for path in paths]))
        return write_table(folder, run, table, _common_ranges(paths))
    except pa.ArrowException as exc:
        raise DamagedError(str(exc)) from exc


def _common_ranges(paths: Sequence[Path]) -> Ranges | None:
    ranges = [read_ranges(path) for path in paths]
    known = [each for each in ranges if each is not None]
    return unite(known) if len(known) == len(ranges) else None


def count_points(path: Path) -> int:
    """Return how many points a file has.

    Raises:
        OSError: The disk failed, or it is gone.
        DamagedError: It is no Parquet.
    """
    try:
        return int(pq.read_metadata(path).num_rows)
    except pa.ArrowException as exc:
        raise DamagedError(str(exc)) from exc


def read_points(path: Path) -> pa.Table:
    """Return a file's points in the columns of `SCHEMA`, whoever wrote it."""
    with pq.ParquetFile(path) as file:
        table = file.read(use_threads=False)
    columns = []
    for field in SCHEMA:
        column = table[field.name]
        if pa.types.is_dictionary(field.type) and not pa.types.is_dictionary(column.type):
            column = column.cast(field.type.value_type).dictionary_encode()
        columns.append(column)
    return pa.table(columns, schema=SCHEMA)


def write_table(folder: Path, run: str, table: pa.Table, frames: Ranges | None) -> File:
    """Write points of one run, none of them twice; `frames` is None when they are not known."""
    name = f"run={run}/{os.urandom(8).hex()}.parquet"
    path = folder / name
    make_folder(path.parent)
    told = {} if frames is None else write_ranges(frames)
    try:
        _write(path, table.unify_dictionaries().replace_schema_metadata(told))
        sync_folder(path.parent)
        sync_folder(folder)
    except BaseException:
        with contextlib.suppress(OSError):  # it has no name in the store, so the next start tries
            path.unlink(missing_ok=True)
        raise
    return File(name, table.num_rows)


def _write(path: Path, table: pa.Table) -> None:
    with open(open_file(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as file:
        pq.write_table(
            table,
            file,
            row_group_size=ROW_GROUP_POINTS,
            compression="zstd",
            use_dictionary=[name for name in SCHEMA.names if name not in _ENCODINGS],
            column_encoding=_ENCODINGS,
        )
        file.flush()
        os.fsync(file.fileno())


def distinct(table: pa.Table) -> pa.Table:
    """Return points grouped by name, then by log, in order; a point that is there twice once."""
    table = table.unify_dictionaries().combine_chunks()
    keys = pa.table(
        {
            "name": table["name"].chunk(0).indices,
            "log_id": table["log_id"].chunk(0).indices,
            "seq": table["seq"],
        }
    )
    order = pc.sort_indices(keys, [(name, "ascending") for name in keys.column_names])
    log_id, seq = (keys[name].take(order).chunk(0) for name in ("log_id", "seq"))
    new = pc.or_(pc.not_equal(log_id[1:], log_id[:-1]), pc.not_equal(seq[1:], seq[:-1]))
    if not pc.all(new, min_count=0).as_py():
        order = order.filter(pa.concat_arrays([pa.array([True]), new]))
    return table.take(order)


def table_of(points: linked.Points) -> pa.Table:
    source = _column(points, pa.int32(), points.source)
    activity = _column(points, pa.int32(), points.activity)
    has_step = pc.cast(_column(points, pa.uint8(), points.has_step), pa.bool_())
    step = _column(points, pa.int64(), points.step)

    def of_source(name: str, kind: pa.DataType) -> pa.Array:
        told = pa.array([getattr(each, name) for each in points.sources], kind)
        return pa.DictionaryArray.from_arrays(source, told)

    return pa.table(
        {
            "log_id": of_source("log_id", pa.binary()),
            "seq": _column(points, pa.int64(), points.seq),
            "series": of_source("series", pa.string()),
            "activity": pa.DictionaryArray.from_arrays(
                activity, pa.array(points.activities, pa.string())
            ),
            "rank": of_source("rank", pa.int32()).dictionary_decode(),
            "name": of_source("name", pa.string()),
            "step": pc.if_else(has_step, step, pa.scalar(None, pa.int64())),
            "at_ns": _column(points, pa.int64(), points.at_ns),
            "value": _column(points, pa.float64(), points.value),
        },
        schema=SCHEMA,
    )


def _column(points: linked.Points, kind: Any, data: bytes) -> pa.Array:
    """Return packed numbers as they lie there."""
    return pa.Array.from_buffers(kind, points.n_points, [None, pa.py_buffer(data)])
