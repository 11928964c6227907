"""Values that are more than a record has room for: data sets and lists of many files.

They are recorded in pieces, each a record of its own under the same name, in linear time.  A data
set is known by the same in each piece.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from .data import Dataset, File, Handle, Ref
from .foreign import is_theirs
from .records import EXT_DESCRIBED, EXT_FILE, FileVersion, decode_raws, is_array
from .values import (
    LONG_BYTES,
    as_file,
    encode_one,
    file_version,
    fingerprint_of,
    hook,
    lack,
    longest_of,
)

FILES_A_PIECE = 16
"""Of a data set; one of more files is recorded in pieces."""
PIECE_BYTES = LONG_BYTES // 4
_SHARED = (File, Ref, Handle)
"""What a list may list and be cut; nothing else has an identity of its own."""

Item = TypeVar("Item")
Pieces = list[dict[str, Any]]


def in_pieces(values: Mapping[str, Any]) -> tuple[dict[str, Any], Pieces]:
    """Return values of which each has room in a record with the others, and the other pieces."""
    first: dict[str, Any] = dict(values)
    more: Pieces = []
    room = longest_of(len(first))
    for name, value in values.items():
        if isinstance(value, Dataset | File | Handle | list | tuple):
            try:
                pieces = _pieces_of(value)
            except Exception as exc:
                if is_theirs(exc):
                    raise
                continue  # what is wrong with it is said in its place when it is encoded
            if pieces is not None:
                _place(first, more, name, pieces, room)
    return first, more


def _place(
    first: dict[str, Any], more: Pieces, name: str, pieces: list[tuple[Any, int]], room: int
) -> None:
    """Put a value's first piece in place of it if it has room there, and the rest aside."""
    (value, n_bytes), *rest = pieces
    if n_bytes <= room:
        first[name] = value
    else:
        del first[name]
        more.append({name: value})
    more.extend({name: piece} for piece, _ in rest)


def _pieces_of(value: Any) -> list[tuple[Any, int]] | None:
    """Return the pieces of a value, each with its length in bytes; None of what has but one."""
    if isinstance(value, Dataset):
        if len(value.files) <= FILES_A_PIECE:
            return None
        return [(piece, 0) for piece in _pieces_of_dataset(value)]
    if isinstance(value, Handle):
        return [(value, 0), *((raw, 0) for raw in value.more)] if value.more else None
    if isinstance(value, File):
        found = _looked_at(value)
        return [(found, len(found.data))]
    if not value or not all(isinstance(item, _SHARED) for item in value):
        return None
    return [*_grouped(_encoded(_looked_at(item)) for item in _flat(value))]


def _flat(items: Any) -> Iterator[Any]:
    """Yield items, and in place of handles to lists what those list."""
    for item in items:
        if not isinstance(item, Handle):
            yield item
        elif isinstance(item.record, msgspec.Raw):
            for raw in (item.record, *item.more):
                yield from _items_of(raw)
        else:
            yield hook(item)


def _items_of(raw: msgspec.Raw) -> list[msgspec.Raw]:
    data = bytes(raw)
    return decode_raws(data) if is_array(data) else [raw]


def _looked_at(item: Any) -> Any:
    """Return a file as it is now, encoded; anything else as it is."""
    if not isinstance(item, File):
        return item
    found = file_version(item)
    code = EXT_FILE if isinstance(found, FileVersion) else EXT_DESCRIBED
    return msgspec.msgpack.Ext(code, msgspec.msgpack.encode(found))


def _encoded(item: Any) -> tuple[msgspec.Raw, int]:
    data = encode_one(item)
    return msgspec.Raw(data), len(data)


def _pieces_of_dataset(data: Dataset) -> Iterator[Dataset]:
    """Yield a data set without files, and then with some of its files each."""
    found = [file_version(as_file(item)) for item in data.files]
    files = [file for file in found if isinstance(file, FileVersion)]
    mark = fingerprint_of(data, found)
    yield data.piece((), mark, {**data.characteristics, **lack(found), "n_files": len(found)})
    for piece, _ in _grouped((file, len(msgspec.msgpack.encode(file))) for file in files):
        yield data.piece(piece, mark, {})


def _grouped(items: Iterable[tuple[Item, int]]) -> Iterator[tuple[list[Item], int]]:
    """Yield items, given with their lengths, in lists that have room in a record."""
    piece: list[Item] = []
    n_bytes = 0
    for item, length in items:
        if piece and n_bytes + length > PIECE_BYTES:
            yield piece, n_bytes
            piece, n_bytes = [], 0
        piece.append(item)
        n_bytes += length
    if piece:
        yield piece, n_bytes
