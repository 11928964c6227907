"""What a query may not hold: it is read-only, calls nobody and is of a size that can't hurt.

pyoxigraph 0.5.13 sends HTTP for SERVICE, with no switch in the Python API, and dies of SIGSEGV on
2,200 nested braces.  So queries are read here, token by token, before they run, and run in a
process of their own.
"""

from __future__ import annotations

import re

from pllib.errors import QueryError

MAX_CHARACTERS = 200_000
MAX_DEPTH = 200
MAX_OPERATORS = 2_000

TOKENS = re.compile(
    r"""
      (?P<skip> \#[^\n]* | <[^<>"{}|^`\\\x00-\x20]*> )
    | (?P<string> \"\"\"(?:[^"\\]|\\.|"(?!""))*\"\"\" | '''(?:[^'\\]|\\.|'(?!''))*'''
                | "(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*' )
    | (?P<name> [?$@]?[\w.-]*:[\w.:%\\-]* | [?$@][\w-]+ )
    | (?P<word> [A-Za-z_]\w* )
    | (?P<open> [{(\[] ) | (?P<close> [})\]] )
    | (?P<operator> \|\||&&|[/|^*+!] )
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\u([0-9A-Fa-f]{4})|\\U([0-9A-Fa-f]{8})")
"""SPARQL 1.1, 19.2: codepoint escapes may stand anywhere, and are read before the grammar."""
_UPDATES = frozenset(["INSERT", "DELETE", "LOAD", "CLEAR", "DROP", "CREATE", "ADD", "MOVE", "COPY"])


def check_query(text: str) -> None:
    """Refuse a query that must not run.

    Raises:
        QueryError: Says what is refused.
    """
    if len(text) > MAX_CHARACTERS:
        raise QueryError(f"the query has {len(text)} characters, {MAX_CHARACTERS} are allowed")
    text = _ESCAPE.sub(lambda found: _character(found[1] or found[2]), text)
    depth = deepest = n_operators = 0
    first = True
    for token in TOKENS.finditer(text):
        kind = token.lastgroup
        if kind == "word":
            _check_word(token.group().upper(), first)
            n_operators += token.group().upper() == "UNION"
            first = first and token.group().upper() in ("PREFIX", "BASE")
        elif kind == "open":
            depth += 1
            deepest = max(depth, deepest)
        elif kind == "close":
            depth -= 1
        elif kind == "operator":
            n_operators += 1
    if deepest > MAX_DEPTH or n_operators > MAX_OPERATORS:
        raise QueryError("the query is nested too deep or has too many operators")


def _character(digits: str) -> str:
    code = int(digits, 16)
    return chr(code) if code <= 0x10FFFF else "?"


def _check_word(word: str, first: bool) -> None:
    if word == "SERVICE":
        raise QueryError("SERVICE is not allowed", "Queries read this store and nothing else")
    if first and word in _UPDATES:
        raise QueryError(f"{word} is an update; this store is read-only")
