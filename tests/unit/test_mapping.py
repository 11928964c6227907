"""What linked records become: how many triples, and the same ones however they are cut."""

from __future__ import annotations

import itertools

import msgspec
import pyoxigraph as ox
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from manager.mapping import map_batch
from pllib import linked
from pllib.log import Frame, frame_of
from pllib.records import Context, Signature, Transformation, encode
from pllib.values import encode as encode_values
from tracker.linker import link

LOG = bytes(range(16))
RUN = "0" * 32
JOURNAL = "1" * 32
USED = tuple(f"used_value_{n:05d}" for n in range(10))
MADE = tuple(f"made_value_{n:05d}" for n in range(10))


def context() -> Context:
    return Context(
        run=RUN, restart=0, rank=0, size=1, host="node1", pid=1, user="ada", program="t.py",
        project="p", workflow="w", opened_ns=0,
    )  # fmt: skip


def frame(number: int, used: list, made: list) -> Frame:
    """Return a frame with one transformation."""
    return frame_of(
        LOG,
        number,
        [
            encode(context()),
            encode(Signature(0, "transformation", "step", USED, MADE)),
            encode(
                Transformation(
                    number + 1, 0, 0, 10**18, 5000, encode_values(used), encode_values(made)
                )
            ),
        ],
    )


def lines(frames: list[Frame]) -> set[str]:
    batch = link(list(enumerate(frames)), JOURNAL, RUN)
    through = linked.decode_batch(linked.encode_batch(batch))
    return set("".join(map_batch(through)).splitlines())


def test_a_record_of_twenty_values_costs_47_triples_when_its_settings_are_known():
    """10 used values that the run has used before, 10 generated ones."""
    settings_ = [n / 7 for n in range(10)]
    first = lines([frame(0, settings_, list(range(10)))])
    both = lines([frame(n, settings_, list(range(10))) for n in range(2)])
    assert len(both - first) == 47


def test_a_value_used_for_the_first_time_costs_two_more():
    first = lines([frame(0, list(range(10)), list(range(10)))])
    both = lines([frame(n, [v + 100 * n for v in range(10)], list(range(10))) for n in range(2)])
    assert len(both - first) == 47 + 20


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(6)), st.sets(st.integers(1, 5)))
def test_order_and_cutting_make_no_difference(order, cuts):
    """Frames in any order, in batches of any size, some twice: one graph."""
    frames = [
        frame(n, [n % 3 + v for v in range(10)], [n * v for v in range(10)]) for n in range(6)
    ]
    whole = lines(frames)
    edges = [0, *sorted(cuts), 6]
    parts = [[frames[i] for i in order[a:b]] for a, b in itertools.pairwise(edges)]
    assert set().union(*(lines(part) for part in [*parts, frames[:2]])) == whole


def test_one_one_point_nought_and_true_are_three_values():
    used = [1, 1.0, True, "1", None, [1], *range(4)]
    batch = link([(0, frame(0, used, [0] * 10))], JOURNAL, RUN)
    assert len({(v.datatype, v.lexical) for v in batch.values[:6]}) == 6


@pytest.mark.parametrize("forged", ["0" * 31 + ">", "0" * 32 + "\n", "", "0" * 31 + " ", "g" * 32])
@pytest.mark.parametrize("where", ["queue", "activity", "used", "generated", "attribute", "value"])
def test_an_identity_that_is_none_is_refused(where, forged):
    """Identities become IRIs, so they are checked where they come in."""
    batch = link([(0, frame(0, [0] * 10, [0] * 10))], JOURNAL, RUN)
    (activity,), (value, *_) = batch.activities, batch.values
    made = activity.generated[0]
    wrong = {
        "queue": lambda: replace(batch, queue=forged),
        "activity": lambda: replace(batch, activities=[replace(activity, id=forged)]),
        "used": lambda: replace(batch, activities=[replace(activity, used=[forged])]),
        "generated": lambda: replace(
            batch, activities=[replace(activity, generated=[replace(made, id=forged)])]
        ),
        "attribute": lambda: replace(
            batch, activities=[replace(activity, generated=[replace(made, attribute=forged)])]
        ),
        "value": lambda: replace(batch, values=[replace(value, id=forged)]),
    }
    with pytest.raises(msgspec.ValidationError):
        linked.decode_batch(linked.encode_batch(wrong[where]()))


@pytest.mark.parametrize("run", ["", "<> . <x> <y> <z>", "f" * 33, "G" * 32])
def test_a_frame_of_a_run_that_is_none_is_passed_over(run):
    spoken = [encode(replace(context(), run=run)), encode(Signature(0, "transformation", "t"))]
    assert lines([frame_of(bytes(16), 0, spoken)]) == set()


def test_all_lines_are_n_triples():
    used = ['a "quoted"\\ line\nbreak', float("nan"), float("-inf"), b"\0\1", {"k": [1]}, *range(5)]
    data = "\n".join(lines([frame(0, used, [0] * 10)])) + "\n"
    assert len(list(ox.parse(input=data, format=ox.RdfFormat.N_TRIPLES))) == data.count("\n")


def test_a_list_with_a_file_that_was_missing_is_the_files_that_were_there(tmp_path):
    """And a value that says which were not."""
    import pllib

    paths = [tmp_path / name for name in ("one", "two", "three", "four")]
    for path in paths:
        path.touch()
    used, made = (
        [pllib.File(path) for path in (*some, tmp_path / "missing")]
        for some in (paths[:2], paths[2:])
    )
    batch = link([(0, frame(0, [used], [made]))], "0" * 32, "0" * 32)
    assert {file.path for file in batch.files} == {str(path) for path in paths}
    assert sorted(role.direction for role in batch.roles) == ["generated"] * 2 + ["used"] * 2
    assert ["missing" in value.lexical for value in batch.values] == [True]
    (activity,) = batch.activities
    assert ["missing" in value.lexical for value in activity.generated] == [True]
