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
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

import msgspec

from .frame import record_bodies
from .records import (
    EXT_BIG_INTEGER,
    EXT_DESCRIBED,
    SIGNATURE_TAG,
    TRANSFORMATION_TAG,
    UNDECODABLE,
    Context,
    decode_raws,
)
from .redaction import MARK, PARTS, Redactor, mark

STARTED_TAG, USED_TAG, GENERATED_TAG, DECLARED_TAG, ADAPTED_TAG, IMPORTED_TAG = 3, 5, 6, 9, 10, 13
BLOBS = {
    TRANSFORMATION_TAG: ((6, "used"), (7, "generated")),
    USED_TAG: ((4, "used"),),
    GENERATED_TAG: ((4, "generated"),),
    ADAPTED_TAG: ((4, "used"),),
}
"""Of records by tag: the fields that hold encoded values, and whose names they have."""
SIGNATURE_AT, STARTED_PATH_AT, WITHIN_AT, PROPERTIES_AT, PREVIEW_AT = 3, 6, 5, 6, 6
NAME_BYTES = 80
PLAIN = frozenset({int, float, bool, type(None)})
NUMBERS = frozenset([*range(0x80), 0xC0, 0xC2, 0xC3, *range(0xCA, 0xD4), *range(0xE0, 0x100)])
"""First bytes of encoded numbers, truth values and None.  Source: the msgpack specification."""

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode
_ALIKE = b"korsu"
"""Letters that are taken for p, so that one look finds ghp_, gho_, ghu_, AKIA, ASIA and so on."""
FOLD = bytes(
    ord("p") if each in _ALIKE + _ALIKE.upper() else ord(chr(each).lower()) if each < 128 else each
    for each in range(256)
)
_RUN = re.compile(rb"[A-Za-z0-9_.-]*")
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
    _marker("eyj", r"eyJ[A-Z0-9_-]{8,}\.eyJ"),
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
        own = sorted(redactor.names)
        pieces = {max(name.split("_"), key=len).encode().translate(FOLD) for name in own}
        self._markers = [*MARKERS, *(Marker(piece, None) for piece in sorted(pieces))]

    def sweep(self, payload: bytes, room: int = 1 << 30) -> bytes:
        """Return a payload without secrets: itself if it has none.

        Args:
            room: Bytes that it may take; where the marks need more, they are cut short.
        """
        if not self._redactor.own and not self._may_have(payload):
            return payload
        swept = self._swept(payload, shorten=False)
        return (
            swept if len(swept) <= max(room, len(payload)) else self._swept(payload, shorten=True)
        )

    def context(self, context: Context) -> Context:
        """Return who speaks, without secrets in names, tags and facts.

        What ranks of one launch know each other by stays: they must agree on it.
        """
        one = _Records(self._redactor, shorten=False)
        found = {
            name: one.value(getattr(context, name))
            for name in ("program", "workflow", "study", "experiment", "name", "tags", "facts")
        }
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
                if known[name]:
                    return True
        return False

    def _swept(self, payload: bytes, *, shorten: bool) -> bytes:
        one = _Records(self._redactor, shorten=shorten)
        bodies = [bytes(body) for body in record_bodies(payload)]
        swept = [one.record(body) for body in bodies]
        if swept == bodies:
            return payload
        return b"".join(
            struct.pack("<I", len(body)) + body + bytes(-len(body) % 4) for body in swept
        )


def _name_around(payload: bytes, at: int) -> bytes:
    start = at
    while start > 0 and at - start < NAME_BYTES and payload[start - 1] in _IN_NAMES:
        start -= 1
    found = _RUN.match(payload, start, at + NAME_BYTES)
    return found[0] if found else b""


