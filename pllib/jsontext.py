"""JSON as RFC 8259 has it, whatever the values: what every command prints that prints JSON.

NaN and infinities are the strings ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``: JSON has no such
numbers, and null would say that there is no value.  Source: ProtoJSON, for double.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def dumps(data: Any, indent: int | None = 1) -> str:
    """Return data as JSON text; what has no form in JSON becomes a string."""
    return json.dumps(plain(data), indent=indent, allow_nan=False)


def plain(value: Any) -> Any:
    """Return a value of which every part has a form in JSON."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else _not_finite(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        return {_text(str(name)): plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(part) for part in value]
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return _text(str(value))


def _not_finite(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _text(text: str) -> str:
    """Replace lone surrogates, by which Python has bytes of file names that are not UTF-8."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
