"""Encode what users pass, whatever it is: a value that can't be kept is described, never raised.

The fast path is one msgspec call for all values of a record.  What it refuses or makes too long
goes value by value, so that one bad value leaves the others whole.
"""

from __future__ import annotations

import sys
from _blake2 import blake2b
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from .data import Dataset, Directory, File, Handle, Ref, version_of
from .foreign import is_theirs
from .records import (
    EXT_BIG_INTEGER,
    EXT_DATASET,
    EXT_DESCRIBED,
    EXT_FILE,
    EXT_HANDLE,
    EXT_REFERENCE,
    DatasetReference,
    Described,
    FileVersion,
    Reference,
)
from .regular import is_directory

LONG_BYTES = 16 << 10
"""Longer encodings are described."""
PREVIEW_CHARACTERS = 1024
DIGEST_BYTES = 64 << 10
"""Host memory up to this size is digested; more is not touched."""
MAX_DEPTH = 6
MAX_ITEMS = 1000

FILES_A_PIECE = 16
"""Of a data set; one of more files is recorded in pieces."""
LONG_NAME = 256
"""Longer names are cut."""

Item = TypeVar("Item")
_PLAIN: tuple[type[Any], ...] = (int, float, str, bytes, dict, list, tuple)

_plain = msgspec.msgpack.Encoder().encode


def extend(code: int, value: Any) -> msgspec.msgpack.Ext:
    """Return a struct as the value that stands for it on the wire."""
    return msgspec.msgpack.Ext(code, _plain(value))


def described(kind: str, reason: str, preview: str | None = None) -> msgspec.msgpack.Ext:
    """Return a value that says why there is none."""
    return extend(EXT_DESCRIBED, Described(kind, reason, preview=preview))


def hook(value: Any) -> Any:
    """Turn what msgpack has no type for into what it has; msgspec's ``enc_hook``."""
    if isinstance(value, Handle):
        known = isinstance(value.record, msgspec.Raw)
        return value.record if known else extend(EXT_HANDLE, value.record)
    if isinstance(value, File):
        found = _version(value)
        return extend(EXT_DESCRIBED if isinstance(found, Described) else EXT_FILE, found)
    if isinstance(value, Dataset):
        return extend(EXT_DATASET, _dataset(value))
    if isinstance(value, Ref):
        return extend(EXT_REFERENCE, _reference(value))
    return _foreign(value)


def _version(file: File | FileVersion | Described) -> FileVersion | Described:
    """Return a file's version; one that was looked at already stays as it was."""
    if not isinstance(file, File):
        return file
    found = version_of(file)
    if isinstance(found, Described) or not found.characteristics:
        return found
    return msgspec.structs.replace(found, characteristics=_characteristics(found.characteristics))


def _characteristics(found: Mapping[Any, Any]) -> dict[str, Any]:
    return {interned(name): msgspec.Raw(encode_one(value)) for name, value in found.items()}


def _reference(ref: Ref) -> Reference:
    version = "" if ref.version is None else as_text(ref.version)
    return Reference(as_text(ref.store), as_text(ref.id), version)


