"""With which software a run was made, from its facts.

A fact is stored as ``name=value`` of the run and, since several nodes or attempts may say another
value of the same name, as a thing of its own with the nodes that said so.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from .executions import Reader

Row = dict[str, Any]

PACKAGE = "package."
NAMES = (
    "python", "python_implementation", "python_executable", "python_prefix", "conda", "virtualenv",
    "modules", "container", "environment_file", "command", "script", "script_digest",
    "program_path", "working_folder", "git_commit", "git_dirty", "git_unknown", "git_branch",
    "git_remote", "git_diff", "version",
)  # fmt: skip
"""Facts that tell interpreter, command and code, in the order in which they are shown."""


def merged(texts: Iterable[str]) -> dict[str, str]:
    """Return facts by name; of one that was told differently, all values."""
    values: dict[str, set[str]] = defaultdict(set)
    for text in texts:
        name, _, value = text.partition("=")
        values[name].add(value)
    return {name: "; ".join(sorted(values[name])) for name in sorted(values)}


def software(facts: Mapping[str, str]) -> list[Row]:
    """Return what is known of interpreter, command and code: name and value."""
    return [{"name": name, "value": facts[name]} for name in NAMES if facts.get(name)]


def packages(facts: Mapping[str, str]) -> dict[str, str]:
    """Return the versions of packages, by name."""
    return {
        name.removeprefix(PACKAGE): version
        for name, version in facts.items()
        if name.startswith(PACKAGE)
    }


def facts_by_node(read: Reader) -> list[Row]:
    """Return facts that nodes tell differently, each value with the nodes that tell it."""
    ids = read.back("sprov:run", [read.run], "fact")
    name, value = read.known(ids, "rdfs:label"), read.known(ids, "prov:value")
    places = read.pairs(ids, "prov:atLocation")
    host = read.known({place for _, place in places}, "rdfs:label")
    nodes: dict[str, set[str]] = defaultdict(set)
    for fact, place in places:
        nodes[fact].add(host.get(place, place))
    told = Counter(name.values())
    rows = [
        {"name": name[each], "value": value.get(each), "nodes": ", ".join(sorted(nodes[each]))}
        for each in name
        if told[name[each]] > 1
    ]
    return sorted(rows, key=lambda row: (row["name"], row["nodes"], row["value"]))
