"""Read a declaration from a dict or a file, and know where in the file each part of it is."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from typing import Any

from .errors import SettingsError

MAX_BYTES = 8 << 20
MAX_JSON_CHARACTERS = 256 << 10
"""Of a file whose lines are told; they are found by YAML's slow reader."""
MAX_PARTS = 100_000
"""YAML can stand for more than it writes: an anchor within itself, or a billion laughs."""

TWICE = "given twice: the first is kept"

Place = tuple[str | int, ...]
"""Keys and positions from the top of a document down."""


class Document:
    """What was read, and the problems in reading it.

    Attributes:
        name: Of the file; empty for a dict.
        content: Nested dicts, lists and scalars.
        lines: Line of each place, from 1; only YAML tells.
    """

    def __init__(self, name: str, content: Any = None) -> None:
        self.name = name
        self.content = content
        self.lines: dict[Place, int] = {}
        self.problems: list[str] = []

    def refuse(self, place: Place, what: str) -> None:
        """Note a problem with a place: file, line where that is known, and the path to it."""
        near = place
        while near and near not in self.lines:
            near = near[:-1]
        line = f":{self.lines[near]}" if near in self.lines else ""
        found = (f"{self.name}{line}", written(place), what)
        self.problems.append(": ".join(part for part in found if part))


def written(place: Place) -> str:
    """Return a place as people write it: ``workflows[0].stages[1]``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return text.removeprefix(".")


def read(source: Any) -> Document:
    """Read a mapping as it is, or a YAML or JSON file by its path.

    A file that can't be read is a document with that problem and without content.
    """
    if isinstance(source, Mapping):
        return Document("", source)
    if not isinstance(source, str | os.PathLike):
        document = Document("")
        document.refuse((), f"a dict or a path is declared, not a {type(source).__name__}")
        return document
    name = os.fsdecode(source)
    document = Document(name.encode("utf-8", "backslashreplace").decode())
    try:
        with open(name, "rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ValueError(f"over {MAX_BYTES >> 20} MiB")
        text = data.decode()
    except (OSError, ValueError) as exc:
        document.refuse((), f"can't be read: {getattr(exc, 'strerror', None) or exc}")
        return document
    (_read_json if name.endswith(".json") else _read_yaml)(document, text)
    return document


def _read_json(document: Document, text: str) -> None:
    import json

    def keep(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                document.refuse((key,), TWICE)
            found.setdefault(key, value)
        return found

    try:
        document.content = json.loads(text, object_pairs_hook=keep)
    except json.JSONDecodeError as exc:
        document.lines[()] = exc.lineno
        document.refuse((), f"no JSON: {exc.msg}")
    except RecursionError:
        document.refuse((), "nested too deep")
    except ValueError as exc:  # a number of over 4,300 digits
        document.refuse((), f"no JSON: {exc}")
    if len(text) <= MAX_JSON_CHARACTERS:
        with contextlib.suppress(SettingsError):
            document.lines = _lines(text) or document.lines


def _lines(text: str) -> dict[Place, int]:
    """Return where things are in a JSON text: most of it is YAML, whose reader tells."""
    shadow = Document("")
    _read_yaml(shadow, text)
    return {} if shadow.problems else shadow.lines


def _read_yaml(document: Document, text: str) -> None:
    yaml = _yaml()
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is not None:
            document.content = _Reader(document, loader).read(node, ())
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        document.lines[()] = mark.line + 1 if mark else 1
        document.refuse((), f"no plain YAML: {exc.problem or exc.context}")
    except (yaml.YAMLError, ValueError, RecursionError) as exc:
        document.refuse((), f"no plain YAML: {str(exc) or type(exc).__name__}")
    except (AttributeError, LookupError, TypeError):  # PyYAML's, as for ``!!bool foo``
        document.refuse((), "no plain YAML: a value is not what its tag says")


def _yaml() -> Any:
    try:
        import yaml
    except ModuleNotFoundError:
        raise SettingsError(
            "a YAML declaration needs PyYAML", "Run: pip install 'sprov[yaml]', or write JSON"
        ) from None
    return yaml


class _Reader:
    """Makes plain values of YAML's nodes, and notes the line of each."""

    def __init__(self, document: Document, loader: Any) -> None:
        self._document = document
        self._loader = loader
        self._n_parts = 0

    def read(self, node: Any, place: Place) -> Any:
        self._n_parts += 1
        if self._n_parts > MAX_PARTS:
            raise ValueError(f"over {MAX_PARTS:,} parts, or an anchor within itself")
        self._document.lines[place] = node.start_mark.line + 1
        if node.tag == "tag:yaml.org,2002:seq":
            return [self.read(item, _under(place, nth)) for nth, item in enumerate(node.value)]
        if node.tag == "tag:yaml.org,2002:map":
            return self._mapping(node, place)
        return self._loader.construct_object(node, deep=True)

    def _mapping(self, node: Any, place: Place) -> dict[str, Any]:
        self._refuse_twins(node, place)
        self._loader.flatten_mapping(node)
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = _key(key_node)
            found[key] = self.read(value_node, _under(place, key))
            self._document.lines[_under(place, key)] = key_node.start_mark.line + 1
        return found

    def _refuse_twins(self, node: Any, place: Place) -> None:
        """Keep the first of two equal keys; one that overrides a merged one is no twin of it."""
        kept: dict[str, Any] = {}
        for pair in node.value:
            key = _key(pair[0])
            if key in kept:
                self._document.lines[_under(place, key)] = pair[0].start_mark.line + 1
                self._document.refuse(_under(place, key), TWICE)
            else:
                kept[key] = pair
        node.value = [*kept.values()]


def _key(node: Any) -> str:
    return str(node.value) if node.id == "scalar" else ""


def _under(place: Place, part: str | int) -> Place:
    return (*place, part)
