"""Encode what users pass, whatever it is: a value that can't be kept is described, never raised.

The fast path is one msgspec call for all values of a record.  What it refuses or makes too long
goes value by value, so that one bad value leaves the others whole.
"""

from __future__ import annotations

import sys
from _blake2 import blake2b
from typing import Any

import msgspec

from .data import File, Handle, version_of
from .records import (
    EXT_BIG_INTEGER,
    EXT_DESCRIBED,
    EXT_FILE,
    EXT_HANDLE,
    Described,
    FileVersion,
)

LONG_BYTES = 16 << 10
"""Longer encodings are described."""
PREVIEW_CHARACTERS = 1024
DIGEST_BYTES = 64 << 10
"""Host memory up to this size is digested; more is not touched."""
MAX_DEPTH = 6
MAX_ITEMS = 1000

_PLAIN: tuple[type[Any], ...] = (int, float, str, bytes, dict, list, tuple)

_plain = msgspec.msgpack.Encoder().encode


def _extend(code: int, value: Any) -> msgspec.msgpack.Ext:
    return msgspec.msgpack.Ext(code, _plain(value))


def hook(value: Any) -> Any:
    """Turn what msgpack has no type for into what it has; msgspec's ``enc_hook``."""
    if isinstance(value, Handle):
        return _extend(EXT_HANDLE, value.record)
    if isinstance(value, File):
        found = version_of(value)
        if isinstance(found, Described):
            return _extend(EXT_DESCRIBED, found)
        kept = {str(k): _characteristic(v) for k, v in found.characteristics.items()}
        return _extend(EXT_FILE, msgspec.structs.replace(found, characteristics=kept))
    return _foreign(value)


def _foreign(value: Any) -> Any:
    for base in _PLAIN:
        if isinstance(value, base) and type(value) is not base:
            return base(value)
    if isinstance(value, complex):
        return str(value)
    if hasattr(value, "__fspath__"):
        return str(value)
    shape = getattr(value, "shape", None)
    if shape is not None:
        return _array(value, shape)
    return _extend(EXT_DESCRIBED, Described(_name(type(value)), "no plain value"))


def _array(value: Any, shape: Any) -> Any:
    """A scalar of an array library is a number; an array is its shape, dtype and digest."""
    on_host = str(getattr(value, "device", "cpu")) == "cpu"
    if on_host and shape == () and hasattr(value, "item"):
        return _plain_scalar(value.item())
    described = Described(
        _name(type(value)),
        "an array" if on_host else "an array on a device",
        shape=tuple(int(n) for n in shape),
        dtype=str(getattr(value, "dtype", "")) or None,
        length=_length(value),
        digest=_array_digest(value) if on_host else None,
    )
    return _extend(EXT_DESCRIBED, described)


def _plain_scalar(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str | bytes) else str(value)


def _array_digest(value: Any) -> str | None:
    nbytes = getattr(value, "nbytes", None)
    if not isinstance(nbytes, int) or nbytes > DIGEST_BYTES or not hasattr(value, "tobytes"):
        return None
    return digest(value.tobytes())


def digest(data: bytes) -> str:
    return blake2b(data, digest_size=16).hexdigest()


def _length(value: Any) -> int | None:
    try:
        return len(value)
    except Exception:  # noqa: BLE001  a foreign __len__ may raise anything
        return None


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")


encode = msgspec.msgpack.Encoder(enc_hook=hook).encode
"""Encode a list of values; raises on what only `encode_each` can take."""


def encode_each(values: list[Any]) -> bytes:
    """Encode a list of any values one by one; describe those that can't be kept whole.

    All of them together stay within a chunk of the spool.
    """
    longest = min(LONG_BYTES, max(256, 4 * LONG_BYTES // max(len(values), 1)))
    return encode([msgspec.Raw(encode_one(value, longest)) for value in values])


def encode_one(value: Any, longest: int = LONG_BYTES) -> bytes:
    """Encode any value in about `longest` bytes.  Never raises for a value's sake."""
    try:
        data = encode(_safe(value, 0))
    except Exception as exc:  # noqa: BLE001  whatever a foreign value's methods raise
        return _described(value, f"{type(exc).__name__} while encoding", longest)
    if len(data) <= longest:
        return data
    return _described(value, "too long", longest, digest(data))


def _described(value: Any, reason: str, longest: int, of_whole: str | None = None) -> bytes:
    preview = None
    if isinstance(value, str):
        preview = _text(value[: min(PREVIEW_CHARACTERS, longest // 4)])
    described = Described(
        _name(type(value)), reason, length=_length(value), digest=of_whole, preview=preview
    )
    return encode(_extend(EXT_DESCRIBED, described))


def _text(text: str) -> str:
    """Escape lone surrogates, as in file names that are not UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


def _safe(value: Any, depth: int) -> Any:
    """Copy a value with what msgspec refuses replaced: big integers, surrogates, deep nesting."""
    if isinstance(value, str):
        return _text(str(value))
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 64:
        return _extend(EXT_BIG_INTEGER, hex(int(value)))
    if isinstance(value, dict | list | tuple | set | frozenset):
        return _safe_container(value, depth)
    return value


def _safe_container(value: Any, depth: int) -> Any:
    if depth >= MAX_DEPTH or len(value) > MAX_ITEMS:
        reason = "nested too deep" if depth >= MAX_DEPTH else "too many items"
        return _extend(EXT_DESCRIBED, Described(_name(type(value)), reason, length=len(value)))
    if isinstance(value, dict):
        return {_text(str(k)): _safe(v, depth + 1) for k, v in value.items()}
    return [_safe(item, depth + 1) for item in value]


def _characteristic(value: Any) -> Any:
    return msgspec.Raw(encode_one(value))


def interned(name: Any) -> str:
    """Return a name as text that can be encoded, at most 256 characters."""
    try:
        text = str(name)
    except Exception:  # noqa: BLE001  a foreign __str__ may raise anything
        text = _name(type(name))
    return sys.intern(_text(text[:256]))


__all__ = ["FileVersion", "digest", "encode", "encode_each", "encode_one", "hook", "interned"]
