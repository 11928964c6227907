"""What stands for objects that msgpack has no word for: a plain value, a name, or a description.

What has no plain value is told from others of its type by a name: the qualified name of a class or
function, else what its type has to say of it (``torch.float32``, ``cuda:0``, ``range(0, 3)``).
"""

from __future__ import annotations

import re
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    GenericAlias,
    MethodType,
    ModuleType,
)
from typing import Any

import msgspec

from .foreign import is_theirs
from .records import EXT_DESCRIBED, Described
from .words import digest, escaped, type_name

PREVIEW_CHARACTERS = 1024
DIGEST_BYTES = 64 << 10
"""Host memory up to this size is digested; more is not touched."""
LONG_CONTAINER = 1000
"""What has more items is not asked for a text."""
_PLAIN: tuple[type[Any], ...] = (int, float, bytes, dict, list, tuple)
_FUNCTIONS = (FunctionType, BuiltinFunctionType, MethodType)
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")

_encode = msgspec.msgpack.Encoder().encode


def extend(code: int, value: Any) -> msgspec.msgpack.Ext:
    """Return a struct as the value that stands for it on the wire."""
    return msgspec.msgpack.Ext(code, _encode(value))


def described(kind: str, reason: str, preview: str | None = None) -> msgspec.msgpack.Ext:
    """Return a value that says why there is none."""
    return extend(EXT_DESCRIBED, Described(kind, reason, preview=preview))


def stand_in(value: Any) -> Any:
    """Return what stands for an object of a type that msgpack does not know."""
    if isinstance(value, str):
        return str.__str__(value)
    for base in _PLAIN:
        if isinstance(value, base):
            return base(value)
    if isinstance(value, complex):
        return str(value)
    if hasattr(value, "__fspath__"):
        return str(value)
    if (name := _own_name(value)) is not None:
        return escaped(name)
    shape = getattr(value, "shape", None)
    if shape is not None and (shape != () or hasattr(value, "item")):  # else the dtype of an array
        return _array(value, shape)
    return _in_its_words(value)


def _own_name(value: Any) -> str | None:
    """Return the qualified name of a class, function or module; None for other objects."""
    if isinstance(value, type) and not isinstance(value, GenericAlias):  # types of 3.10 too
        return type_name(value)
    if isinstance(value, ModuleType):
        return value.__name__
    if not isinstance(value, _FUNCTIONS):
        return None
    name = f"{value.__module__}.{value.__qualname__}".removeprefix("builtins.")
    code = getattr(value, "__code__", None)
    if "<" in name and isinstance(code, CodeType):  # all lambdas of a module have the same name
        return f"{name} {digest(_fingerprint(code))[:8]}"
    return name


def _fingerprint(code: CodeType) -> bytes:
    """Return what a function does, wherever in its file it stands."""
    constants = [
        _fingerprint(item) if isinstance(item, CodeType) else repr(item) for item in code.co_consts
    ]
    return code.co_code + repr((constants, code.co_names)).encode("utf-8", "backslashreplace")


def _in_its_words(value: Any) -> Any:
    """Return an object's text, without its address in memory; describe it if there is none."""
    kind = type(value)
    length = length_of(value)
    has_text = _defines(kind, "__str__") and not isinstance(value, BaseException)
    if (length or 0) > LONG_CONTAINER or not (has_text or _defines(kind, "__repr__")):
        return extend(EXT_DESCRIBED, Described(type_name(kind), "no plain value", length=length))
    text = escaped(_ADDRESS.sub("", str(value) if has_text else repr(value)))
    if len(text) <= PREVIEW_CHARACTERS:
        return text
    found = Described(
        type_name(kind), "no plain value, and a long text", length=len(text),
        digest=digest(text.encode()), preview=text[:PREVIEW_CHARACTERS],
    )  # fmt: skip
    return extend(EXT_DESCRIBED, found)


def _defines(kind: type, method: str) -> bool:
    return getattr(kind, method) is not getattr(object, method)


def _array(value: Any, shape: Any) -> Any:
    """A scalar of an array library is a number; an array is its shape, dtype and digest."""
    on_host = str(getattr(value, "device", "cpu")) == "cpu"
    if on_host and shape == () and hasattr(value, "item"):
        return _plain_scalar(value.item())
    found = Described(
        type_name(type(value)),
        "an array" if on_host else "an array on a device",
        shape=tuple(int(n) for n in shape),
        dtype=str(getattr(value, "dtype", "")) or None,
        length=length_of(value),
        digest=_array_digest(value) if on_host else None,
    )
    return extend(EXT_DESCRIBED, found)


def _plain_scalar(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str | bytes) else str(value)


def _array_digest(value: Any) -> str | None:
    nbytes = getattr(value, "nbytes", None)
    if not isinstance(nbytes, int) or nbytes > DIGEST_BYTES:
        return None
    if hasattr(value, "tobytes"):
        return digest(value.tobytes())
    if hasattr(value, "tolist"):  # a tensor of torch, whatever its dtype and gradient
        return digest(_encode(value.tolist()))
    return None


def length_of(value: Any) -> int | None:
    try:
        return len(value)
    except Exception as exc:  # a foreign __len__ may raise anything
        if is_theirs(exc):
            raise
        return None
