"""No thing comes from itself, in whatever goes out.

A derivation is stored by what one transformation said.  Several may contradict each other: one says
that it made a file which another had used to make the first one's input, as a file that was put
back as it was, or a data set that is known by its name alone.  PROV allows no such cycle
(PROV-CONSTRAINTS 42), and `sprov import` refuses one.  Nobody can tell which of its derivations is
wrong, so none of them goes out; usages and generations, from which lineage is read, do.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

from manager.vocabulary import DERIVED_FROM

from ..components import components

_DERIVED = f" {DERIVED_FROM} ".encode()


def acyclic(pieces: Iterable[bytes], tell: Callable[[int], object]) -> Iterator[bytes]:
    """Yield N-Triples without derivations that form a cycle; others come last.

    Args:
        pieces: N-Triples, cut between lines.
        tell: Is told how many were left out, if any were.
    """
    sources: dict[bytes, set[bytes]] = defaultdict(set)
    for piece in pieces:
        if _DERIVED not in piece:
            yield piece
            continue
        kept = []
        for line in piece.splitlines(keepends=True):
            derived, is_one, source = line.partition(_DERIVED)
            if is_one and derived.startswith(b"<") and b" " not in derived:
                sources[derived].add(source[:-3])
            else:
                kept.append(line)
        yield b"".join(kept)
    yield from _without_cycles(sources, tell)


def _without_cycles(
    sources: dict[bytes, set[bytes]], tell: Callable[[int], object]
) -> Iterator[bytes]:
    number = {node: nth for nth, component in enumerate(components(sources)) for node in component}
    n_left_out = 0
    for derived, those in sorted(sources.items()):
        kept = [source for source in sorted(those) if number[source] != number[derived]]
        n_left_out += len(those) - len(kept)
        yield b"".join(b"%b%b%b .\n" % (derived, _DERIVED, source) for source in kept)
    if n_left_out:
        tell(n_left_out)
