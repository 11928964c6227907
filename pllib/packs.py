"""Find an object of git in its packs.  Source: gitformat-pack(5), index of version 2."""

from __future__ import annotations

import os
import struct
import zlib

COMMIT = 1
_HEAD = b"\xfftOc\0\0\0\x02"
_FANOUT = struct.Struct(">256L")
_NAMES = 8 + _FANOUT.size


def find_packed(folder: str, commit: str, most: int) -> bytes | None:
    """Return the beginning of a commit as a loose object has it, after a NUL; None if not found.

    One that is stored as a difference from another counts as not found.
    """
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208
    except FileNotFoundError:
        return None
    wanted = bytes.fromhex(commit)
    for name in names:
        if name.endswith(".idx"):
            offset = _offset(f"{folder}/{name}", wanted)
            if offset is not None:
                return _commit_at(f"{folder}/{name[:-4]}.pack", offset, most)
    return None


def _offset(path: str, wanted: bytes) -> int | None:
    """Return where an object begins in the pack of this index."""
    with open(path, "rb") as file:
        if file.read(8) != _HEAD:
            return None
        fanout = _FANOUT.unpack(file.read(_FANOUT.size))
        low, high, total = (0, *fanout)[wanted[0]], fanout[wanted[0]], fanout[255]
        while low < high:
            middle = (low + high) // 2
            file.seek(_NAMES + 20 * middle)
            found = file.read(20)
            if found == wanted:
                file.seek(_NAMES + 24 * total + 4 * middle)
                (offset,) = struct.unpack(">L", file.read(4))
                return None if offset >> 31 else int(offset)  # a pack beyond 2 GiB
            low, high = (middle + 1, high) if found < wanted else (low, middle)
    return None


def _commit_at(path: str, offset: int, most: int) -> bytes | None:
    with open(path, "rb") as file:
        file.seek(offset)
        data = file.read(most + 1024)
    if data[0] >> 4 & 7 != COMMIT:
        return None
    at = next(n for n, byte in enumerate(data) if not byte & 0x80) + 1
    return b"\0" + zlib.decompressobj().decompress(data[at:], most)
