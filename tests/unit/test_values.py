"""A value that can't be kept whole is described; it costs the others nothing."""

from __future__ import annotations

import dataclasses
import enum

import numpy as np
import pytest

from pllib.execution import encode_list
from pllib.records import BigInteger, Described, FileVersion, decode_values
from pllib.values import LONG_BYTES


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


def test_a_mapping_whose_keys_are_objects_is_described():
    """msgpack can say it, and no Python can read it: a list is no key."""
    point = dataclasses.make_dataclass("Frozen", ["x"], frozen=True)
    found = keep({point(1): 2})
    assert isinstance(found, Described), found
