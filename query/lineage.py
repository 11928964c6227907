"""Lineage: what a file came from, or what it led to, as a tree of files and activities."""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from pllib.errors import QueryError

from .engine import Engine

_TARGETS = """
SELECT ?file ?path ?modified WHERE {{
  ?file sprov:path ?path ; sprov:modified ?modified FILTER(?path = {path} || STRENDS(?path, {end}))
}} ORDER BY DESC(?modified)
"""

# What the whole used, its parts used: an epoch that writes a checkpoint read the training's data.
_STEPS = {
    "up": """{entity} prov:wasGeneratedBy ?a .
        OPTIONAL {{
            ?a provml:isPartOf* ?whole . ?whole prov:used ?next . ?next sprov:path ?path
        }}""",
    "down": """?whole prov:used {entity} . ?a provml:isPartOf* ?whole .
        ?next prov:wasGeneratedBy ?a ; sprov:path ?path .""",
}

_STEP = """
SELECT DISTINCT ?a ?plan ?rank ?started ?run ?next ?path WHERE {{
  {step}
  ?a prov:qualifiedAssociation ?q ; prov:startedAtTime ?started .
  ?q prov:hadPlan/rdfs:label ?plan ; prov:agent ?agent .
  ?agent sprov:rank ?rank ; sprov:run ?run .
}} ORDER BY ?started ?path
"""


def find_target(engine: Engine, text: str) -> dict[str, str]:
    """Return the newest version of a file: by IRI, path, or the end of a path.

    Raises:
        QueryError: No record speaks of it.
    """
    if text.startswith("https://"):
        rows = engine.select(f"SELECT ?path {{ <{_iri(text)}> sprov:path ?path }}")
        if rows:
            return {"file": text, "path": rows[0]["path"]}
    path = os.path.abspath(text)  # noqa: PTH100  a name, not a file that must exist
    query = _TARGETS.format(path=_quote(path), end=_quote("/" + text.lstrip("/")))
    rows = engine.select(query)
    if not rows:
        raise QueryError(f"no record speaks of {text}", "`sprov show @last` lists a run's files")
    exact = [row for row in rows if row["path"] == path]
    return (exact or rows)[0]


def trace(engine: Engine, target: dict[str, str], direction: str, depth: int) -> dict[str, Any]:
    """Return a tree: a file with the activities that made (or used) it, and their files.

    Args:
        direction: ``up`` to what it came from, ``down`` to what it led to.
        depth: Steps at most; an activity counts as one.
    """
    return _trace(engine, target["file"], target["path"], direction, depth, set())


def _trace(
    engine: Engine, entity: str, path: str, direction: str, depth: int, seen: set[str]
) -> dict[str, Any]:
    node: dict[str, Any] = {"file": entity, "path": path, "activities": []}
    if depth == 0 or entity in seen:
        node["more"] = depth == 0
        return node
    seen.add(entity)
    step = _STEPS[direction].format(entity=f"<{_iri(entity)}>")
    by_activity: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in engine.select(_STEP.format(step=step)):
        by_activity[row["a"]].append(row)
    for activity, rows in by_activity.items():
        node["activities"].append(
            {
                "activity": activity,
                "plan": rows[0]["plan"],
                "rank": int(rows[0]["rank"]),
                "run": rows[0]["run"],
                "started": rows[0]["started"],
                "files": [
                    _trace(engine, row["next"], row["path"], direction, depth - 1, seen)
                    for row in rows
                    if "next" in row and row["next"] != entity
                ],
            }
        )
    return node


def _iri(text: str) -> str:
    if any(char in '<>"{}|^`\\' or char <= " " for char in text):
        raise QueryError(f"{text} is not an IRI")
    return text


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return '"' + escaped.replace("\r", "\\r") + '"'


def print_tree(tree: dict[str, Any], here: Path, *, up: bool) -> None:
    """Print a tree; paths below `here` are shortened."""
    from rich.console import Console
    from rich.tree import Tree

    def grow(branch: Tree, node: dict[str, Any]) -> None:
        for activity in _merged(node["activities"]):
            arrow = "<-" if up else "->"
            label = f"{arrow} {activity['plan']}  ({activity['where']}, {activity['started'][:19]})"
            sprout = branch.add(label)
            for file in activity["files"]:
                grow(sprout.add(_shown(file["path"], here)), file)
        if node.get("more"):
            branch.add("...")

    root = Tree(_shown(tree["path"], here))
    grow(root, tree)
    Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 160).print(root)


def _merged(activities: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return activities, those of several ranks that did the same with the same files as one."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for activity in activities:
        files = tuple(file["file"] for file in activity["files"])
        groups[activity["plan"], activity["run"], files].append(activity)
    return [
        {
            **max(group, key=lambda one: sum(len(f["activities"]) for f in one["files"])),
            "where": f"rank {group[0]['rank']}" if len(group) == 1 else f"{len(group)} ranks",
        }
        for group in groups.values()
    ]


def _shown(path: str, here: Path) -> str:
    return path.removeprefix(f"{here}/")