def in_pieces(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return values with data sets cut to what fits in a record, and the other pieces of those.

    A data set may be said in pieces: what it is known by is the same in each.
    """
    first: dict[str, Any] = dict(values)
    more: list[dict[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, Dataset) and len(value.files) > FILES_A_PIECE:
            try:
                first[name], *rest = _pieces(value)
            except Exception as exc:
                if is_theirs(exc):
                    raise
                continue  # what is wrong with it is said in its place when it is encoded
            more.extend({name: piece} for piece in rest)
    return first, more


def _pieces(data: Dataset) -> list[Dataset]:
    """Return a data set without files, and then with some of its files each."""
    found = [_version(_as_file(item)) for item in data.files]
    files = [file for file in found if isinstance(file, FileVersion)]
    mark = _fingerprint(data, found)
    pieces = [data.piece((), mark, {**data.characteristics, **_lack(found), "n_files": len(found)})]
    while files:
        fitting, _ = _fitting(files, LONG_BYTES // 4)
        pieces.append(data.piece(fitting or files[:1], mark, {}))
        files = files[max(len(fitting), 1) :]
    return pieces


def _fingerprint(data: Dataset, found: list[Any]) -> Any:
    """Return what tells a data set from others of its name: its files, if nobody said.

    However many of them a record has room for, it is the same data set.
    """
    if data.fingerprint is not None or data.version is not None or not found:
        return data.fingerprint
    return digest(b"".join(sorted(map(_plain, found))))


def _lack(found: list[Any]) -> dict[str, Any]:
    """Return what is to be said of files that have no version."""
    missing = [file for file in found if isinstance(file, Described)]
    if not missing:
        return {}
    first = as_text(f"{missing[0].preview}: {missing[0].reason}")
    return {"n_files_unreadable": len(missing), "file_unreadable": first}


def _dataset(data: Dataset, longest: int = LONG_BYTES) -> DatasetReference:
    """Return a data set; of its files and features as many as fit, with the number of all."""
    found = [_version(_as_file(item)) for item in data.files]
    have = [file for file in found if isinstance(file, FileVersion)]
    more = {**_characteristics(data.characteristics), **_lack(found)}
    files, room = _fitting(have, longest // 2 - len(_plain(more)))
    if len(files) < len(have):
        more["n_files"] = len(found)
    features = None
    if data.features is not None:
        names = [interned(name) for name in data.features]
        features, _ = _fitting(names, room + longest // 4)
        if len(features) < len(names):
            more["n_features"] = len(names)
    version, fingerprint, split = (
        None if fact is None else as_text(fact)
        for fact in (data.version, _fingerprint(data, found), data.split)
    )
    name = as_text(data.name)
    return DatasetReference(name, version, fingerprint, split, files, more, features)


def _as_file(item: Any) -> Any:
    if isinstance(item, File | FileVersion | Described):
        return item
    return Directory(item) if is_directory(item) else File(item)


def _fitting(items: list[Item], room: int) -> tuple[tuple[Item, ...], int]:
    """Return the first items that fit in so many bytes, and the bytes that are left."""
    for nth, item in enumerate(items):
        length = len(_plain(item))
        if length > room:
            return tuple(items[:nth]), room
        room -= length
    return tuple(items), room


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
    return described(_name(type(value)), "no plain value")


def _array(value: Any, shape: Any) -> Any:
    """A scalar of an array library is a number; an array is its shape, dtype and digest."""
    on_host = str(getattr(value, "device", "cpu")) == "cpu"
    if on_host and shape == () and hasattr(value, "item"):
        return _plain_scalar(value.item())
    found = Described(
        _name(type(value)),
        "an array" if on_host else "an array on a device",
        shape=tuple(int(n) for n in shape),
        dtype=str(getattr(value, "dtype", "")) or None,
        length=_length(value),
        digest=_array_digest(value) if on_host else None,
    )
    return extend(EXT_DESCRIBED, found)


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
    except Exception as exc:  # a foreign __len__ may raise anything
        if is_theirs(exc):
            raise
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
        if isinstance(value, Dataset):
            value = extend(EXT_DATASET, _dataset(value, longest))
        data = encode(_safe(value, 0))
    except Exception as exc:  # whatever a foreign value's methods raise
        if is_theirs(exc):
            raise
        return _described(value, f"{type(exc).__name__} while encoding", longest)
    if len(data) <= longest:
        return data
    return _described(value, "too long", longest, digest(data))


def _described(value: Any, reason: str, longest: int, of_whole: str | None = None) -> bytes:
    preview = None
    if isinstance(value, str):
        preview = _text(value[: min(PREVIEW_CHARACTERS, longest // 4)])
    found = Described(
        _name(type(value)), reason, length=_length(value), digest=of_whole, preview=preview
    )
    return encode(extend(EXT_DESCRIBED, found))


def _text(text: str) -> str:
    """Escape lone surrogates, as in file names that are not UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


def _safe(value: Any, depth: int) -> Any:
    """Copy a value with what msgspec refuses replaced: big integers, surrogates, deep nesting."""
    if isinstance(value, str):
        return _text(str(value))
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 64:
        return extend(EXT_BIG_INTEGER, hex(int(value)))
    if isinstance(value, dict | list | tuple | set | frozenset):
        return _safe_container(value, depth)
    return value


def _safe_container(value: Any, depth: int) -> Any:
    if depth >= MAX_DEPTH or len(value) > MAX_ITEMS:
        reason = "nested too deep" if depth >= MAX_DEPTH else "too many items"
        return extend(EXT_DESCRIBED, Described(_name(type(value)), reason, length=len(value)))
    if isinstance(value, dict):
        return {_text(str(k)): _safe(v, depth + 1) for k, v in value.items()}
    return [_safe(item, depth + 1) for item in value]


def as_text(name: Any, longest: int = LONG_NAME) -> str:
    """Return a name as text that can be encoded, at most so many characters."""
    try:
        text = str(name)
    except Exception as exc:  # a foreign __str__ may raise anything
        if is_theirs(exc):
            raise
        text = _name(type(name))
    return _text(text[:longest])


def interned(name: Any) -> str:
    """Return a name as text that can be encoded, at most `LONG_NAME` characters."""
    return sys.intern(as_text(name))


def encode_list(values: list[Any]) -> bytes:
    """Encode values, one by one if together they can't be or get too long."""
    try:
        data = encode(values)
    except Exception as exc:
        if is_theirs(exc):
            raise
        return encode_each(values)
    return data if len(data) <= LONG_BYTES else encode_each(values)


__all__ = [
    "FileVersion", "as_text", "described", "digest", "encode", "encode_each", "encode_list",
    "encode_one", "extend", "hook", "in_pieces", "interned",
]  # fmt: skip
