"""Names and texts as they can be encoded: in UTF-8, and of bounded length."""

from __future__ import annotations

import sys
from _blake2 import blake2b
from enum import Enum
from typing import Any

from .foreign import is_theirs

LONG_NAME = 256
"""Longer names are cut."""


def escaped(text: str) -> str:
    """Escape lone surrogates, as in file names that are not UTF-8."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def as_text(name: Any, longest: int = LONG_NAME) -> str:
    """Return a name as text that can be encoded, at most so many characters."""
    text: str = name if type(name) is str else _text_of(name)
    if len(text) <= longest and text.isascii():  # nearly always: a configuration may have 10,000
        return text
    return escaped(text[:longest])


def _text_of(name: Any) -> str:
    try:
        if isinstance(name, Enum):
            name = name.value
        return str.__str__(name) if isinstance(name, str) else str(name)
    except Exception as exc:  # a foreign __str__ may raise anything
        if is_theirs(exc):
            raise
        return type_name(type(name))


def interned(name: Any) -> str:
    """Return a name as text that can be encoded, at most `LONG_NAME` characters."""
    return sys.intern(as_text(name))


def type_name(kind: type) -> str:
    """Return module and qualified name of a class; the module only if it is not `builtins`."""
    return f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")


def digest(data: bytes) -> str:
    return blake2b(data, digest_size=16).hexdigest()
