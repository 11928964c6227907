"""Take secrets out of the records of a frame's payload, before it is sealed.

First a look for what secrets have in common, in the bytes as they are: the C library's ``memmem``,
called so that other threads go on meanwhile.  Only a payload that has any of it is decoded.

Guarantee: a payload without secrets comes back as it is; else the numbers of records, their order
and their signatures stay, and records without secrets stay byte for byte.
"""

from __future__ import annotations

import ctypes
import re
import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec

from .cleaning import Cleaner
from .frame import record_bodies
from .records import Context
from .redaction import PARTS, Redactor

NAME_BYTES = 80
_ALIKE = b"korsu"
"""Letters that are taken for p, so that one look finds ghp_, gho_, ghu_, AKIA, ASIA and so on."""
FOLD = bytes(
    ord("p") if each in _ALIKE + _ALIKE.upper() else ord(chr(each).lower()) if each < 128 else each
    for each in range(256)
)
_RUN = re.compile(rb"[A-Za-z0-9_.-]*")
ALONE = re.compile(rb"[A-Za-z0-9_.-]?(?:key|token|pass|pwd)[_.-]*", re.I)
"""What is a secret's name with a word before it, perhaps beyond a space."""
_IN_NAMES = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-")


class Marker(NamedTuple):
    """What a secret has in it: folded bytes, and what must be there in truth; a name if None."""

    folded: bytes
    regex: re.Pattern[bytes] | None


def _marker(text: str, regex: str = "") -> Marker:
    return Marker(text.encode().translate(FOLD), re.compile(regex.encode(), re.I))


MARKERS = (
    _marker("-----begin", r"-----BEGIN [A-Z ]*PRIVATE KEY"),
    _marker("akia", r"A[KS]IA[A-Z2-7]{16}"),
    _marker("ghp_", r"gh[oprsu]_[A-Z0-9]{36}"),
    _marker("github_pat_"),
    _marker("glpat-"),
    _marker("gldt-"),
    _marker("glrt-"),
    _marker("hf_", r"hf_[A-Z]{34}"),
    _marker("xox", r"xox[abeoprs]-[A-Z0-9-]{10}"),
    _marker("hooks.slack.com/"),
    _marker("sk-", r"sk-[A-Z0-9_-]{20}"),
    _marker("aiza", r"AIza[A-Z0-9_-]{35}"),
    _marker("pypi-age"),
    _marker("eyj", r"eyJ[A-Z0-9_-]{8}"),
    _marker("bearer", r"bearer\s{1,4}\S{16}"),
    _marker("authorization"),
    _marker("://", r"://[^\s/:@?#\"'<>]{0,400}(?::[^\s/@\"'<>]{1,400})?@"),
    _marker("sig=", r"sig=\S{4}"),
    _marker("ignature=", r"ignature=\S{4}"),
    _marker("x-amz-"),
    _marker("x-goog-"),
    _marker("accessid=", r"accessid=\S{4}"),
    _marker("accesskeyid=", r"accesskeyid=\S{4}"),
    *(Marker(part.encode().translate(FOLD), None) for part in PARTS),
)
"""At least one in each secret that `pllib.redaction` knows."""


def _finder() -> Callable[[bytes, bytes], Iterator[int]]:
    """Return what yields where some bytes are in others."""
    try:
        memmem = ctypes.CDLL(None).memmem
    except (OSError, AttributeError):  # a C library without it

        def find(data: bytes, wanted: bytes) -> Iterator[int]:
            at = data.find(wanted)
            while at >= 0:
                yield at
                at = data.find(wanted, at + 1)

        return find
    memmem.restype = ctypes.c_void_p
    memmem.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]

    def search(data: bytes, wanted: bytes) -> Iterator[int]:
        base, length = ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0, len(data)
        found = memmem(base, length, wanted, len(wanted))
        while found:
            at = found - base
            yield at
            found = memmem(base + at + 1, length - at - 1, wanted, len(wanted))

    return search


_occurrences = _finder()


class Sweeper:
    """Takes secrets out of payloads, by a redactor."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._markers = [*MARKERS, *map(_own_marker, sorted(redactor.names))]
        self._sees_all = bool(redactor.own) or not redactor.is_ascii

    def sweep(self, payload: bytes, room: int = 1 << 30) -> bytes:
        """Return a payload without secrets: itself if it has none.

        Args:
            room: Bytes that it may take; where the marks need more, they are cut short.
        """
        if not self._sees_all and not self._may_have(payload):
            return payload
        swept = self._swept(payload, shorten=False)
        return (
            swept if len(swept) <= max(room, len(payload)) else self._swept(payload, shorten=True)
        )

    def context(self, context: Context) -> Context:
        """Return who speaks, without secrets in names, tags and facts.

        What ranks of one launch know each other by stays: they must agree on it.
        """
        one = Cleaner(self._redactor, shorten=False)
        found = {
            name: one.value(getattr(context, name))
            for name in ("program", "workflow", "study", "experiment", "name", "tags")
        }
        found["facts"] = one.facts(context.facts)
        return msgspec.structs.replace(context, **{**found, "tags": tuple(found["tags"])})

    def _may_have(self, payload: bytes) -> bool:
        folded = payload.translate(FOLD)
        known: dict[bytes, bool] = {}
        for wanted, regex in self._markers:
            for at in _occurrences(folded, wanted):
                if regex is not None:
                    if regex.match(payload, at):
                        return True
                    continue
                name = _name_around(payload, at)
                if name not in known:
                    text = name.decode()
                    known[name] = any(map(self._redactor.is_secret, (text, text[1:])))
                if known[name] or (ALONE.fullmatch(name) and self._is_last(payload, at)):
                    return True
        return False

    def _is_last(self, payload: bytes, at: int) -> bool:
        """Tell whether a word makes a secret's name with what is before it, such as a space."""
        before = payload[max(at - NAME_BYTES, 0) : at].decode("ascii", "replace")
        stop = _RUN.match(payload, at, at + NAME_BYTES)
        return self._redactor.is_secret(before + (stop[0].decode() if stop else ""))

    def _swept(self, payload: bytes, *, shorten: bool) -> bytes:
        one = Cleaner(self._redactor, shorten=shorten)
        bodies = [bytes(body) for body in record_bodies(payload)]
        swept = [one.record(body) for body in bodies]
        if swept == bodies:
            return payload
        return b"".join(
            struct.pack("<I", len(body)) + body + bytes(-len(body) % 4) for body in swept
        )


def _own_marker(name: str) -> Marker:
    """Return where to look closer for a site's name; of several words, what may be between."""
    first, *others = (re.escape(word.encode()) for word in name.split("_"))
    folded = name.split("_")[0].encode().translate(FOLD)
    regex = rb"[^A-Za-z0-9]*".join([first, *others])
    return Marker(folded, re.compile(regex, re.I) if others else None)


def _name_around(payload: bytes, at: int) -> bytes:
    start = at
    while start > 0 and at - start < NAME_BYTES and payload[start - 1] in _IN_NAMES:
        start -= 1
    found = _RUN.match(payload, start, at + NAME_BYTES)
    return found[0] if found else b""
