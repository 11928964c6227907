"""What was found, and how it is told."""

from __future__ import annotations

import textwrap
from collections import defaultdict
from collections.abc import Iterable

import msgspec

from pllib.errors import Error

from ..nodes import fold

OK, WARN, FAIL, SKIP = "ok", "warn", "fail", "skip"
STATES = (OK, WARN, FAIL, SKIP)
SIGNS = {OK: "✓", WARN: "!", FAIL: "✗", SKIP: "-"}
NAME_WIDTH = 16


class Finding(msgspec.Struct, frozen=True):
    check: str
    status: str
    """ok; warn: it works, worse than it could; fail: something will not work; skip: not tried."""
    found: str
    advice: str = ""
    """What to do about it."""
    nodes: str = ""
    """Where, as a list of nodes; empty for here, and for all that is not of a node."""


def said(exc: Error) -> str:
    """Return what an error says, without its hint: it may be to call the doctor."""
    return str(exc.args[0])


def bad(findings: Iterable[Finding]) -> bool:
    return any(finding.status == FAIL for finding in findings)


def lines(findings: Iterable[Finding], *, signs: bool, width: int = 80) -> list[str]:
    """Return the report as text, each line at most `width` wide unless a word is longer."""
    told: list[str] = []
    for finding in findings:
        mark = SIGNS[finding.status] if signs else f"{finding.status:<4}"
        head = f"{mark} {finding.check:<{NAME_WIDTH}} "
        indent = " " * len(head)
        where = f"{finding.nodes}: " if finding.nodes else ""
        told += _wrapped(where + finding.found, head, indent, width)
        if finding.advice:
            told += _wrapped(finding.advice, f"{indent}-> ", f"{indent}   ", width)
    return told


def _wrapped(text: str, head: str, indent: str, width: int) -> list[str]:
    return textwrap.wrap(
        text or "-", width, initial_indent=head, subsequent_indent=indent,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def summary(findings: Iterable[Finding]) -> str:
    counts: dict[str, int] = defaultdict(int)
    for finding in findings:
        counts[finding.status] += 1
    words = {OK: "in order", WARN: "to look at", FAIL: "wrong", SKIP: "not tried"}
    return ", ".join(f"{counts[state]} {words[state]}" for state in STATES if counts[state])


def merged(by_node: dict[str, list[Finding]]) -> list[Finding]:
    """Return findings of several nodes as one list; what nodes have in common is said once."""
    nodes: dict[Finding, list[str]] = defaultdict(list)
    for node, findings in by_node.items():
        for finding in findings:
            nodes[finding].append(node)
    return [
        msgspec.structs.replace(finding, nodes=fold(sorted(names)))
        for finding, names in nodes.items()
    ]


def news(findings: Iterable[Finding], known: Iterable[Finding]) -> list[Finding]:
    """Return findings without those of nodes that say what is known already of this host."""
    told = set(known)
    return [
        finding for finding in findings if msgspec.structs.replace(finding, nodes="") not in told
    ]
