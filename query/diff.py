"""How two runs differ: settings, data, code, environment, results and structure."""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import Any

import click

from .tables import print_table, short
from .tree import one_line

Run = dict[str, Any]
Facts = dict[str, Any]
"""Name to value, of one run and one aspect."""

MAX_ROWS = 20
COLUMNS = ["aspect", "name", "first", "second", "how"]
CODE = (
    "program",
    "git_commit",
    "git_dirty",
    "git_branch",
    "git_remote",
    "git_diff",
    "git_unknown",
    "git_untracked",
    "version",
)
"""Facts that tell the code; all others tell the environment."""


def compare(first: Run, second: Run, *, every: bool = False) -> list[dict[str, Any]]:
    """Return a row for each difference: aspect, name, the two values, and how they relate.

    Args:
        every: Also what is the same.

    `how` is ``same``, ``other``, ``only first`` or ``only second``; for data also ``same content``:
    another version that holds the same.
    """
    rows = []
    for aspect, facts in _ASPECTS.items():
        rows += _aspect(aspect, facts(first), facts(second))
    rows += _data(first, second)
    order = list(_ORDER)
    rows.sort(key=lambda row: order.index(row["aspect"]))
    return [row for row in rows if every or row["how"] != "same"]


_ORDER = ("settings", "data", "code", "environment", "results", "structure")


def print_differences(rows: list[dict[str, Any]]) -> None:
    """Print a table with at most `MAX_ROWS` rows of each aspect."""
    shown, left_out = [], 0
    for _, some in itertools.groupby(rows, key=lambda row: str(row["aspect"])):
        found = list(some)
        shown += found[:MAX_ROWS]
        left_out += len(found[MAX_ROWS:])
    made = [
        {k: one_line(v, 60) if isinstance(v, str) else v for k, v in row.items()} for row in shown
    ]
    print_table(made, COLUMNS)
    if left_out:
        click.echo(f"and {left_out:,} more (--format json has all)")


def _aspect(aspect: str, first: Facts, second: Facts) -> list[dict[str, Any]]:
    rows = []
    for name in sorted(first.keys() | second.keys()):
        a, b = first.get(name), second.get(name)
        how = (
            "only first" if name not in second else "only second" if name not in first else "other"
        )
        how = "same" if a == b else how
        rows.append({"aspect": aspect, "name": name, "first": a, "second": b, "how": how})
    return rows


def _settings(run: Run) -> Facts:
    found = {}
    for row in run["settings"]:
        changes = [f"{change['value']} at {change['step']}" for change in row["adapted"]]
        found[f"{row['plan']}.{row['name']}"] = " → ".join([row["value"], *changes])
    return found


def _code(run: Run) -> Facts:
    return {"program": run["program"], **{k: v for k, v in run["facts"].items() if k in CODE}}


def _environment(run: Run) -> Facts:
    hosts = ", ".join(sorted(row["host"] for row in run["where"]))
    facts = {k: v for k, v in run["facts"].items() if k not in CODE}
    return {**facts, "hosts": hosts, "ranks": run["ranks"]}


def _results(run: Run) -> Facts:
    """Return the values of evaluations and validations, the last ones, and how series ended."""
    found: Facts = {
        f"{row['plan']}.{row['name']}": row["last"]
        for row in run["results"]
        if row["kind"] in ("evaluation", "validation", "training")
    }
    for row in run["series"]:
        if row["last"] is not None:
            found[f"{row['name']} (last)"] = row["last"]
    return {**found, "state": run["state"]}


def _structure(run: Run) -> Facts:
    return {
        " ".join(dict.fromkeys((row["kind"], row["name"]))): row["executions"]
        for row in run["stages"]
    }


_ASPECTS = {
    "settings": _settings,
    "code": _code,
    "environment": _environment,
    "results": _results,
    "structure": _structure,
}


def _data(first: Run, second: Run) -> list[dict[str, Any]]:
    """Compare what was used, by role: same version, same content, or other."""
    mine, theirs = _used(first), _used(second)
    rows = []
    for role in sorted(mine.keys() | theirs.keys()):
        a, b = mine.get(role, {}), theirs.get(role, {})
        rows += [_datum(role, a[each], b[each], "same") for each in a.keys() & b.keys()]
        left = [row for each, row in a.items() if each not in b]
        right = [row for each, row in b.items() if each not in a]
        for row in left:
            match, how = _match(row, right)
            if match is not None:
                right.remove(match)
            rows.append(_datum(role, row, match, how))
        rows += [_datum(role, None, row, "only second") for row in right]
    return sorted(rows, key=lambda row: (row["name"], str(row["first"]), str(row["second"])))


def _used(run: Run) -> dict[str, dict[str, Any]]:
    """Return what a run used and did not itself generate, by role."""
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    rows = (*run["files"], *run["models"], *run["data_sets"])
    own = {row["id"] for row in rows if row["how"] == "generated"}
    for row in rows:
        if row["how"] == "used" and row["id"] not in own:
            found[row["role"]][row["id"]] = row
    return found


def _match(row: Facts, others: list[Facts]) -> tuple[Facts | None, str]:
    """Return the one that holds the same, else one of the same name or the only one."""
    for other in others:
        if row.get("digest") and row["digest"] == other.get("digest"):
            return other, "same content"
    for other in others:
        if row["name"] == other["name"]:
            return other, "other"
    return (others[0], "other") if len(others) == 1 else (None, "only first")


def _datum(role: str, first: Facts | None, second: Facts | None, how: str) -> dict[str, Any]:
    return {
        "aspect": "data",
        "name": role,
        "first": _shown(first),
        "second": _shown(second),
        "how": how,
    }


def _shown(row: Facts | None) -> str | None:
    if row is None:
        return None
    text = row.get("path") or row["name"] or row["id"]
    return f"{text} ({row['version'] or short(row['id']).partition('/')[2]})"
