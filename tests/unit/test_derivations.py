"""A derivation is stored where a transformation has one thing on one side, and nowhere else."""

from __future__ import annotations

import msgspec
import pytest

from manager.mapping import map_batch
from manager.vocabulary import term
from pllib import linked
from pllib.log import frame_of
from pllib.records import (
    EXT_DATASET,
    EXT_FILE,
    EXT_HANDLE,
    EXT_REFERENCE,
    Context,
    DatasetReference,
    FileVersion,
    Handle,
    Reference,
    Signature,
    Transformation,
    encode,
)
from pllib.values import encode as encode_values
from pllib.values import extend
from query.export.derivations import acyclic
from tracker.linker import link

RUN = "0" * 32
CONTEXT = Context(
    run=RUN, restart=0, rank=0, size=1, host="node1", pid=1, user="ada", program="t.py",
    project="p", workflow="w", opened_ns=0,
)  # fmt: skip


def files(n: int, folder: str) -> list[msgspec.msgpack.Ext]:
    versions = [FileVersion(f"/{folder}/{nth}", "disk", 1, 1) for nth in range(n)]
    return [extend(EXT_FILE, version) for version in versions]


def linked_of(used: list, *generated: list) -> linked.Batch:
    """Return one transformation, with a name for each list of things."""
    names = tuple(f"out{nth}" for nth in range(len(generated)))
    signature = Signature(0, "transformation", "t", ("in",), names)
    values = encode_values([used]), encode_values([*generated])
    records = [CONTEXT, signature, Transformation(1, 0, 0, 10**18, 5000, *values)]
    frame = frame_of(bytes(16), 0, [encode(record) for record in records])
    batch = link([(0, frame)], "1" * 32, RUN)
    assert batch.skipped == {}
    return batch


def derivations(used: list, generated: list) -> list[tuple[str, str]]:
    """Return (derived, source) of one transformation."""
    found = linked_of(used, generated).derivations
    return [(derived, source) for _, derived, _, source in found]


def triples(batch: linked.Batch, predicate: str) -> set[tuple[str, str]]:
    rows = [line.split(" ", 2) for line in "".join(map_batch(batch)).splitlines()]
    return {(s, o[:-2]) for s, p, o in rows if p == term(predicate)}


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


def test_a_file_under_two_names_is_generated_once_and_has_both_roles():
    """PROV-CONSTRAINTS 24: an activity generates an entity once."""
    (made,) = files(1, "out")
    batch = linked_of([], [made], [made])
    ((entity, generation),) = triples(batch, "prov:qualifiedGeneration")
    assert {s for s, _ in triples(batch, "prov:wasGeneratedBy")} == {entity}
    roles = triples(batch, "prov:hadRole")
    assert len(roles) == 2
    assert {node for node, _ in roles} == {generation}


def test_what_was_there_before_is_used_and_not_generated():
    """As whatever it is named: another has generated it, and PROV has no second generation."""
    (kept,) = files(1, "data")
    handle = extend(EXT_HANDLE, Handle("ab" * 16, 1, "make", "out", 0))
    for generated, n_used in ((kept, 1), (handle, 2)):
        batch = linked_of([kept], [generated])
        assert triples(batch, "prov:wasGeneratedBy") == set()
        assert len(triples(batch, "prov:used")) == n_used
        assert len(triples(batch, "prov:hadRole")) == 2


def test_what_is_known_by_a_name_alone_can_be_made_again():
    for thing in (
        extend(EXT_REFERENCE, Reference("db", "table")),
        extend(EXT_DATASET, DatasetReference("digits", "1")),
    ):
        batch = linked_of([thing], [thing])
        assert len(triples(batch, "prov:wasGeneratedBy")) == 1
        assert len(triples(batch, "prov:used")) == 1
        assert batch.derivations == []


def test_derivations_that_form_a_cycle_do_not_go_out_and_are_counted():
    derived = term("prov:wasDerivedFrom")
    edges = [("a", "b"), ("b", "c"), ("c", "a"), ("d", "a"), ("c", "e"), ("f", "f")]
    lines = [f"<x:{one}> {derived} <x:{other}> .\n" for one, other in edges]
    lines += [f'<x:a> <x:p> "<x:s> {derived} <x:o>" .\n', "<x:a> <x:q> <x:b> .\n"]
    left_out: list[int] = []
    out = b"".join(acyclic([line.encode() for line in lines], left_out.append)).decode()
    assert left_out == [4]
    assert sorted(out.splitlines(keepends=True)) == sorted([*lines[3:5], *lines[6:]])
    assert sorted(b"".join(acyclic([out.encode()], left_out.append)).decode()) == sorted(out)
    assert left_out == [4]
