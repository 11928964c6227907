"""Lists of nodes as Slurm writes them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pllib.errors import SettingsError
from slurm.nodes import expand, fold

NAMES = st.lists(
    st.builds(
        "{}{}".format,
        st.sampled_from(["node", "gpu-", "r1n"]),
        st.one_of(st.integers(0, 120).map(str), st.integers(0, 120).map("{:03}".format)),
    ),
    unique=True,
    max_size=20,
)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        # As `scontrol show hostnames` of Slurm 22.05.8 has them.
        ("node[0-3,07-09]", "node0 node1 node2 node3 node07 node08 node09"),
        ("rack[1-2]n[01-02]", "rack1n01 rack1n02 rack2n01 rack2n02"),
        ("login,node[8-11]-ib", "login node8-ib node9-ib node10-ib node11-ib"),
        ("node7", "node7"),
        ("", ""),
    ],
)
def test_a_list_is_expanded_as_slurm_does(text: str, names: str):
    assert expand(text) == names.split()


@settings(max_examples=100, deadline=None)
@given(NAMES)
def test_what_is_folded_expands_to_the_same(names):
    assert expand(fold(names)) == names


def test_neighbours_are_folded():
    assert fold(["node1", "node2", "node3", "node5", "head"]) == "node[1-3,5],head"
    assert fold(["n08", "n09"]) == "n[08-09]"


@pytest.mark.parametrize("text", ["node[1", "node]", "node[a-b]", "node[1-99999999]"])
def test_what_is_no_list_is_refused(text: str):
    with pytest.raises(SettingsError, match="node"):
        expand(text)
