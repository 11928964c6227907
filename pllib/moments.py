"""Times as ``xsd:dateTime``: the one module that reads and writes them.

`datetime.fromisoformat` reads fractions of 3 or 6 digits alone before Python 3.11, and
`datetime` has no nanoseconds; Oxigraph writes as many digits as a time has.

Source: XML Schema 1.1 part 2, 3.3.7 (dateTime).
"""

from __future__ import annotations

import datetime
import re

SECOND_NS = 1_000_000_000
_FORM = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)?", re.ASCII)
_EPOCH = datetime.datetime(1970, 1, 1)
_FURTHEST_ZONE = datetime.timedelta(hours=14)
_texts: dict[int, str] = {}
"""Seconds since 1970 to their text: many records begin in the same second."""


def moment(text: str) -> datetime.datetime:
    """Return an xsd:dateTime in UTC as a time without a zone, cut to microseconds.

    One without a zone is taken to be in UTC.

    Raises:
        ValueError: It is none, or not of the years 1 to 9999.
    """
    second, fraction = _parse(text)
    return second.replace(microsecond=int(f"{fraction[:6]:0<6}"))


def nanoseconds(text: str) -> int:
    """Return an xsd:dateTime as nanoseconds since 1970; further digits are cut.

    Raises:
        ValueError: As `moment`.
    """
    second, fraction = _parse(text)
    since = second - _EPOCH
    return (since.days * 86_400 + since.seconds) * SECOND_NS + int(f"{fraction[:9]:0<9}")


def sortable(text: str) -> str:
    """Return an xsd:dateTime as text that sorts by time; what is none stays as it is."""
    if text.endswith("Z"):  # as all that sprov writes
        return text[:-1]
    try:
        return moment(text).isoformat()
    except ValueError:
        return text


def date_time(at_ns: int, digits: int = 6) -> str:
    """Return nanoseconds since 1970 as xsd:dateTime in UTC.

    Args:
        digits: Of the fraction, which is cut, and has no zeros at its end.

    Raises:
        ValueError: It is not of the years 1 to 9999.
    """
    second, rest = divmod(at_ns, SECOND_NS)
    text = _texts.get(second)
    if text is None:
        if len(_texts) > 10_000:
            _texts.clear()
        try:
            text = (_EPOCH + datetime.timedelta(seconds=second)).isoformat()
        except OverflowError:
            raise ValueError(f"{at_ns} ns is not of the years 1 to 9999") from None
        _texts[second] = text
    fraction = f".{rest:09d}"[: digits + 1].rstrip("0") if rest else ""
    return f"{text}{fraction.rstrip('.')}Z"


def written(value: datetime.datetime) -> str:
    """Return a time of Python as xsd:dateTime, in its own zone.

    A zone that XML Schema has no form for (seconds, or over 14 hours) becomes UTC.

    Raises:
        ValueError: In UTC it is not of the years 1 to 9999.
    """
    offset = value.utcoffset()
    if offset is not None and (offset.total_seconds() % 60 or abs(offset) > _FURTHEST_ZONE):
        try:
            value = value.astimezone(datetime.timezone.utc)
        except OverflowError as exc:
            raise ValueError(str(exc)) from None
    return value.isoformat()


def _parse(text: str) -> tuple[datetime.datetime, str]:
    """Return the second in UTC, without a zone, and the digits of its fraction."""
    parts = _FORM.fullmatch(text.strip())
    if parts is None:
        raise ValueError(f"{text!r} is no xsd:dateTime")
    day, time, fraction, zone = parts.groups()
    midnight_after = time == "24:00:00"  # the next day's 00:00:00
    at = datetime.datetime.fromisoformat(f"{day}T{'00:00:00' if midnight_after else time}")
    try:
        at += datetime.timedelta(days=midnight_after)
        if zone not in (None, "Z"):
            ahead = datetime.timedelta(hours=int(zone[1:3]), minutes=int(zone[4:]))
            at = at - ahead if zone[0] == "+" else at + ahead
    except OverflowError as exc:
        raise ValueError(str(exc)) from None
    return at, fraction or ""
