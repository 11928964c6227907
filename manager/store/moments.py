"""Times as RDF writes them: the one parser of ``xsd:dateTime``."""

from __future__ import annotations

import datetime
import re

_FORM = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)?", re.ASCII)


def moment(text: str) -> datetime.datetime:
    """Return an xsd:dateTime in UTC as a time without a zone, cut to microseconds.

    One without a zone is taken to be in UTC.

    Raises:
        ValueError: It is none, or not of the years 1 to 9999.
    """
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no xsd:dateTime")
    day, time, fraction, zone = found.groups()
    midnight_after = time == "24:00:00"  # XML Schema 1.1 part 2, 3.3.7: the next day's 00:00:00
    at = datetime.datetime.fromisoformat(
        f"{day}T{'00:00:00' if midnight_after else time}.{(fraction or '')[:6]:0<6}"
    )
    try:
        at += datetime.timedelta(days=midnight_after)
        if zone in (None, "Z"):
            return at
        hours, minutes = int(zone[1:3]), int(zone[4:])
        ahead = datetime.timedelta(hours=hours, minutes=minutes)
        return at - ahead if zone[0] == "+" else at + ahead
    except OverflowError as exc:
        raise ValueError(str(exc)) from None


def sortable(text: str) -> str:
    """Return an xsd:dateTime as text that sorts by time; what is none stays as it is."""
    if text.endswith("Z"):  # as all that sprov writes
        return text[:-1]
    try:
        return moment(text).isoformat()
    except ValueError:
        return text
