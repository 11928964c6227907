"""What a query may not hold: it is read-only, calls nobody and is of a size that can't hurt.

pyoxigraph 0.5.13 sends HTTP for SERVICE, with no switch in the Python API, and dies of SIGSEGV on
2,200 nested braces.  So queries are read here, token by token, before they run, and run in a
process of their own (`manager.store.sandbox`).

Its parser has no tokens: what a character begins depends on where it stands, and keywords need
nothing between them and their neighbours (``trueSERVICE:a{}`` calls).  So a text that can be read
in two ways is read in both, and SERVICE is refused where it begins or ends within a word, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pllib.errors import QueryError

MAX_CHARACTERS = 200_000
MAX_DEPTH = 200
MAX_OPERATORS = 1_000
"""Of what makes a query's tree deep: half of what any such chain needs for a SIGSEGV (8 MiB)."""

_ESCAPED = r"\\u[0-9A-Fa-f]{4}|\\U[0-9A-Fa-f]{8}"
_STRING = rf"\\[tbnrf\"'\\]|{_ESCAPED}"
TOKENS = re.compile(
    rf"""
      (?P<comment> \#[^\n\r]* )
    | (?P<iri> <(?:[^<>"{{}}|^`\\\x00-\x20]|{_ESCAPED})*> )
    | (?P<long> \"\"\"(?:[^"\\]|{_STRING}|"(?!""))*\"\"\" | '''(?:[^'\\]|{_STRING}|'(?!''))*''' )
    | (?P<string> "(?:[^"\\\n\r]|{_STRING})*" | '(?:[^'\\\n\r]|{_STRING})*' )
    | (?P<variable> [?$][0-9A-Za-z_\x80-\U0010ffff]+ )
    | (?P<name> [-.0-9A-Za-z_\x80-\U0010ffff]*:
                (?:[-.:%0-9A-Za-z_\x80-\U0010ffff]|\\[-_~.!$&'()*+,;=/?\#@%])* )
    | (?P<number> [0-9]*\.?[0-9]+[eE][-+]?[0-9]+ | (?<=[\s({{,=<>])[-+](?=[0-9.]) )
    | (?P<language> @[-0-9A-Za-z]+ )
    | (?P<word> [0-9A-Za-z_\x80-\U0010ffff]+ )
    | (?P<open> [{{(\[] ) | (?P<close> [}})\]] )
    | (?P<operator> \|\||&&|[/|^*+!-] )
    | (?P<space> \s+ )
    | (?P<other> . )
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(_ESCAPED)
_CALL = re.compile("service", re.IGNORECASE)
_WORDS = frozenset(
    ["UNION", "OPTIONAL", "MINUS", "FILTER", "BIND", "VALUES", "GRAPH", "LATERAL", "EXISTS", "IN",
     "AS", "HAVING"]
)  # fmt: skip
"""Each makes the tree deeper, as operators do."""
_UPDATES = frozenset(["INSERT", "DELETE", "LOAD", "CLEAR", "DROP", "CREATE", "ADD", "MOVE", "COPY"])


def check_query(text: str) -> None:
    """Refuse a query that must not run.

    Raises:
        QueryError: Says what is refused.
    """
    if len(text) > MAX_CHARACTERS:
        raise QueryError(f"the query has {len(text)} characters, {MAX_CHARACTERS} are allowed")
    if "\0" in text:
        raise QueryError("the query has a NUL character")
    _check_reading(text)
    # SPARQL 1.1, 19.2: such escapes may stand anywhere, and are read before the grammar.
    # pyoxigraph 0.5.13 knows them in strings and IRIs only; another version may know more.
    if (unescaped := _ESCAPE.sub(_character, text)) != text:
        _check_calls(unescaped)


def _check_reading(text: str) -> None:
    depth = deepest = n_operators = 0
    first = True
    for token in TOKENS.finditer(text):
        kind = token.lastgroup
        if kind == "word":
            word = token.group().upper()
            _check_word(word, first)
            n_operators += word in _WORDS
            first = first and word in ("PREFIX", "BASE", "VERSION")
        elif kind == "open":
            depth += 1
            deepest = max(depth, deepest)
        elif kind == "close":
            depth -= 1
        elif kind == "operator":
            n_operators += 1
    _check_calls(text)
    if deepest > MAX_DEPTH or n_operators > MAX_OPERATORS:
        raise QueryError(
            "the query is nested too deep or has too many operators",
            f"{MAX_DEPTH} levels and {MAX_OPERATORS} operators are allowed",
        )


def _check_word(word: str, first: bool) -> None:
    if first and word in _UPDATES:
        raise QueryError(f"{word} is an update; this store is read-only")
    if word == "FROM":
        raise QueryError("FROM is not allowed", "Queries read this store, which is one graph")


def _check_calls(text: str) -> None:
    """Refuse SERVICE, in whatever way the text is read."""
    if not _CALL.search(text):
        return
    for token in _tokens_of_all_readings(text):
        kind, found = token.lastgroup, token.group()
        if kind in ("word", "language"):
            calls = bool(_CALL.search(found))
        elif kind == "name":  # SERVICE:a, 1.SERVICE:a and b:.SERVICE call; b:service is a name
            prefix = found.partition(":")[0]
            calls = bool(_CALL.search(prefix)) or ".service" in found.lower()
        else:
            continue
        if calls:
            raise QueryError(
                "SERVICE is not allowed, nor in the name of a prefix",
                "Queries read this store and nothing else",
            )


def _tokens_of_all_readings(text: str) -> Iterator[re.Match[str]]:
    """Yield what can be a token: where two may begin, both are read on from, until they meet."""
    starts, seen = [0], set[int]()
    while starts:
        position = starts.pop()
        while position < len(text) and position not in seen:
            seen.add(position)
            token = TOKENS.match(text, position)
            assert token is not None  # whatever is nothing else is `other`
            yield token
            if token.lastgroup == "iri" and _may_compare(token.group()):
                starts.append(position + 1)
            position = token.end()


def _may_compare(iri: str) -> bool:
    """Tell whether ``<`` may be an operator here, and what follows hold a string or a comment.

    No expression goes on as ``a://`` does; and without either, nothing in it can be SERVICE, whose
    braces no IRI has.
    """
    return ("'" in iri or "#" in iri) and not re.match(r"<[\w.+-]+://", iri)


def _character(found: re.Match[str]) -> str:
    code = int(found.group()[2:], 16)
    return chr(code) if code <= 0x10FFFF else "?"
