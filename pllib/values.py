"""Encode what users pass, whatever it is: a value that can't be kept is described, never raised.

The fast path is one msgspec call for all values of a record.  What it refuses or makes too long
goes value by value, so that one bad value leaves the others whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from itertools import chain, islice
from typing import Any, TypeVar

import msgspec

from .data import Dataset, Directory, File, Handle, Ref, version_of
from .foreign import is_theirs
from .objects import PREVIEW_CHARACTERS, described, extend, length_of, stand_in
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
from .words import LONG_NAME, as_text, digest, escaped, interned, type_name

LONG_BYTES = 16 << 10
"""Longer encodings are described."""
LARGE_BYTES = 1 << 20
"""What is larger, as far as lengths tell, is not encoded to be digested: its ends are."""
MANY_ITEMS = 64 << 10
"""A container of more is large."""
END_BYTES, END_ITEMS = 64 << 10, 512
OUTLINE_ITEMS = 8
MAX_DEPTH = 32
SCALARS = frozenset({bool, float, int, type(None)})

Item = TypeVar("Item")

_plain = msgspec.msgpack.Encoder().encode


def hook(value: Any) -> Any:
    """Turn what msgpack has no type for into what it has; msgspec's ``enc_hook``."""
    if isinstance(value, Handle):
        known = isinstance(value.record, msgspec.Raw)
        return value.record if known else extend(EXT_HANDLE, value.record)
    if isinstance(value, File):
        found = file_version(value)
        return extend(EXT_DESCRIBED if isinstance(found, Described) else EXT_FILE, found)
    if isinstance(value, Dataset):
        return extend(EXT_DATASET, dataset(value))
    if isinstance(value, Ref):
        return extend(EXT_REFERENCE, _reference(value))
    return stand_in(value)


def file_version(file: File | FileVersion | Described) -> FileVersion | Described:
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