class _Records:
    """Redacts records of one payload, in order; by signature it knows whose values are secrets."""

    def __init__(self, redactor: Redactor, *, shorten: bool) -> None:
        self._redactor = redactor
        self._shorten = shorten
        self._names: dict[int, dict[str, list[str]]] = {}

    def record(self, body: bytes) -> bytes:
        try:
            fields = _unpack(body)
            tag = fields[0]
            if tag == SIGNATURE_TAG:
                self._names[fields[1]] = {"used": [*fields[4]], "generated": [*fields[5]]}
            found = fields if tag == IMPORTED_TAG else self._fields(tag, fields)
        except (*UNDECODABLE, LookupError, TypeError, AttributeError):  # none that we write
            return self._raw(body)
        return body if found == fields else _pack(found)

    def _fields(self, tag: int, fields: list[Any]) -> list[Any]:
        blobs = BLOBS.get(tag, ())
        apart = [at for at, _ in blobs]
        found = [
            field if type(field) in PLAIN or at in apart else self.value(field)
            for at, field in enumerate(fields)
        ]
        for at, direction in blobs:
            if at < len(fields):
                names = self._names.get(fields[SIGNATURE_AT], {}).get(direction, [])
                found[at] = self._values(fields[at], names)
        if tag == STARTED_TAG and len(fields) > STARTED_PATH_AT:
            found[STARTED_PATH_AT] = self._path(fields[STARTED_PATH_AT])
        elif tag == DECLARED_TAG and len(fields) > PROPERTIES_AT:
            found[WITHIN_AT] = self._path(fields[WITHIN_AT])
            properties = _unpack(fields[PROPERTIES_AT])
            found[PROPERTIES_AT] = _changed(fields[PROPERTIES_AT], properties, self.value)
            self._default(fields, found, properties)
        return found

    def _default(self, fields: list[Any], found: list[Any], properties: Any) -> None:
        """Redact what an attribute with a secret's name is declared to be by default."""
        if "default" in properties and self._redactor.is_secret(fields[3]):
            secret = {**properties, "default": self.value(properties["default"], fields[3])}
            found[PROPERTIES_AT] = _pack(self.value(secret))

    def _path(self, path: str) -> str:
        """Redact what is percent-encoded between slashes and colons."""
        return "/".join(
            ":".join(self._quoted(piece) for piece in part.split(":")) for part in path.split("/")
        )

    def _quoted(self, piece: str) -> str:
        text = unquote(piece)
        found = self.value(text)
        return piece if found == text else quote(found, safe=" []")

    def _values(self, data: bytes, names: list[str]) -> bytes:
        raws = [bytes(raw) for raw in decode_raws(data)]
        found = [
            self._encoded(raw, names[at] if at < len(names) else "") for at, raw in enumerate(raws)
        ]
        return data if found == raws else _pack([msgspec.Raw(each) for each in found])

    def _encoded(self, raw: bytes, name: str) -> bytes:
        if raw[0] in NUMBERS:
            return raw
        try:
            value = _unpack(raw)
        except UNDECODABLE:  # as a mapping whose keys are objects
            return self._raw(raw)
        return _changed(raw, value, lambda each: self.value(each, name))

    def _raw(self, data: bytes) -> bytes:
        """Return bytes that can't be read, or a text in their place if a secret is in them."""
        text = data.decode("latin-1")
        found = self._redactor.text(text)
        return data if found == text else _pack(" ".join(map(mark, MARK.findall(found))))

    def value(self, value: Any, name: str = "") -> Any:
        """Return a value without secrets; all texts in it are one if its name is a secret's."""
        if type(value) in PLAIN:
            return value
        if isinstance(value, str):
            return self._text(value, name)
        if isinstance(value, bytes):
            text = value.decode("latin-1")
            found = self._text(text, name)
            return value if found == text else found.encode("latin-1")
        if isinstance(value, dict):
            return {
                self.value(key): self.value(
                    each, key if isinstance(key, str) and self._redactor.is_secret(key) else name
                )
                for key, each in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.value(each, name) for each in value]
        if isinstance(value, msgspec.msgpack.Ext) and value.code != EXT_BIG_INTEGER:
            return self._extension(value, name)
        return value

    def _extension(self, value: msgspec.msgpack.Ext, name: str) -> msgspec.msgpack.Ext:
        """Redact what is said of a file, a data set and so on; they are no secrets by name."""
        try:
            fields = _unpack(value.data)
        except UNDECODABLE:
            return msgspec.msgpack.Ext(value.code, self._raw(bytes(value.data)))
        found = self.value(fields)
        if value.code == EXT_DESCRIBED and isinstance(found, list) and len(found) > PREVIEW_AT:
            found[PREVIEW_AT] = self.value(found[PREVIEW_AT], name)
        return value if found == fields else msgspec.msgpack.Ext(value.code, _pack(found))

    def _text(self, text: str, name: str) -> str:
        found = self._redactor.named(name, text) if name else self._redactor.text(text)
        if self._shorten and found != text:
            room = len(text.encode())
            found = found.encode()[:room].decode(errors="ignore")
        return found


def _changed(data: bytes, value: Any, redact: Callable[[Any], Any]) -> bytes:
    """Return the encoding of a redacted value; the one that it has if nothing changes."""
    found = redact(value)
    return data if found == value else _pack(found)
