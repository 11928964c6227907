"""Bind a variable of a SPARQL query to given IRIs, where the query's pattern begins.

A VALUES clause behind the query would join after it was aggregated: counts over all runs.
"""

from __future__ import annotations

import re

from pllib.errors import QueryError

_TOKENS = re.compile(
    r"""(?P<skip>\#[^\n]*|<[^<>"{}|^`\\\x00-\x20]*>
        |\"\"\"(?:[^"\\]|\\.|"(?!""))*\"\"\"|'''(?:[^'\\]|\\.|'(?!''))*'''
        |"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|[?$@][\w-]+|[\w.-]*:[\w.:%\\-]*)
      |(?P<word>[A-Za-z_]\w*)|(?P<open>\{)|(?P<close>\})""",
    re.VERBOSE | re.DOTALL,
)


def bind_variable(query: str, variable: str, iris: list[str]) -> str:
    """Return the query with ``VALUES ?variable { ... }`` at the start of its pattern.

    Raises:
        QueryError: It has no pattern.
    """
    values = f" VALUES ?{variable} {{ {' '.join(f'<{iri}>' for iri in iris)} }} "
    at = _pattern(query)
    if re.match(
        r"\s*SELECT\b", query[at:], re.IGNORECASE
    ):  # a lone subquery has a group of its own
        end = _closing(query, at)
        return f"{query[:at]}{values}{{{query[at:end]}}}{query[end:]}"
    return query[:at] + values + query[at:]


def _pattern(query: str) -> int:
    """Return where the pattern of a query begins, behind its brace."""
    template = where = False
    depth = 0
    for token in _TOKENS.finditer(query):
        word = (token["word"] or "").upper()
        template = template or word == "CONSTRUCT"
        where = where or word == "WHERE"
        if token["close"]:
            depth -= 1
        elif token["open"]:
            if depth == 0 and (where or not template):
                return token.end()
            template = template and depth > 0  # the group behind a template is the pattern
            depth += 1
    raise QueryError("the query has no pattern to bind a run in", "Leave out --run")


def _closing(query: str, at: int) -> int:
    depth = 0
    for token in _TOKENS.finditer(query, at):
        if token["close"]:
            if depth == 0:
                return token.start()
            depth -= 1
        elif token["open"]:
            depth += 1
    return len(query)
