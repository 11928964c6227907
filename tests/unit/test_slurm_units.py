"""Sizes, times, counts and states as Slurm writes them; and nothing that it writes is an error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm import units

KIB = 1024


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("588K", 588 * KIB), ("4000M", 4000 * KIB**2), ("1.5G", 3 * KIB**3 // 2),
        ("2T", 2 * KIB**4), ("11452416", 11452416), ("0", 0), ("4Gn", 4 * KIB**3),
        ("100Mc", 100 * KIB**2),
        ("18446744073709551614", None), ("18446744073709551612K", None), ("16E", None),
        ("16G?", None), ("", None), ("M", None), ("-1M", None), ("1e3M", None),
    ],
)  # fmt: skip
def test_sizes(text, size):
    assert units.size_bytes(text) == size


def test_a_size_without_prefix_is_in_what_the_field_is_in():
    assert units.size_bytes("200", "M") == 200 * KIB**2
    assert (units.size_per("4Gn"), units.size_per("4Gc"), units.size_per("4G")) == ("n", "c", "")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1-02:03:04", 93784), ("02:03:04", 7384), ("03:04", 184), ("00:00.027", 0.027),
        ("365-00:00:00", 31536000), ("UNLIMITED", None), ("Partition_Limit", None), ("", None),
        ("INVALID", None), ("4", None),
    ],
)  # fmt: skip
def test_spans(text, seconds):
    assert units.span_seconds(text) == seconds


@given(st.integers(0, 400), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_a_span_is_what_it_is_written_as(days, hours, minutes, seconds):
    text = f"{days}-{hours:02}:{minutes:02}:{seconds:02}"
    assert units.span_seconds(text) == ((days * 24 + hours) * 60 + minutes) * 60 + seconds


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (1795521803, 1795521803), ("1795521803", 1795521803), (0, None), ("Unknown", None),
        (6090492638 + 2**32, None), ({"set": True, "infinite": False, "number": 17}, 17),
        ({"set": False, "infinite": False, "number": 0}, None),
        ({"set": True, "infinite": True, "number": 0}, None), (None, None), ("None", None),
    ],
)  # fmt: skip
def test_moments(value, seconds):
    assert units.moment_ns(value) == (None if seconds is None else seconds * 10**9)


def test_a_moment_in_local_time(monkeypatch):
    import time

    monkeypatch.setenv("TZ", "UTC-2")
    time.tzset()
    try:
        assert units.moment_ns("2026-11-24T12:03:22") == 1795514602 * 10**9
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("text", "n_gpus"),
    [
        ("cpu=8,mem=4G,gres/gpu=2", 2), ("cpu=1,gres/gpu=3,gres/gpu:a100=3", 3),
        ("gres/gpu:a100=2,gres/gpu:v100=1", 3), ("billing=2,cpu=2,node=2", None), ("", None),
    ],
)  # fmt: skip
def test_gpus(text, n_gpus):
    assert units.gpus(units.resources(text)) == n_gpus


@pytest.mark.parametrize(
    ("text", "state", "numbers"),
    [
        ("0:0", "COMPLETED", {"exit_status": 0}), ("3:0", "FAILED", {"exit_status": 3}),
        ("0:9", "FAILED", {"signal": 9}), ("0:0", "TIMEOUT", {}), ("0:0", "NODE_FAIL", {}),
        ("1:15", "CANCELLED", {"exit_status": 1, "signal": 15}), ("", "COMPLETED", {}),
        ("a:b", "FAILED", {}), ("3", "FAILED", {}),
    ],
)  # fmt: skip
def test_exit_codes(text, state, numbers):
    assert units.exit_numbers(units.exit_code(text), state) == numbers


@pytest.mark.parametrize(
    ("value", "state"),
    [
        ("COMPLETED", "COMPLETED"), ("CANCELLED by 0", "CANCELLED"), ("CANCELLED+", "CANCELLED"),
        (["RUNNING"], "RUNNING"), (["COMPLETED", "COMPLETING"], "COMPLETING"), ([], ""), (None, ""),
        ("", ""), ("node_fail", "NODE_FAIL"),
    ],
)  # fmt: skip
def test_states(value, state):
    assert units.word(value) == state


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["set", "infinite", "number", "id"]), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(ANY)
def test_what_no_version_writes_is_no_error(value):
    units.whole(value)
    units.moment_ns(value)
    units.text(value)
    units.word(value)


@given(st.text(max_size=40))
def test_no_text_is_an_error(text):
    units.size_bytes(text)
    units.span_seconds(text)
    units.exit_code(text)
    units.gpus(units.resources(text))
