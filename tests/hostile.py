"""Strings that are easy to get wrong in text of any kind, and how to tell that text was not."""

from __future__ import annotations

import random
import re

FRAGMENTS = [
    '"', "'", '"""', "'''", "\\", "\\\\u0041", "\n", "\r\n", "\t", "\x00", "\x07", "\x1b[2J",
    "\x1b]0;title\x07", "\x9b31m", "\u202e", "\u2028", "\ufeff", "\uffff", "\U0001f600",
    "<", ">", "> . <x:y> <x:z> .", "&amp;", "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>", "javascript:alert(1)", "]]>", "--><!--", "${HOME}", "$(id)",
    "`id`", "; id #", "| id", "%0a", "%s", "{0}", "{{7*7}}", "../../etc/passwd", "/", "~", "*",
    "?x", "} ; DROP ALL #", '" } INSERT DATA { <x:a> <x:b> <x:c> } #', "_:b0", "@en", "^^xsd:int",
    "=1+1", "@last", "-o", "--help", "[label=evil]", "\\N", "\\G", "-- ", "/*", "*/", ",", ";", ":",
    "ünï©ödé", "名前", " ", "x",
]  # fmt: skip

NOT_PRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Control characters but tab and line feed: what drives a terminal."""


def hostile_strings(count: int, seed: int) -> list[str]:
    """Return strings made of one to four fragments: every fragment alone first."""
    draw = random.Random(seed)
    made = list(FRAGMENTS)
    while len(made) < count:
        made.append("".join(draw.choices(FRAGMENTS, k=draw.randint(2, 4))))
    return made[:count]
