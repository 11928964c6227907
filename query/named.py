"""The named queries: the files of ``query/catalog``, read and checked.

A file is SPARQL below a header of comments::

    # title: Which checkpoint is best
    # cell: ML, intra
    # parameter: run (run) @last — the run
    # sparql: checkpoints.sparql
    # lineage: up
    # sql: answer, points
    # columns: epoch, path
    # check: file

A parameter is ``$name`` in the query; `query.terms` puts an RDF term in its place.  ``# sparql:``
names a file with the query, when several share one; what is below the header is a further group of
it, ``UNION { ... }``.  ``# lineage:`` is up or down from each
``?target``.  ``# sql:`` names the tables that the sibling ``.sql`` reads, ``# columns:`` what that
gives; a table that is not one of `query.duck` is made of these by the SQL of its name, which finds
the parameters in the only row of the table ``given``.
``# check: file`` compares the answer's path, size and modified with the file system.

Planning of pyoxigraph 0.5.13, as measured: a group that a join, OPTIONAL or UNION begins is planned
without what is bound outside of it, and a sub-select is joined by its whole answer.  So each group
begins at the run, all optional groups are single triples, and the rest is joined in SQL.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from pllib.errors import QueryError

FOLDER = Path(__file__).with_name("catalog")

CELLS = ("domain", "ML, intra", "ML, inter", "execution", "online")
"""The taxonomy's cells: kind of data, and for learning one training or several; offline but for
the last."""

KINDS = {
    "run": "@last",
    "file": "model.pt",
    "path": "data/raw.csv",
    "text": "lr",
    "number": "3",
    "value": "0.4",
    "time": "2026-01-31T12:00:00Z",
}
"""Kind of a parameter → an example.  Any other kind is a choice, as in ``highest|lowest``."""

_NAMED = {"job": "4242", "array": "4242"}
"""Name of a parameter → an example that says more than its kind's."""

TABLES = ("answer", "points", "ranks", "attempts", "entities", "activities", "edges", "settings")
"""Tables of `query.duck`."""

MORE = "# and"
"""Where a shared query takes a further group of the file that names it."""

_HEADER = re.compile(r"#\s*(\w+):\s*(.*)")
_PARAMETER = re.compile(r"([a-z]\w*) \(([\w|]+)\)\s*(.*?)\s*— (.+)")
_TOKEN = re.compile(
    r"""(?P<skip>\#[^\n]*|<[^<>"{}|^`\\\x00-\x20]*>|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')"""
    r"""|\$(?P<parameter>\w+)"""
)


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str
    kind: str
    default: str | None
    """As a user would type it; None when it must be given."""
    meaning: str

    @property
    def example(self) -> str:
        by_kind = KINDS.get(self.kind, self.kind.partition("|")[0])
        return f"-p {self.name}={_NAMED.get(self.name, by_kind)}"


@dataclass(frozen=True, slots=True)
class Named:
    """One named query."""

    name: str
    title: str
    cell: str
    parameters: tuple[Parameter, ...]
    sparql: str
    """Without its header."""
    lineage: Literal["up", "down", ""]
    """``up`` or ``down`` when SQL reads the lineage of each ``?target``, else empty."""
    views: str
    """SQL that makes further tables of the answer."""
    sql: str | None
    tables: tuple[str, ...]
    """Tables that the SQL reads."""
    columns: tuple[str, ...]
    """Columns that the SQL gives; empty without SQL."""
    check: bool
    """Whether the answer's files are compared with the file system."""


@cache
def catalog() -> dict[str, Named]:
    """Return all named queries, by name, in the order of their cells."""
    found = [_parse(each) for each in FOLDER.glob("*.rq")]
    ordered = sorted(found, key=lambda named: (CELLS.index(named.cell), named.name))
    return {named.name: named for named in ordered}


def find_named(name: str) -> Named:
    """Return a named query.

    Raises:
        QueryError: There is none of that name; says which are near.
    """
    known = catalog()
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    near += [other for other in known if name and name in other and other not in near]
    hint = f"Near: {', '.join(near)}" if near else "`sprov ask` lists them"
    raise QueryError(f"no query is named {name}", hint)


def substitute(text: str, terms: dict[str, str]) -> str:
    """Put terms in place of parameters; what looks like one in a string or comment stays."""

    def term(found: re.Match[str]) -> str:
        name = found["parameter"]
        return found[0] if name is None or name not in terms else terms[name]

    return _TOKEN.sub(term, text)


def parameters_in(text: str) -> set[str]:
    """Return the names of the parameters that a query or SQL holds."""
    return {found["parameter"] for found in _TOKEN.finditer(text) if found["parameter"]}


def _parse(path: Path) -> Named:
    name, lines = path.stem, path.read_text("utf-8").splitlines()
    n_header = next((n for n, line in enumerate(lines) if not line.startswith("#")), len(lines))
    header = [found.groups() for line in lines[:n_header] if (found := _HEADER.match(line))]
    said = {key: value for key, value in header if key != "parameter"}
    sparql = "\n".join(lines[n_header:])
    if "sparql" in said:
        sparql = _within((FOLDER / said["sparql"]).read_text("utf-8"), sparql)
    sql, tables = said.get("sql"), _names(said.get("sql"))
    return Named(
        name=name,
        title=said["title"],
        cell=said["cell"],
        parameters=tuple(_parameters(header)),
        sparql=sparql.strip() + "\n",
        lineage=said.get("lineage", ""),  # type: ignore[arg-type]
        views=";\n".join(
            (FOLDER / f"{table}.sql").read_text("utf-8") for table in tables if table not in TABLES
        ),
        sql=(FOLDER / f"{name}.sql").read_text("utf-8") if sql else None,
        tables=tables,
        columns=_names(said.get("columns")),
        check=said.get("check") == "file",
    )


def _within(shared: str, own: str) -> str:
    """Return a shared query, with what a file says itself in place of the shared one's mark."""
    return shared.replace(MORE, own.strip()) if own.strip() else shared


def _parameters(header: list[tuple[str, ...]]) -> Iterator[Parameter]:
    for key, value in header:
        if key == "parameter":
            found = _PARAMETER.fullmatch(value)
            assert found, value
            name, kind, default, meaning = found.groups()
            given = None if default == "" else "" if default == '""' else default
            yield Parameter(name, kind, given, meaning)


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",")) if text else ()
