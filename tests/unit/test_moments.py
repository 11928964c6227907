"""Times as RDF writes them."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pllib.moments import date_time, moment, nanoseconds, sortable, written


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


@pytest.mark.parametrize("zone", ["", "Z", "+00:00", "-00:00"])
@pytest.mark.parametrize("digits", range(1, 10))
def test_fractions_of_any_length_are_read(digits: int, zone: str):
    """`datetime.fromisoformat` of Python 3.10 reads three or six digits alone."""
    fraction = "123456789"[:digits]
    text = f"2026-01-31T12:00:00.{fraction}{zone}"

    assert nanoseconds(text) == 1769860800 * 10**9 + int(f"{fraction:0<9}")
    assert moment(text).microsecond == int(f"{fraction:0<9}"[:6])


@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_what_is_written_reads_back(at_ns: int):
    assert nanoseconds(date_time(at_ns, digits=9)) == at_ns
    assert nanoseconds(date_time(at_ns)) == at_ns // 1000 * 1000
    assert nanoseconds(date_time(at_ns, digits=0)) == at_ns // 10**9 * 10**9


@pytest.mark.parametrize(
    ("text", "at_ns"),
    [
        ("0001-01-01T00:00:00Z", -62_135_596_800 * 10**9),
        ("9999-12-31T23:59:59.999999999Z", 253_402_300_800 * 10**9 - 1),
        ("1969-12-31T23:59:59.9Z", -(10**8)),
    ],
)
def test_first_and_last_time(text: str, at_ns: int):
    assert nanoseconds(text) == at_ns
    assert date_time(at_ns, digits=9) == text


@pytest.mark.parametrize("at_ns", [-62_135_596_800 * 10**9 - 1, 253_402_300_800 * 10**9])
def test_a_year_that_has_no_form_says_so(at_ns: int):
    with pytest.raises(ValueError):
        date_time(at_ns)


@pytest.mark.parametrize(
    ("offset", "text"),
    [
        (None, "2026-01-31T12:00:00.500000"),
        (datetime.timedelta(hours=14), "2026-01-31T12:00:00.500000+14:00"),
        (datetime.timedelta(hours=-5, minutes=-30), "2026-01-31T12:00:00.500000-05:30"),
        (datetime.timedelta(minutes=53, seconds=28), "2026-01-31T11:06:32.500000+00:00"),
        (datetime.timedelta(hours=15), "2026-01-30T21:00:00.500000+00:00"),
    ],
)
def test_a_time_of_python_keeps_its_zone_if_xml_schema_has_it(offset, text: str):
    zone = None if offset is None else datetime.timezone(offset)
    at = datetime.datetime(2026, 1, 31, 12, 0, 0, 500_000, zone)

    assert written(at) == text
    utc = at if zone is None else at.astimezone(datetime.timezone.utc).replace(tzinfo=None)
    assert moment(text) == utc


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
