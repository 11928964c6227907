"""Take secrets out of one record after another, decoded.

What a record is known by stays, whatever a site's pattern is: runs, logs, jobs, hosts, digests.

Guarantee: no record is too odd; where marks are cut, no text and no bytes grow.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, unquote

import msgspec

from .records import (
    CLOSED_TAG,
    CONTEXT_TAG,
    EXT_BIG_INTEGER,
    EXT_DATASET,
    EXT_DESCRIBED,
    EXT_FILE,
    EXT_HANDLE,
    EXT_RUN,
    SIGNATURE_TAG,
    TRANSFORMATION_TAG,
    UNDECODABLE,
    decode_raws,
)
from .redaction import MARK, Redactor, mark, option_of, redact
from .secret_names import ALL, NOTHING

STARTED_TAG, ENDED_TAG, USED_TAG, GENERATED_TAG, DECLARED_TAG, ADAPTED_TAG = 3, 4, 5, 6, 9, 10
DIGESTED_TAG, IMPORTED_TAG, OUTCOME_TAG, FACTS_TAG, ACCOUNTED_TAG = 12, 13, 14, 15, 16
BLOBS = {
    TRANSFORMATION_TAG: ((6, "used"), (7, "generated")),
    USED_TAG: ((4, "used"),),
    GENERATED_TAG: ((4, "generated"),),
    ADAPTED_TAG: ((4, "used"),),
}
"""Of records by tag: the fields that hold encoded values, and whose names they have."""
KEPT = {
    CONTEXT_TAG: {1, 5, 9, 16, 17, 19},
    SIGNATURE_TAG: {2},
    ENDED_TAG: {5},
    CLOSED_TAG: {3},
    DECLARED_TAG: {2},
    DIGESTED_TAG: {2, 6, 7},
    OUTCOME_TAG: {2, 3, 7},
    ACCOUNTED_TAG: {2, 3, 4, 6, 7, 11},
}
"""Of records by tag: identities, and words of ours and of Slurm's; a site's pattern spares them."""
KEPT_OF_VALUES = {
    EXT_FILE: frozenset({1, 4}),
    EXT_DESCRIBED: frozenset({5}),
    EXT_HANDLE: frozenset({0, 5}),
    EXT_RUN: frozenset({0}),
}
FACTS_AT = {CONTEXT_TAG: 18, FACTS_TAG: 2}
IDENTIFYING = {"job_id", "step_id", "cluster", "array_job_id", "array_task_id"}
"""Facts that say which job it is."""
DIGEST = re.compile(r"(?:[\w-]{1,20}:)?[0-9a-f]{16,128}")
SIGNATURE_AT, STARTED_PATH_AT, WITHIN_AT, PROPERTIES_AT, PREVIEW_AT, FILES_AT = 3, 6, 5, 6, 6, 4
PLAIN = frozenset({int, float, bool, type(None)})
NUMBERS = frozenset([*range(0x80), 0xC0, 0xC2, 0xC3, *range(0xCA, 0xD4), *range(0xE0, 0x100)])
"""First bytes of encoded numbers, truth values and None.  Source: the msgpack specification."""

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode


class Cleaner:
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
        except (*UNDECODABLE, LookupError, TypeError, AttributeError, ValueError):
            return self._odd(body)  # none that we write
        return body if found == fields else _pack(found)

    def _fields(self, tag: int, fields: list[Any]) -> list[Any]:
        blobs = BLOBS.get(tag, ())
        apart, kept = [at for at, _ in blobs], KEPT.get(tag, ())
        found = [
            self._spared(field) if at in kept or at in apart else self.value(field)
            for at, field in enumerate(fields)
        ]
        if FACTS_AT.get(tag, len(fields)) < len(fields):
            found[FACTS_AT[tag]] = self.facts(fields[FACTS_AT[tag]])
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
        if "default" in properties and self._redactor.secrecy(fields[3]) != NOTHING:
            secret = {**properties, "default": self.value(properties["default"], fields[3])}
            found[PROPERTIES_AT] = _pack(self.value(secret))

    def facts(self, facts: dict[str, Any]) -> dict[str, Any]:
        found = self.value({name: facts[name] for name in facts if name not in IDENTIFYING})
        return {**{name: facts[name] for name in facts if name in IDENTIFYING}, **found}

    def _path(self, path: str) -> str:
        """Redact what is percent-encoded between slashes and colons; kinds and numbers stay."""
        return "/".join(
            ":".join(
                piece if piece.isdigit() or (not at and ":" in part) else self._quoted(piece)
                for at, piece in enumerate(part.split(":"))
            )
            for part in path.split("/")
        )

    def _quoted(self, piece: str) -> str:
        text = unquote(piece)
        found = self.value(text)
        if found == text:
            return piece
        quoted = quote(found, safe=" []")
        cut = quoted[: len(piece)] if self._shorten else quoted
        return re.sub(r"%[0-9A-F]?$", "", cut)

    def _values(self, data: bytes, names: list[str]) -> bytes:
        raws = [bytes(raw) for raw in decode_raws(data)]
        found = [
            self._encoded(raw, names[at] if at < len(names) else "") for at, raw in enumerate(raws)
        ]
        return data if found == raws else _pack([msgspec.Raw(each) for each in found])

    def _encoded(self, raw: bytes, name: str) -> bytes:
        if raw[0] in NUMBERS and not self._hides_numbers(name):
            return raw
        try:
            value = _unpack(raw)
            return _changed(raw, value, lambda each: self.value(each, name))
        except (*UNDECODABLE, LookupError, TypeError, AttributeError, ValueError):
            return self._odd(raw, name)

    def _odd(self, data: bytes, name: str = "") -> bytes:
        """Redact a list or mapping item by item, as one whose keys are objects can't be read."""
        try:
            head, items = _items(data)
            found, key = [], ""
            for at, item in enumerate(items):
                is_key = _is_mapping(data) and at % 2 == 0
                key = _as_name(item) if is_key else key
                own = key if self._redactor.secrecy(key) != NOTHING else name
                found.append(self._encoded(item, "" if is_key else own))
            return data if found == items else head + b"".join(found)
        except (*UNDECODABLE, LookupError):
            return self._raw(data, name)

    def _raw(self, data: bytes, name: str = "") -> bytes:
        """Return bytes that can't be read, or a text in their place if a secret is in them."""
        text = data.decode("latin-1")
        found = self._redactor.named(name, text) if name else self._redactor.text(text)
        if found == text:
            return data
        marks = _as_bytes(" ".join(map(mark, MARK.findall(found)))).decode(errors="replace")
        packed = _pack(marks)
        while self._shorten and len(packed) > len(data) and marks:
            marks = marks[:-1]
            packed = _pack(marks)
        return packed

    def value(self, value: Any, name: str = "") -> Any:
        """Return a value without secrets; all texts in it may be one if its name is a secret's."""
        if type(value) in PLAIN:
            is_secret = type(value) in (int, float) and self._hides_numbers(name)
            return self._number(value, name) if is_secret else value
        if isinstance(value, str):
            return self._cut(self._text(value, name), value)
        if isinstance(value, bytes):
            text = value.decode("latin-1")
            found = self._text(text, name)
            whole = value if found == text else _as_bytes(found)
            return whole[: len(value)] if self._shorten else whole
        if isinstance(value, dict):
            return self._mapping(value, name)
        if isinstance(value, list | tuple):
            befores = ["", *value]
            return type(value)(
                [
                    self._item(each, before, name)
                    for each, before in zip(value, befores, strict=False)
                ]
            )
        if not isinstance(value, msgspec.msgpack.Ext):
            return value
        if value.code == EXT_BIG_INTEGER:
            return self._number(value, name) if self._hides_numbers(name) else value
        return self._extension(value, name)

    def _mapping(self, value: dict[Any, Any], name: str) -> dict[Any, Any]:
        """Redact a mapping; ``{"name": "password", "value": ...}`` names its value, too."""
        of_value = value.get("name", value.get("key"))
        names = {"value": of_value} if isinstance(of_value, str) else {}
        return {
            self.value(key): self.value(each, self._nearest(names.get(key, key), name))
            for key, each in value.items()
        }

    def _nearest(self, key: Any, name: str) -> str:
        is_secret = isinstance(key, str) and self._redactor.secrecy(key) != NOTHING
        return key if is_secret else name

    def _item(self, value: Any, before: Any, name: str) -> Any:
        """Redact an item of a list, which the one before it may name: ``["--password", ...]``."""
        option = option_of(before) if isinstance(before, str) else ""
        if not option or self._redactor.secrecy(name) != NOTHING:
            return self.value(value, name)
        if isinstance(value, str):
            return self._cut(self._redactor.word(value, before), value)
        return self.value(value, self._nearest(option, name))

    def _hides_numbers(self, name: str) -> bool:
        return bool(name) and self._redactor.secrecy(name) == ALL

    def _number(self, value: Any, name: str) -> str:
        found = self._redactor.named(name, "0")
        return found[: len(_pack(value)) - 1] if self._shorten else found

    def _extension(self, value: msgspec.msgpack.Ext, name: str) -> msgspec.msgpack.Ext:
        """Redact what is said of a file, a data set and so on; they are no secrets by name."""
        try:
            fields = _unpack(value.data)
        except UNDECODABLE:
            return msgspec.msgpack.Ext(value.code, self._raw(bytes(value.data)))
        found = self._stated(fields, KEPT_OF_VALUES.get(value.code, frozenset()))
        if value.code == EXT_DESCRIBED and isinstance(found, list) and len(found) > PREVIEW_AT:
            found[PREVIEW_AT] = self.value(found[PREVIEW_AT], name)
        if value.code == EXT_DATASET and isinstance(found, list) and len(found) > FILES_AT:
            kept = KEPT_OF_VALUES[EXT_FILE]
            found[FILES_AT] = [self._stated(file, kept) for file in fields[FILES_AT]]
        return value if found == fields else msgspec.msgpack.Ext(value.code, _pack(found))

    def _stated(self, fields: Any, kept: frozenset[int]) -> Any:
        """Redact the fields of what stands for a value, but what it is known by."""
        if not isinstance(fields, list):
            return self.value(fields)
        return [
            self._spared(each) if at in kept or _is_digest(each) else self.value(each)
            for at, each in enumerate(fields)
        ]

    def _spared(self, value: Any) -> Any:
        """Return what no site's pattern may change, without what is known everywhere."""
        return self._cut(redact(value), value) if isinstance(value, str) else value

    def _cut(self, found: str, text: str) -> str:
        if self._shorten and found != text:
            return found.encode()[: len(text.encode())].decode(errors="ignore")
        return found

    def _text(self, text: str, name: str) -> str:
        return self._redactor.named(name, text) if name else self._redactor.text(text)


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and DIGEST.fullmatch(value) is not None


