"""What a captured value is as an RDF literal: datatype and lexical form.

Source: XML Schema 1.1 part 2 (lexical forms); data-model: 1, 1.0 and True are three values.
"""

from __future__ import annotations

import datetime
import math
from hashlib import blake2b
from typing import Any

import msgspec

from pllib import linked
from pllib.moments import date_time, written
from pllib.records import (
    DatasetReference,
    Described,
    FileVersion,
    Handle,
    Reference,
    RunReference,
)

Literal = tuple[linked.Datatype, str]
"""Datatype (local name, see `pllib.linked.Value`) and lexical form."""


_STRUCTS = (DatasetReference, Described, FileVersion, Handle, Reference, RunReference)


def literal(value: Any) -> Literal:
    """Return the literal that stands for a value that is no file, handle or reference."""
    kind = type(value)
    if kind is float:
        return "double", double(value)
    if kind is int:
        return "integer", str(value)
    if kind is str:
        return "string", value
    if kind is bool:
        return "boolean", "true" if value else "false"
    return _other(value)


def double(value: float) -> str:
    """Return the lexical form of an xsd:double that reads back to the same number."""
    if math.isfinite(value):
        return repr(value)
    if math.isnan(value):
        return "NaN"
    return "INF" if value > 0 else "-INF"


def moment(at_ns: int) -> Literal:
    """Return a time, UTC nanoseconds since 1970, to the microsecond.

    Raises:
        ValueError: It is beyond the year 9999.
    """
    return "dateTime", date_time(at_ns)


def _other(value: Any) -> Literal:
    if value is None:
        return "nil", ""
    if isinstance(value, int):
        return "integer", str(int(value))
    if isinstance(value, datetime.datetime):
        return "dateTime", written(value)
    if isinstance(value, bytes):
        digest = blake2b(value, digest_size=16).hexdigest()
        return described(Described("bytes", "bytes", length=len(value), digest=digest))
    if isinstance(value, Described):
        return described(value)
    return "JSON", _json(value)


def described(value: Described) -> Literal:
    fields = {k: v for k, v in msgspec.structs.asdict(value).items() if v is not None}
    return "described", _json(fields)


def _json(value: Any) -> str:
    return msgspec.json.encode(_plain(value), order="sorted").decode()


def _plain(value: Any) -> Any:
    """Make a nested value JSON: what JSON has no word for becomes text or an object."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return double(value)
    if isinstance(value, _STRUCTS):
        return {k: _plain(v) for k, v in msgspec.structs.asdict(value).items() if v is not None}
    if isinstance(value, bytes):
        return {"bytes": len(value)}
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 1 << 63:
        return str(int(value))
    return value
