"""A derivation is stored where a transformation has one thing on one side, and nowhere else."""

from __future__ import annotations

import msgspec
import pytest

from pllib.log import frame_of
from pllib.records import (
    EXT_DATASET,
    EXT_FILE,
    EXT_HANDLE,
    Context,
    DatasetReference,
    FileVersion,
    Handle,
    Signature,
    Transformation,
    encode,
)
from pllib.values import encode as encode_values
from pllib.values import extend
from tracker.linker import link

RUN = "0" * 32
CONTEXT = Context(
    run=RUN, restart=0, rank=0, size=1, host="node1", pid=1, user="ada", program="t.py",
    project="p", workflow="w", opened_ns=0,
)  # fmt: skip


def files(n: int, folder: str) -> list[msgspec.msgpack.Ext]:
    versions = [FileVersion(f"/{folder}/{nth}", "disk", 1, 1) for nth in range(n)]
    return [extend(EXT_FILE, version) for version in versions]


def derivations(used: list, generated: list) -> list[tuple[str, str]]:
    """Return (derived, source) of one transformation."""
    signature = Signature(0, "transformation", "t", ("in",), ("out",))
    values = encode_values([used]), encode_values([generated])
    records = [CONTEXT, signature, Transformation(1, 0, 0, 10**18, 5000, *values)]
    frame = frame_of(bytes(16), 0, [encode(record) for record in records])
    batch = link([(0, frame)], "1" * 32, RUN)
    assert batch.skipped == {}
    return [(derived, source) for _, derived, _, source in batch.derivations]


@pytest.mark.parametrize(
    ("n_used", "n_generated", "n_derivations"),
    [(1, 1, 1), (1, 150, 150), (150, 1, 150), (150, 150, 0), (2, 2, 0), (0, 3, 0), (3, 0, 0)],
)
def test_files_are_derived_where_it_is_certain(n_used: int, n_generated: int, n_derivations: int):
    pairs = derivations(files(n_used, "raw"), files(n_generated, "clean"))
    assert len(set(pairs)) == n_derivations


def test_a_file_that_is_left_as_it_is_is_not_derived_from_itself():
    kept, *others = files(3, "data")
    assert derivations([kept], [kept]) == []
    assert len(derivations([kept], [kept, *others])) == 2


def test_one_file_named_twice_is_one():
    (raw,) = files(1, "raw")
    assert len(derivations([raw, raw], files(4, "clean"))) == 4


@pytest.mark.parametrize(
    "source",
    [
        extend(EXT_HANDLE, Handle("ab" * 16, 1, "make", "out", 0)),
        extend(EXT_DATASET, DatasetReference("digits", "1")),
    ],
    ids=["handle", "data set"],
)
def test_handles_and_data_sets_are_sources_too(source):
    assert len(derivations([source], files(4, "clean"))) == 4
    assert derivations([source, *files(1, "raw")], files(4, "clean")) == []