def _as_bytes(text: str) -> bytes:
    """Return bytes that were read as Latin-1; a mark's letters that it lacks are in UTF-8."""
    return re.sub("[^\0-\xff]", lambda each: each[0].encode().decode("latin-1"), text).encode(
        "latin-1"
    )


def _as_name(key: bytes) -> str:
    try:
        found = _unpack(key)
    except UNDECODABLE:
        return ""
    return found if isinstance(found, str) else ""


def _is_mapping(data: bytes) -> bool:
    return 0x80 <= data[0] < 0x90 or data[0] in (0xDE, 0xDF)


def _items(data: bytes) -> tuple[bytes, list[bytes]]:
    """Return the head of an encoded list or mapping, and what follows it, each encoded.

    Raises:
        LookupError: It is neither.
        MsgspecError: It is cut short.
    """
    first, pairs = data[0], 2 if _is_mapping(data) else 1
    width = {0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4}.get(first, 0)
    if not width and not 0x80 <= first < 0xA0:
        raise LookupError("no list")
    length = int.from_bytes(data[1 : 1 + width], "big") if width else first & 0x0F
    if length * pairs > len(data):
        raise msgspec.DecodeError("it is cut short")
    as_list = b"\xdd" + struct.pack(">I", length * pairs) + data[1 + width :]
    return data[: 1 + width], [bytes(raw) for raw in decode_raws(as_list)]


def _changed(data: bytes, value: Any, redact: Callable[[Any], Any]) -> bytes:
    """Return the encoding of a redacted value; the one that it has if nothing changes."""
    found = redact(value)
    return data if found == value else _pack(found)
