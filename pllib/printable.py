"""Text that a program chose, as text that a terminal shows and does not obey."""

from __future__ import annotations

import re

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_OBEYED = re.compile(
    "\r(?!\n)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
    "\ud800-\udfff]"
)
"""Control characters of C0 and C1 but tabs and ends of lines; what turns the direction of the text
that follows (Bidi_Control of Unicode) or ends a line; lone surrogates, which can't be encoded."""


def printable(text: str) -> str:
    """Return text in which each character that would be obeyed, not shown, is replaced."""
    return text if text.isprintable() else _OBEYED.sub(REPLACEMENT, text)


def one_line(text: str) -> str:
    """Return text as a line of words, which no name in it breaks in two."""
    return printable(" ".join(text.split()))
