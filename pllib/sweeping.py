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
from functools import lru_cache
from typing import NamedTuple

import msgspec

from .cleaning import Cleaner
from .frame import record_bodies
from .records import Context
from .redaction import Redactor
from .secret_forms import (
    COOKIE,
    IN_LONG_WORD,
    LOGIN,
    LONG_WORD,
    PRIVATE_KEY,
    STRUCTURES,
    TOKENS,
    Form,
)
from .secret_names import NOTHING, PARTS, RANDOM, SHORT

NAME_BYTES = 80
_ALIKE = b"korsu"
"""Letters that are taken for p, so that few looks find what differs in them alone."""


def _folded(byte: int) -> int:
    if not chr(byte).isascii() or not chr(byte).isalnum():
        return byte if byte == ord("/") else ord("-")
    return ord("p" if byte in _ALIKE + _ALIKE.upper() else chr(byte).lower())


FOLD = bytes(map(_folded, range(256)))
"""What bytes are taken for in the look: any sign but / ends a word, as - does."""
_WORDS = bytes(
    ord("a") if chr(byte).isascii() and (chr(byte).isalnum() or byte in b"_-") else 0
    for byte in range(256)
)
_LONG_WORD = b"a" * LONG_WORD
_BEFORE, _FURTHER = 48, 256
"""Bytes before and behind a long word in which a token may have its hint, and its end."""
_SIGNS = frozenset(bytes([sign]) for sign in b".:|%~=")
"""What may be in a token before its long word."""
_PLAIN_WORD = re.compile(rb"[0-9a-f-]+")
"""Digests and UUIDs."""
_LENGTH = re.compile(rb"(?:[\xd9\xc4]|[\xda\xc5].|[\xdb\xc6]...).\Z", re.DOTALL)
"""A text's head, whose last byte may look like a letter.  Source: the msgpack specification."""
_RUN = re.compile(rb"[A-Za-z0-9_.-]*")
ALONE = re.compile(rb"[A-Za-z0-9_.-]?(?:key|token|pass|pwd|pin|pw)[_.-]*", re.I)
"""What is a secret's name with a word before it, perhaps beyond a space."""
_IN_NAMES = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-")


class Marker(NamedTuple):
    """What a secret has in it."""

    folded: bytes
    near: bytes
    """A regular expression of what must be there in truth; empty for nothing more."""
    flags: int = re.I
    is_name: bool = False
    """It is a part of a name, which tells more."""
    is_exact: bool = False
    """It is looked for as it is, not folded."""


def _markers() -> Iterator[Marker]:
    """Yield what is looked for; a hint with a part of a secret's name needs no look of its own."""
    hints = {hint: form.near for form in (PRIVATE_KEY, COOKIE, *STRUCTURES) for hint in form.hints}
    for hint, near in hints.items():
        if not hint.rstrip("=").endswith(PARTS):
            yield _marker(hint, near)
    for option in ("-u ", "\xa2-u"):
        near = LOGIN.near if option[0] == "-" else f"\xa2{LOGIN.near}"
        yield Marker(option.encode("latin-1"), near.encode("latin-1"), is_exact=True)
    yield from (_marker(hint, LOGIN.near) for hint in LOGIN.hints if hint != "-u")
    yield from (Marker(_fold(part), b"", is_name=True) for part in PARTS)
    for part in SHORT:
        yield Marker(_fold(f"{part}-"), _short(part), 0, is_name=True)


def _short(part: str) -> bytes:
    """Return where a short part ends a name: few places where random numbers happen to have it."""
    either = f"(?:{part}|{part.upper()}|{part.capitalize()})"
    regex = (
        rf"(?<=[\xa2\xa3_.:-]){either}(?=[\x80-\xbf\xd9-\xdd\xc4\xca-\xd3=:\"\s])"
        rf"|(?<=[\"']){either}(?=[\"'])|(?<=\s){either}(?==)"
    )
    return regex.encode("latin-1")


def _marker(hint: str, near: str) -> Marker:
    return Marker(_fold(hint), (near or re.escape(hint)).encode("latin-1"))


def _fold(text: str) -> bytes:
    return text.encode("latin-1").translate(FOLD)


@lru_cache(maxsize=256)
def _compiled(regex: bytes, flags: int) -> re.Pattern[bytes]:
    """Compile what most frames need none of, on the first hit and not when a rank starts."""
    return re.compile(regex, flags)


MARKERS = tuple(_markers())
"""At least one in each secret that `pllib.redaction` knows, but for tokens in long words."""
_HINTS = tuple((hint.encode(), form) for form in TOKENS for hint in form.hints)
_INSIDE = re.compile(b"-us|_mmk")
"""Hints in the midst of a long word, or at its end; others begin a token."""
_BEHIND = tuple((hint, form) for hint, form in _HINTS if re.search(rb"[^\w-]", hint))
"""Hints behind whose sign a long word comes."""
_SEPARATOR = re.compile(b"[_-]")


def _by_first() -> dict[bytes, list[tuple[bytes, Form]]]:
    found: dict[bytes, list[tuple[bytes, Form]]] = {}
    for hint, form in _HINTS:
        if len(hint) > 1:
            found.setdefault(hint[:2], []).append((hint, form))
    return found


