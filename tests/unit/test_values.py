"""A value that can't be kept whole is described; it costs the others nothing."""

from __future__ import annotations

import dataclasses
import enum
import functools
import math
import tracemalloc

import numpy as np
import pytest
from harness import require_module

from pllib.records import BigInteger, Described, FileVersion, decode_values
from pllib.values import LONG_BYTES, encode_list


class Strange:
    def __len__(self):
        raise RuntimeError("no length either")

    def __repr__(self):
        raise RuntimeError("nor a representation")


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int


def cycle() -> list:
    made: list = []
    made.append(made)
    return made


def keep(value: object) -> object:
    """Encode a value between nineteen others, which must come out as they were."""
    others = [n / 3 for n in range(19)]
    found = decode_values(encode_list([*others[:7], value, *others[7:]]))
    assert [*found[:7], *found[8:]] == others
    return found[7]


@pytest.mark.parametrize(
    "value", [0, -(2**63), 2**64 - 1, 1.5, True, None, "ü", [1, [2]], {"a": 1}]
)
def test_plain_values_are_kept(value):
    assert keep(value) == value
    assert type(keep(value)) is type(value)


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, 7**400])
def test_integers_of_any_size_are_kept(value):
    assert keep(value) == value
    assert isinstance(keep(value), BigInteger)


def test_numbers_of_array_libraries_are_numbers():
    assert keep(np.float32(0.5)) == 0.5
    assert keep(np.int64(7)) == 7
    assert keep(np.bool_(True)) is True
    assert keep(np.array(3)) == 3


def test_an_array_is_its_shape_type_and_digest():
    small, large = keep(np.zeros((3, 4))), keep(np.zeros((1000, 1000)))
    assert isinstance(small, Described)
    assert isinstance(large, Described)
    assert (small.shape, small.dtype) == ((3, 4), "float64")
    assert small.digest != keep(np.ones((3, 4))).digest
    assert large.digest is None


def test_a_long_text_is_cut_and_its_whole_digested():
    found, other = keep("x" * 10_000_000), keep("x" * 9_999_999 + "y")
    assert isinstance(found, Described)
    assert found.length == 10_000_000
    assert found.digest != other.digest
    assert set(found.preview) == {"x"}


@pytest.mark.parametrize("value", [Strange(), object(), lambda: 0, cycle(), {Strange(): 1}, 1j])
def test_strange_values_are_described_or_made_text(value):
    assert isinstance(keep(value), Described | str | list | dict)


def test_lone_surrogates_are_escaped():
    assert keep("bad\udcff") == "bad\\udcff"
    assert keep({"k\udcff": ["\udcff"]}) == {"k\\udcff": ["\\udcff"]}


def test_enumerations_and_dataclasses_are_their_values():
    assert keep(Colour.RED) == "red"
    assert keep(Point(3)) == {"x": 3}


def test_a_file_is_its_version_as_it_is_now(tmp_path):
    import pllib

    path = tmp_path / "a"
    path.write_text("one")
    first = keep(pllib.File(path))
    path.write_text("another")
    second = keep(pllib.Model(path, layers=2))
    assert isinstance(first, FileVersion)
    assert isinstance(second, FileVersion)
    assert (first.size, second.size) == (3, 7)
    assert (first.kind, second.kind, second.characteristics) == ("file", "model", {"layers": 2})
    assert first.store == second.store


def test_a_file_that_is_not_there_says_so(tmp_path):
    import pllib

    found = keep(pllib.File(tmp_path / "none"))
    assert isinstance(found, Described)
    assert found.reason == "No such file or directory"


def test_many_long_values_stay_within_a_chunk():
    data = encode_list(["y" * LONG_BYTES] * 100)
    assert len(data) < 5 * LONG_BYTES
    assert all(isinstance(value, Described) for value in decode_values(data))


def test_keys_of_a_mapping_are_text():
    """msgpack can say others, and no Python can read them: a list is no key."""
    point = dataclasses.make_dataclass("Frozen", ["x"], frozen=True)
    assert keep({point(1): 2, 3: 4, None: 5, Colour.RED: 6}) == {
        "Frozen(x=1)": 2, "3": 4, "None": 5, "red": 6,
    }  # fmt: skip


class Sched(str, enum.Enum):
    LINEAR = "linear"


class Level(enum.IntEnum):
    LOW = 1


class Loss(enum.Enum):
    MSE = dataclasses.dataclass


def mse(x): ...


def huber(x): ...


@pytest.mark.parametrize("beside", [1, 2**70, "bad\udcff"], ids=["fast", "big", "surrogate"])
def test_a_value_is_the_same_whatever_is_recorded_beside_it(beside):
    """What stands beside it may send all values of a record another way."""
    long_list = list(range(3000))
    values = [Sched.LINEAR, Level.LOW, Colour.RED, {Sched.LINEAR: Level.LOW}, {"b", "a"}, long_list]
    found = decode_values(encode_list([*values, beside]))[:-1]
    assert found == ["linear", 1, "red", {"linear": 1}, ["a", "b"], long_list]
    assert [type(value) for value in found[:3]] == [str, int, str]


