"""A site's own patterns of secrets: regular expressions that end in time, or are refused."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

from .errors import SettingsError

PIECE = 4096
"""Characters of a text that a site's pattern is shown at a time, holding the interpreter lock."""
OVERLAP = 1024
"""Characters of a piece that are in the next, too: no secret is longer."""
LONG, MOST_WAYS = 256, 1 << 16
"""How much longer a repetition of several characters may be; ways of all repetitions together."""
ONE_CHARACTER = {"LITERAL", "NOT_LITERAL", "IN", "ANY"}


def _endless(tree: Any) -> str:
    """Return why matching a parsed regular expression may take for ever; empty if it does not."""
    n_ways = 1
    for _, least, most, body in _repeats(tree):
        is_simple = len(body) == 1 and str(body[0][0]) in ONE_CHARACTER
        if most > 1 and not is_simple and (most - least > LONG or _may_differ(body)):
            return "repeats a repetition or a choice"
        n_ways *= min(most - least, PIECE) + 1
    return "has too many repetitions without a bound" if n_ways > MOST_WAYS else ""


def _repeats(tree: Any) -> Iterator[tuple[str, int, int, Any]]:
    for operation, argument in tree:
        if str(operation).endswith("_REPEAT"):
            yield str(operation), *argument
        for part in _parts(argument):
            yield from _repeats(part)


def _may_differ(tree: Any) -> bool:
    """Tell whether one text can be matched in several ways."""
    return any(least != most for _, least, most, _ in _repeats(tree)) or any(
        str(operation) == "BRANCH" or any(map(_may_differ, _parts(argument)))
        for operation, argument in tree
    )


def _parts(argument: Any) -> Iterator[Any]:
    if type(argument).__name__ == "SubPattern":
        yield argument
    elif isinstance(argument, tuple | list):
        for each in argument:
            yield from _parts(each)


def _parse(regex: str) -> Any:
    """Return the tree of a regular expression, by the parser that `re` keeps to itself.

    Raises:
        ImportError: This Python has none where 3.10 (`sre_parse`) or 3.11 to 3.14 have it.
    """
    try:
        from re import _parser  # type: ignore[attr-defined]
    except ImportError:
        import sre_parse as _parser
    return _parser.parse(regex)


def compiled(name: str, regex: str) -> re.Pattern[str]:
    """Compile a site's pattern.

    Raises:
        SettingsError: It is none, may take for ever, or matches nothing at all.
    """
    where = f"the pattern {name!r} in [redaction]"
    if not re.fullmatch(r"[\w-]{1,40}", name):
        raise SettingsError(f"{where} has no usable name", "Letters, digits, - and _, at most 40")
    try:
        found = re.compile(regex)
    except (re.error, RecursionError, OverflowError) as exc:
        raise SettingsError(f"{where} is no regular expression: {exc}") from None
    try:
        trouble = _endless(_parse(regex))
    except ImportError:
        version = ".".join(map(str, sys.version_info[:2]))
        raise SettingsError(
            f"{where} can't be checked for how long it may take on Python {version}",
            "Use Python 3.10 to 3.14, or put the names of such values under `names`",
        ) from None
    if trouble:
        raise SettingsError(f"{where} {trouble}", "It could take for ever; write it without")
    if found.search("") is not None:
        raise SettingsError(f"{where} matches an empty text")
    return found
