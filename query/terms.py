"""What a user typed for a parameter, as an RDF term for SPARQL and a value for SQL."""

from __future__ import annotations

import datetime
import math
import os
import re
from collections.abc import Mapping
from typing import NamedTuple

from manager import ntriples
from pllib import notices
from pllib.errors import QueryError
from pllib.identity import ID_BASE
from pllib.moments import moment, written

from .engine import Engine
from .named import KINDS, Named, Parameter
from .runs import find_run

_NO_SECONDS = re.compile(r"^(\d\d:\d\d)(Z|[+-]\d\d:\d\d)?$")

Value = str | int | float | bool | datetime.datetime

_XSD = "http://www.w3.org/2001/XMLSchema#"
_IRI = re.compile(r"https?://[^<>\"{}|^`\\\x00-\x20\x7f]+")

_NEWEST = """
SELECT ?file ?path ?modified WHERE {{
  {{ ?file sprov:path {path} }} UNION {{ ?file rdfs:label {name} }}
  ?file sprov:path ?path FILTER(?path = {path} || STRENDS(?path, {end}) || ?path = {text})
  OPTIONAL {{ ?file sprov:modified ?modified }}
}} ORDER BY DESC(?path = {path}) DESC(?modified) LIMIT 1
"""


class Bound(NamedTuple):
    term: str
    """In SPARQL's syntax, escaped."""
    value: Value


def bind(engine: Engine, named: Named, given: Mapping[str, str]) -> dict[str, Bound]:
    """Return each parameter of a query, as given or by default.

    Raises:
        QueryError: One is unknown, missing or not of its kind; says which, with an example.
    """
    known = [parameter.name for parameter in named.parameters]
    for name in given:
        if name not in known:
            hint = f"It has: {', '.join(known)}" if known else "It has none"
            raise QueryError(f"{named.name} has no parameter {name}", hint)
    return {
        parameter.name: _bind(engine, named, parameter, given.get(parameter.name))
        for parameter in named.parameters
    }


def _bind(engine: Engine, named: Named, parameter: Parameter, given: str | None) -> Bound:
    text = parameter.default if given is None else given
    if text is None:
        raise QueryError(
            f"{named.name} needs {parameter.name}, {parameter.meaning}",
            f"As in: sprov ask {named.name} {parameter.example}",
        )
    try:
        return _convert(engine, parameter.kind, text)
    except ValueError:
        choices = parameter.kind.replace("|", " or ")
        wanted = choices if parameter.kind not in KINDS else f"a {parameter.kind}"
        raise QueryError(
            f"{parameter.name} is {wanted}, not {text!r}", f"As in: {parameter.example}"
        ) from None


def _convert(engine: Engine, kind: str, text: str) -> Bound:
    if kind == "run":
        run = str(find_run(engine, text)["run"])
        return Bound(f"<{checked_iri(run)}>", run)
    if kind in ("file", "path"):
        found = newest_file(engine, text)
        iri, path = found["file"], found["path"]
        return Bound(f"<{checked_iri(iri)}>", iri) if kind == "file" else _literal(path)
    if kind == "number":
        return _literal(number(text))
    if kind == "value":
        return _literal(_plain(text))
    if kind == "time":
        return _literal(_moment(text))
    if kind != "text" and text not in kind.split("|"):
        raise ValueError(text)
    return _literal(text)


def newest_file(engine: Engine, text: str) -> dict[str, str]:
    """Return IRI and path of a version of a file: by IRI, as the file that is there, or the newest
    by path or the end of one.

    Raises:
        QueryError: No record speaks of it.
    """
    if text.startswith(ID_BASE):
        rows = engine.select(f"SELECT ?path {{ <{checked_iri(text)}> sprov:path ?path }}")
        if rows:
            return {"file": text, "path": rows[0]["path"]}
    in_hand = _in_hand(engine, text) if os.path.lexists(text) else None
    if in_hand is not None:
        return in_hand
    query = _NEWEST.format(
        path=string(os.path.abspath(text)),  # noqa: PTH100  a name, not a file that must exist
        name=string(text.rstrip("/").rpartition("/")[2]),
        end=string("/" + os.path.normpath(text).strip("/")),
        text=string(text),
    )
    rows = engine.select(query)
    if not rows:
        raise QueryError(f"no record speaks of {text}", "`sprov show @last` lists a run's files")
    if os.path.lexists(text):
        _say(f"{text} is unknown here; this is of {rows[0]['path']}")
    return rows[0]


def _in_hand(engine: Engine, text: str) -> dict[str, str] | None:
    """Return the version that a file is, or if it was changed the last that was recorded there."""
    from .files import identify

    found = identify(engine, text)
    if not found.versions:
        return None
    version = found.versions[0]
    if not found.is_known:
        version = max(found.versions, key=lambda each: each.modified)
        _say(f"{text} is {found.state}: {found.reason}; this is of the version {version.whose}")
    elif found.state == "copy":
        _say(f"{text} is a copy of {version.path}, {version.whose}")
    return {"file": version.id, "path": version.path}


def _say(text: str) -> None:
    notices.write(text)


def checked_iri(text: str) -> str:
    """Return an IRI that can stand between angle brackets.

    Raises:
        QueryError: It can't.
    """
    if not _IRI.fullmatch(text):
        raise QueryError(f"{text!r} is not an IRI")
    return text


def string(text: str) -> str:
    """Return text as a SPARQL string; of its backslash escapes only those of SPARQL are used.

    SPARQL 1.1, 19.2 reads codepoint escapes before the grammar, so that a backslash is doubled.
    """
    readable = text.encode("utf-8", "backslashreplace").decode()
    return ntriples.string(readable)


def number(text: str) -> int | float:
    """Return a finite number.

    Raises:
        ValueError: It is none.
    """
    if re.fullmatch(r"[+-]?\d+", text, re.ASCII):
        return int(text)
    found = float(text)
    if not math.isfinite(found):
        raise ValueError(text)
    return found


def _plain(text: str) -> Value:
    if text in ("true", "false"):
        return text == "true"
    try:
        return number(text)
    except ValueError:
        return text


def _moment(text: str) -> datetime.datetime:
    """Return a time; a day alone is its midnight, and seconds may be left out.

    Raises:
        ValueError: It is none.
    """
    day, _, clock = text.strip().replace(" ", "T", 1).partition("T")
    clock = _NO_SECONDS.sub(r"\1:00\2", clock or "00:00:00")
    return moment(f"{day}T{clock}").replace(tzinfo=datetime.timezone.utc)


def _literal(value: Value) -> Bound:
    if isinstance(value, bool):
        return Bound(f'"{str(value).lower()}"^^<{_XSD}boolean>', value)
    if isinstance(value, int):
        return Bound(f'"{value}"^^<{_XSD}integer>', value)
    if isinstance(value, float):
        return Bound(f'"{value!r}"^^<{_XSD}double>', value)
    if isinstance(value, datetime.datetime):
        utc = value.astimezone(datetime.timezone.utc).replace(tzinfo=None)
        return Bound(f'"{written(utc)}Z"^^<{_XSD}dateTime>', utc)
    return Bound(string(value), value)