def test_what_has_no_plain_value_is_told_apart_by_a_name():
    require_module("torch", "lifecycle")
    import torch

    one, other = functools.partial(mse, 1), functools.partial(mse, 2)
    partial = "functools.partial(<function mse>"
    pairs = [
        (torch.float32, torch.bfloat16, "torch.float32", "torch.bfloat16"),
        (np.dtype("f4"), np.dtype("f8"), "float32", "float64"),
        (torch.device("cpu"), torch.device("cuda:0"), "cpu", "cuda:0"),
        (range(3), range(4), "range(0, 3)", "range(0, 4)"),
        (mse, huber, f"{__name__}.mse", f"{__name__}.huber"),
        (torch.optim.Adam, torch.optim.SGD, "torch.optim.adam.Adam", "torch.optim.sgd.SGD"),
        (len, max, "len", "max"),
        (np, math, "numpy", "math"),
        (list[int], list[str], "list[int]", "list[str]"),
        (ValueError("a"), ValueError("b"), "ValueError('a')", "ValueError('b')"),
        (one, other, f"{partial}, 1)", f"{partial}, 2)"),
    ]
    for first, second, name, other_name in pairs:
        assert (keep(first), keep(second)) == (name, other_name)
    assert keep(Loss.MSE) == "dataclasses.dataclass"


def test_functions_without_a_name_are_told_apart_by_what_they_do():
    def double(x):
        return x * 2

    lambdas = [lambda x: x + 1, lambda x: x + 2, lambda x: x.a, lambda x: x.b, double]
    names = [keep(function) for function in lambdas]
    assert len(set(names)) == len(names)
    assert all(name.startswith(f"{__name__}.test_functions") for name in names)
    assert keep(lambda x: x + 1) == names[0]


def test_an_object_with_a_long_text_is_told_apart_by_a_digest():
    class Wordy:
        def __init__(self, last: str) -> None:
            self.last = last

        def __repr__(self) -> str:
            return "x" * 5000 + self.last

    one, other = keep(Wordy("a")), keep(Wordy("b"))
    assert one.length == other.length == 5001
    assert one.preview == other.preview == "x" * 1024
    assert one.digest != other.digest


def test_small_tensors_are_told_apart_by_what_is_in_them():
    require_module("torch", "lifecycle")
    import torch

    for kind in (torch.float32, torch.bfloat16):
        one, other = (
            keep(torch.tensor([1.0, n], dtype=kind, requires_grad=True)) for n in (2.0, 3.0)
        )
        assert one.shape == other.shape == (2,)
        assert one.digest != other.digest


@pytest.mark.parametrize(
    "make",
    [
        lambda end: bytes(16 << 20) + end.encode(),
        lambda end: "x" * (16 << 20) + end,
        lambda end: [0.5] * 2_000_000 + [end],
        lambda end: {"deep": [["y" * (8 << 20)], end]},
    ],
    ids=["bytes", "text", "floats", "nested"],
)
def test_large_values_are_not_encoded_before_they_are_described(make):
    """Memory tells: what is encoded is copied."""
    one, other = make("1"), make("2")
    tracemalloc.start()
    try:
        found = decode_values(encode_list([one, 1]))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20
    assert found[1] == 1
    assert found[0].reason == "too long; its ends are digested"
    assert found[0].length == len(one)
    assert isinstance(one, dict) or found[0].digest != decode_values(encode_list([other]))[0].digest


def described_of(value: object) -> Described:
    found = keep(value)
    assert isinstance(found, Described)
    return found


def test_large_values_that_are_nested_are_told_apart_by_their_ends():
    zeros, ones = [0.0] * 100_000, [1.0] * 100_000
    texts = "x" * 9_000_000, "y" * 9_000_000
    values = [
        [zeros, ones], [ones, zeros], [zeros, zeros], [zeros], {"a": zeros}, {"a": ones},
        {"b": ones}, [texts[0], zeros], [texts[1], zeros], [[zeros], [ones]], [[zeros], [ones], 1],
    ]  # fmt: skip
    kept = [described_of(value) for value in values]
    assert {each.reason for each in kept} == {"too long; its ends are digested"}
    assert len({(each.type, each.length, each.digest) for each in kept}) == len(values)


def test_a_list_in_itself_is_described_without_a_look_at_all_of_it():
    wide: list = []
    wide.extend([wide] * 100)
    assert described_of(wide).reason == "too long; its ends are digested"


def test_cycles_and_deep_nesting_end():
    wide: list = []
    wide.extend([wide] * 100)
    deep: list = []
    for _ in range(500):
        deep = [deep]
    for value in (wide, deep, {"a": wide}):
        data = encode_list([value, 2**70])
        assert len(data) < 2 * LONG_BYTES
        assert decode_values(data)[1] == 2**70