_BY_FIRST = _by_first()
_MAY_BEGIN = rb"(?:[A-Za-z0-9]?|[A-Za-z0-9_-]*?[_-])(?:%b)" % b"|".join(map(re.escape, _BY_FIRST))


def _search() -> Callable[[bytes], Callable[[bytes, int], int]]:
    """Return what makes of bytes what tells where others are in them from a place on, or -1."""
    try:
        memmem = ctypes.CDLL(None).memmem
    except (OSError, AttributeError):  # a C library without it
        return lambda data: data.find
    memmem.restype = ctypes.c_void_p
    memmem.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]

    def searcher(data: bytes) -> Callable[[bytes, int], int]:
        base, length = ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0, len(data)

        def find(wanted: bytes, start: int) -> int:
            found = memmem(base + start, length - start, wanted, len(wanted))
            return found - base if found else -1

        return find

    return searcher


_searcher = _search()


def _occurrences(data: bytes, wanted: bytes) -> Iterator[int]:
    find = _searcher(data)
    at = find(wanted, 0)
    while at >= 0:
        yield at
        at = find(wanted, at + 1)


def _has_token(payload: bytes) -> bool:
    """Tell whether a long word is a token, or ends one, as far as its form tells."""
    words = payload.translate(_WORDS)
    find = _searcher(words)
    plain: set[bytes] = set()
    at = find(_LONG_WORD, 0)
    while at >= 0:
        found = IN_LONG_WORD.match(payload, at)
        end = found.end() if found else at + LONG_WORD
        word, sign = payload[at:end], payload[at - 1 : at]
        if word not in plain and not _PLAIN_WORD.fullmatch(word):
            if _compiled(_MAY_BEGIN, 0).match(word) and _begins(payload, at, word):
                return True
            if _INSIDE.search(word) and _has_form(payload, at, end, _HINTS):
                return True
            plain.add(word)
        if sign in _SIGNS and _ends(payload, at, end):
            return True
        at = find(_LONG_WORD, end)
    return False


def _begins(payload: bytes, at: int, word: bytes) -> bool:
    """Tell whether a token begins in a word; its first letter may be a text's length."""
    starts = (0, 1, *(separator.end() for separator in _SEPARATOR.finditer(word)))
    return any(
        word.startswith(hint, start) and form.in_bytes.match(payload, at + start)
        for start in starts
        for hint, form in _BY_FIRST.get(word[start : start + 2], ())
    )


def _ends(payload: bytes, at: int, end: int) -> bool:
    """Tell whether a long word ends a token that begins before it."""
    start = max(at - _BEFORE, 0)
    before = payload[start : at + 2]
    hints = tuple(each for each in _BEHIND if each[0] in before)
    return bool(hints) and _has_form(payload, start, end, hints)


def _has_form(payload: bytes, start: int, end: int, hints: tuple[tuple[bytes, Form], ...]) -> bool:
    near = payload[start:end]
    return any(
        hint in near and form.in_bytes.search(payload, start, end + _FURTHER)
        for hint, form in hints
    )


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
        return self._has_marker(payload) or _has_token(payload)

    def _has_marker(self, payload: bytes) -> bool:
        folded = payload.translate(FOLD)
        known: dict[bytes, tuple[bool, bool, bool]] = {}
        for marker in self._markers:
            for at in _occurrences(payload if marker.is_exact else folded, marker.folded):
                if marker.near and not _compiled(*marker[1:3]).match(payload, at):
                    continue
                if not marker.is_name:
                    return True
                name = _name_around(payload, at)
                if name not in known:
                    known[name] = self._ways(name.decode())
                if any(known[name]) and _is_whole(payload, at, name, known[name]):
                    return True
                if ALONE.fullmatch(name) and self._is_last(payload, at):
                    return True
        return False

    def _ways(self, name: str) -> tuple[bool, bool, bool]:
        """Tell whether a name is a secret's, and is so without its first or last letter."""
        names = (name, name[1:], name[:-1])
        first, second, third = (self._redactor.secrecy(each) != NOTHING for each in names)
        return first, second, third

    def _is_last(self, payload: bytes, at: int) -> bool:
        """Tell whether a word makes a secret's name with what is before it, such as a space."""
        before = payload[max(at - NAME_BYTES, 0) : at].decode("ascii", "replace")
        stop = _RUN.match(payload, at, at + NAME_BYTES)
        return self._redactor.secrecy(before + (stop[0].decode() if stop else "")) > RANDOM

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
    return Marker(folded, regex, is_name=not others)


def _is_whole(payload: bytes, at: int, name: bytes, ways: tuple[bool, bool, bool]) -> bool:
    """Tell whether a letter that must go is none: a text's length before it, a record's behind."""
    start = payload.rfind(name, max(at - NAME_BYTES, 0), at + len(name))
    as_it_is, without_first, without_last = ways
    if as_it_is or (without_first and _LENGTH.search(payload, max(start - 4, 0), start + 1)):
        return True
    end = start + len(name)
    return without_last and payload[end + 1 : end + 3] == b"\0\0"


def _name_around(payload: bytes, at: int) -> bytes:
    start = at
    while start > 0 and at - start < NAME_BYTES and payload[start - 1] in _IN_NAMES:
        start -= 1
    found = _RUN.match(payload, start, at + NAME_BYTES)
    return found[0] if found else b""
