"""Where the nodes of a picture go: layers from left to right, causes before effects.

Source: the layered method (Sugiyama, Tagawa, Toda 1981): break cycles, put each node in the layer
after its last cause, pass long edges through the layers between, and order each layer by the mean
position of neighbours.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

SWEEPS = 8
Arrow = tuple[str, str]
"""From cause to effect."""


@dataclass
class Layout:
    place: dict[str, tuple[int, float]]
    """Node to layer and to row in it; rows are centred on 0."""
    routes: dict[Arrow, list[tuple[int, float]]]
    """Arrow to the places that it passes through, ends included."""
    n_layers: int
    n_rows: float


def layered(nodes: Iterable[str], arrows: Iterable[Arrow]) -> Layout:
    """Lay out a graph; cycles are drawn with an arrow that goes back."""
    known = list(nodes)
    wanted = [arrow for arrow in arrows if arrow[0] != arrow[1]]
    layer = _layers(known, _forward(known, wanted))
    chains = {arrow: _chain(arrow, layer) for arrow in wanted}
    rows: dict[int, list[str]] = defaultdict(list)
    for node in known:
        rows[layer[node]].append(node)
    for chain in chains.values():
        for node in chain[1:-1]:
            if node not in layer:
                layer[node] = int(node.rpartition(_VIA)[2])
                rows[layer[node]].append(node)
    _order(rows, chains.values())
    place = {
        node: (at, nth - (len(row) - 1) / 2)
        for at, row in rows.items()
        for nth, node in enumerate(row)
    }
    return Layout(
        {node: place[node] for node in known},
        {arrow: [place[node] for node in chain] for arrow, chain in chains.items()},
        max(layer.values(), default=0) + 1,
        max((len(row) for row in rows.values()), default=1),
    )


_VIA = "\0"


def _chain(arrow: Arrow, layer: dict[str, int]) -> list[str]:
    """Return the ends of an arrow, and a stand-in for each layer between."""
    start, end = layer[arrow[0]], layer[arrow[1]]
    step = 1 if end > start else -1
    between = [f"{arrow[0]}{_VIA}{arrow[1]}{_VIA}{at}" for at in range(start + step, end, step)]
    return [arrow[0], *between, arrow[1]]


def _forward(nodes: list[str], arrows: list[Arrow]) -> dict[str, list[str]]:
    """Return each node's effects, without the arrows that would close a cycle."""
    effects: dict[str, list[str]] = defaultdict(list)
    for cause, effect in arrows:
        effects[cause].append(effect)
    kept: dict[str, list[str]] = defaultdict(list)
    state: dict[str, int] = {}
    for root in nodes:
        if root in state:
            continue
        state[root] = 1
        stack = [(root, iter(effects[root]))]
        while stack:
            node, rest = stack[-1]
            for effect in rest:
                if state.get(effect) == 1:
                    continue
                kept[node].append(effect)
                if effect not in state:
                    state[effect] = 1
                    stack.append((effect, iter(effects[effect])))
                    break
            else:
                state[node] = 2
                stack.pop()
    return kept


def _layers(nodes: list[str], effects: dict[str, list[str]]) -> dict[str, int]:
    """Put each node one layer after its last cause, and sources right before their first effect."""
    waiting: dict[str, int] = dict.fromkeys(nodes, 0)
    for node in nodes:
        for effect in effects.get(node, ()):
            waiting[effect] += 1
    layer = dict.fromkeys(nodes, 0)
    ready = [node for node in nodes if not waiting[node]]
    sources = list(ready)
    while ready:
        node = ready.pop()
        for effect in effects.get(node, ()):
            layer[effect] = max(layer[effect], layer[node] + 1)
            waiting[effect] -= 1
            if not waiting[effect]:
                ready.append(effect)
    for node in sources:
        if effects.get(node):
            layer[node] = min(layer[effect] for effect in effects[node]) - 1
    return layer


def _order(rows: dict[int, list[str]], chains: Iterable[list[str]]) -> None:
    """Sort each layer by the mean place of its nodes' neighbours, back and forth."""
    before: dict[str, list[str]] = defaultdict(list)
    after: dict[str, list[str]] = defaultdict(list)
    for chain in chains:
        for left, right in pairwise(chain):
            after[left].append(right)
            before[right].append(left)
    for sweep in range(SWEEPS):
        neighbours = after if sweep % 2 else before
        for at in sorted(rows, reverse=bool(sweep % 2)):
            place = {
                node: nth - len(row) / 2 for row in rows.values() for nth, node in enumerate(row)
            }
            mean = {
                node: sum(place[n] for n in neighbours[node]) / len(neighbours[node])
                if neighbours[node]
                else place[node]
                for node in rows[at]
            }
            rows[at].sort(key=lambda node: mean[node])