def dataset(data: Dataset, longest: int = LONG_BYTES) -> DatasetReference:
    """Return a data set; of its files and features as many as fit, with the number of all."""
    found = [file_version(as_file(item)) for item in data.files]
    have = [file for file in found if isinstance(file, FileVersion)]
    more = {**_characteristics(data.characteristics), **lack(found)}
    files, room = fitting(have, longest // 2 - len(_plain(more)))
    if len(files) < len(have):
        more["n_files"] = len(found)
    features = None
    if data.features is not None:
        names = [interned(name) for name in data.features]
        features, _ = fitting(names, room + longest // 4)
        if len(features) < len(names):
            more["n_features"] = len(names)
    version, fingerprint, split = (
        None if fact is None else as_text(fact)
        for fact in (data.version, fingerprint_of(data, found), data.split)
    )
    name = as_text(data.name)
    return DatasetReference(name, version, fingerprint, split, files, more, features)


def as_file(item: Any) -> Any:
    if isinstance(item, File | FileVersion | Described):
        return item
    return Directory(item) if is_directory(item) else File(item)


def fitting(items: list[Item], room: int) -> tuple[tuple[Item, ...], int]:
    """Return the first items that fit in so many bytes, and the bytes that are left."""
    for nth, item in enumerate(items):
        length = len(_plain(item))
        if length > room:
            return tuple(items[:nth]), room
        room -= length
    return tuple(items), room


def lack(found: Iterable[Any]) -> dict[str, Any]:
    """Return what is to be said of files that have no version."""
    missing = [file for file in found if isinstance(file, Described)]
    if not missing:
        return {}
    first = as_text(f"{missing[0].preview}: {missing[0].reason}")
    return {"n_files_unreadable": len(missing), "file_unreadable": first}


def fingerprint_of(data: Dataset, found: list[Any]) -> Any:
    """Return what tells a data set from others of its name: its files, if nobody said.

    However many of them a record has room for, it is the same data set.
    """
    if data.fingerprint is not None or data.version is not None or not found:
        return data.fingerprint
    return digest(b"".join(sorted(map(_plain, found))))


encode = msgspec.msgpack.Encoder(enc_hook=hook, order="deterministic").encode
"""Encode a list of values; raises on what only `encode_each` can take."""


def encode_list(values: list[Any]) -> bytes:
    """Encode values; large ones are not touched, and if together they can't be, one by one."""
    return encode_small(values) if are_small(values) else encode_each(values)


def encode_small(values: list[Any]) -> bytes:
    """Encode values that are not large, one by one if together they can't be or get too long."""
    try:
        data = encode(values)
    except Exception as exc:  # whatever a foreign value's methods raise
        if is_theirs(exc):
            raise
        return encode_each(values)
    return data if len(data) <= LONG_BYTES else encode_each(values)


def longest_of(n_values: int) -> int:
    """Return how long a value may be encoded: all of them stay within a chunk of the spool."""
    return min(LONG_BYTES, max(256, 4 * LONG_BYTES // max(n_values, 1)))


def encode_each(values: list[Any]) -> bytes:
    """Encode a list of any values one by one; describe those that can't be kept whole."""
    longest = longest_of(len(values))
    return encode([msgspec.Raw(encode_one(value, longest)) for value in values])


def encode_one(value: Any, longest: int = LONG_BYTES) -> bytes:
    """Encode any value in about `longest` bytes.  Never raises for a value's sake."""
    try:
        if isinstance(value, Dataset):
            value = extend(EXT_DATASET, dataset(value, longest))
        if not are_small([value]):
            return _described(value, "too long; its ends are digested", longest, _ends(value))
        data = _encode_whole(value)
    except Exception as exc:  # whatever a foreign value's methods raise
        if is_theirs(exc):
            raise
        return _described(value, f"{type(exc).__name__} while encoding", longest)
    if len(data) <= longest:
        return data
    return _described(value, "too long", longest, digest(data))


def _encode_whole(value: Any) -> bytes:
    try:
        return encode(value)
    except Exception as exc:
        if is_theirs(exc):
            raise
    return encode(_Safe().copy(value, 0))


def are_small(values: Iterable[Any]) -> bool:
    """Tell by the lengths of values whether they are soon encoded, before they are."""
    room = LARGE_BYTES
    for value in values:
        if type(value) not in SCALARS:
            room = _room_after(value, room, 0)
            if room < 0:
                return False
    return True


def _room_after(value: Any, room: int, depth: int) -> int:
    """Return what is left of so many bytes, at most; less than 0 if the value has no room."""
    if isinstance(value, str | bytes | bytearray):
        return room - len(value)
    if isinstance(value, dict):
        items: Iterable[Any] = chain(value, value.values())
    elif isinstance(value, list | tuple | set | frozenset):
        items = value
    else:
        return room - 1
    room -= len(value)
    if len(value) > MANY_ITEMS or room < 0:
        return -1
    if depth >= MAX_DEPTH or (SCALARS.issuperset(map(type, value)) and items is value):
        return room
    for item in items:
        if type(item) not in SCALARS:
            room = _room_after(item, room, depth + 1)
            if room < 0:
                return room
    return room


def _ends(value: Any) -> str | None:
    """Return a digest of what a large value begins and ends with; None of what has no order."""
    if isinstance(value, str | bytes | bytearray):
        return digest(encode_one([value[:END_BYTES], value[-END_BYTES:]], LARGE_BYTES))
    if isinstance(value, list | tuple):
        ends: Any = [*value[:END_ITEMS], *value[-END_ITEMS:]]
    elif isinstance(value, dict):
        ends = dict(islice(value.items(), END_ITEMS))
    else:
        return None
    if are_small([ends]):
        return digest(encode_one(ends))
    items = chain.from_iterable(ends.items()) if isinstance(ends, dict) else ends
    return digest(encode_list([_outline(item) for item in items]))


def _outline(item: Any) -> Any:
    """Return type, length and plain ends of what may be large: nested, its ends are large, too."""
    if type(item) in SCALARS:
        return item
    ends: Any = None
    if isinstance(item, str | bytes | bytearray):
        ends = _ends(item)
    elif isinstance(item, list | tuple):
        ends = [*item[:OUTLINE_ITEMS], *item[-OUTLINE_ITEMS:]]
        ends = ends if SCALARS.issuperset(map(type, ends)) else None
    return [type_name(type(item)), length_of(item), ends]


def _described(value: Any, reason: str, longest: int, mark: str | None = None) -> bytes:
    preview = None
    if isinstance(value, str):
        preview = escaped(str.__str__(value[: min(PREVIEW_CHARACTERS, longest // 4)]))
    found = Described(
        type_name(type(value)), reason, length=length_of(value), digest=mark, preview=preview
    )
    return encode(extend(EXT_DESCRIBED, found))


class _Safe:
    """Copies a value with what msgspec refuses replaced.

    That is integers beyond 64 bits, lone surrogates, keys that are no text, cycles, deep nesting.
    """

    def __init__(self) -> None:
        self._n_left = MANY_ITEMS

    def copy(self, value: Any, depth: int) -> Any:
        if isinstance(value, Enum):
            value = value.value
        if isinstance(value, str):
            return escaped(str.__str__(value))
        if isinstance(value, int) and not -(1 << 63) <= value < 1 << 64:
            return extend(EXT_BIG_INTEGER, hex(int(value)))
        if isinstance(value, dict | list | tuple | set | frozenset):
            return self._container(value, depth)
        return value

    def _container(self, value: Any, depth: int) -> Any:
        self._n_left -= len(value)
        if depth >= MAX_DEPTH or self._n_left < 0:
            reason = "nested too deep, or in itself" if depth >= MAX_DEPTH else "too many items"
            found = Described(type_name(type(value)), reason, length=len(value))
            return extend(EXT_DESCRIBED, found)
        if isinstance(value, dict):
            return {as_text(k, LONG_BYTES): self.copy(v, depth + 1) for k, v in value.items()}
        copied = [self.copy(item, depth + 1) for item in value]
        return sorted(copied, key=encode) if isinstance(value, set | frozenset) else copied


__all__ = [
    "LONG_NAME", "FileVersion", "as_text", "described", "digest", "encode", "encode_each",
    "encode_list", "encode_one", "extend", "hook", "interned",
]  # fmt: skip
