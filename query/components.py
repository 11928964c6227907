"""Which nodes of a graph lead to each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar

Node = TypeVar("Node", str, bytes)


def components(links: Mapping[Node, set[Node]]) -> Iterator[list[Node]]:
    """Yield strongly connected components: Tarjan's algorithm, with a stack of its own."""
    index: dict[Node, int] = {}
    low: dict[Node, int] = {}
    path: list[Node] = []
    on_path: set[Node] = set()
    for root in list(links):
        if root in index:
            continue
        work = [(root, iter(sorted(links[root])))]
        index[root] = low[root] = len(index)
        path.append(root)
        on_path.add(root)
        while work:
            node, rest = work[-1]
            following = next(rest, None)
            if following is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    component: list[Node] = []
                    while not component or component[-1] != node:
                        component.append(path.pop())
                    on_path.difference_update(component)
                    yield component
            elif following not in index:
                index[following] = low[following] = len(index)
                path.append(following)
                on_path.add(following)
                work.append((following, iter(sorted(links.get(following, ())))))
            elif following in on_path:
                low[node] = min(low[node], index[following])
