"""What an import may put into the store: N-Triples, checked one by one.

`sprov import` refuses with a reason and a line; this is the manager's own guard, since a journal
may come from anywhere.  One wrong triple would stop a commit, a forged watermark would make the
store skip records, and a forged name of a series file would have a query read that file.
"""

from __future__ import annotations

from collections import Counter

import pyoxigraph as ox

from pllib.identity import ID_BASE

from .vocabulary import PREFIXES

NOT_NTRIPLES = "not N-Triples"
BLANK_NODE = "blank node"
TRIPLE_TERM = "triple term"
CONTROL = "reserved for the store"

CONTROL_TERMS = frozenset(
    f"{PREFIXES['sprov']}{name}"
    for name in ("watermark", "journal", "seriesFile", "supersededFile")
)
CONTROL_NODES = f"{ID_BASE}queue/"


def accept(triples: bytes) -> tuple[list[str], dict[str, int]]:
    """Return the lines of `triples` that may be loaded, and how many were dropped, by reason.

    A line comes out as Oxigraph writes it, so that what was accepted can be loaded.
    """
    lines: list[str] = []
    dropped: Counter[str] = Counter()
    for quad in _parse(triples, dropped):
        reason = refusal(quad)
        if reason is None:
            lines.append(f"{quad.subject} {quad.predicate} {quad.object} .\n")
        else:
            dropped[reason] += 1
    return lines, dict(dropped)


def refusal(triple: ox.Quad | ox.Triple) -> str | None:
    """Return why a triple may not be loaded, or None."""
    subject, obj = triple.subject, triple.object
    if isinstance(subject, ox.BlankNode) or isinstance(obj, ox.BlankNode):
        return BLANK_NODE
    if isinstance(subject, ox.Triple) or isinstance(obj, ox.Triple):
        return TRIPLE_TERM
    nodes = [node.value for node in (subject, obj) if isinstance(node, ox.NamedNode)]
    if triple.predicate.value in CONTROL_TERMS or any(
        node.startswith(CONTROL_NODES) for node in nodes
    ):
        return CONTROL
    return None


def _parse(triples: bytes, dropped: Counter[str]) -> list[ox.Quad]:
    """Parse all at once, or line by line if that fails: a bad line costs itself alone."""
    try:
        return list(ox.parse(input=triples, format=ox.RdfFormat.N_TRIPLES))
    except (SyntaxError, ValueError):
        pass
    found: list[ox.Quad] = []
    for line in triples.split(b"\n"):
        try:
            found.extend(ox.parse(input=line, format=ox.RdfFormat.N_TRIPLES))
        except (SyntaxError, ValueError):
            dropped[NOT_NTRIPLES] += 1
    return found
