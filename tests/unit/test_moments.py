"""Times as RDF writes them."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manager.store.moments import moment, sortable


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00"),
        ("2026-01-31T12:00:00", "2026-01-31T12:00:00"),
        ("2026-01-31T12:00:00.5Z", "2026-01-31T12:00:00.500000"),
        ("2026-01-31T12:00:00.123456789Z", "2026-01-31T12:00:00.123456"),
        ("2026-01-31T12:00:00+01:00", "2026-01-31T11:00:00"),
        ("2026-01-31T23:30:00.25-05:30", "2026-02-01T05:00:00.250000"),
        ("2026-01-31T24:00:00Z", "2026-02-01T00:00:00"),
    ],
)
def test_a_time_is_read_in_utc(text: str, at: str):
    assert moment(text).isoformat() == at


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "2026-01-31", "2026-13-01T00:00:00Z", "9999-12-31T24:00:00Z",
     "0001-01-01T00:00:00+01:00", "-0044-03-15T12:00:00Z", "2026-01-31T12:00:00 Z"],
)  # fmt: skip
def test_what_is_no_time_says_so(text: str):
    with pytest.raises(ValueError):
        moment(text)


@given(st.datetimes(datetime.datetime(1970, 1, 1)), st.datetimes(datetime.datetime(1970, 1, 1)))
def test_texts_sort_as_the_times_do(first: datetime.datetime, second: datetime.datetime):
    """Also where one has no fraction, whose Z would come after the other's point."""
    texts = [f"{each.isoformat()}Z" for each in (first, second)]

    assert (sortable(texts[0]) < sortable(texts[1])) == (first < second)
    assert sortable("2026-01-31T12:00:00+01:00") < sortable(f"{'2026-01-31T11:00:00.5'}Z")
