"""Bind a variable of a SPARQL query to given IRIs, where the query's pattern begins.

A VALUES clause behind the query would join after it was aggregated: counts over all runs.
"""

from __future__ import annotations

import re

from manager.store.guard import TOKENS
from pllib.errors import QueryError


def bind_variable(query: str, variable: str, iris: list[str]) -> str:
    """Return the query with ``VALUES ?variable { ... }`` at the start of its pattern.

    Raises:
        QueryError: It has no pattern.
    """
    values = f" VALUES ?{variable} {{ {' '.join(f'<{iri}>' for iri in iris)} }} "
    at = _pattern(query)
    if re.match(r"\s*SELECT\b", query[at:], re.IGNORECASE):  # a subquery needs its own group
        end = _closing(query, at)
        return f"{query[:at]}{values}{{{query[at:end]}}}{query[end:]}"
    return query[:at] + values + query[at:]


def _pattern(query: str) -> int:
    """Return where the pattern of a query begins, behind its brace."""
    template = where = False
    depth = 0
    for token in TOKENS.finditer(query):
        text = token.group()
        word = text.upper() if token["word"] else ""
        template = template or word == "CONSTRUCT"
        where = where or word == "WHERE"
        if text == "}":
            depth -= 1
        elif text == "{":
            if depth == 0 and (where or not template):
                return token.end()
            template = template and depth > 0  # the group behind a template is the pattern
            depth += 1
    raise QueryError("the query has no pattern to bind a run in", "Leave out --run")


def _closing(query: str, at: int) -> int:
    depth = 0
    for token in TOKENS.finditer(query, at):
        if token.group() == "}":
            if depth == 0:
                return token.start()
            depth -= 1
        elif token.group() == "{":
            depth += 1
    return len(query)
