"""The table of launchers is the documentation of it."""

from __future__ import annotations

from pathlib import Path

from pllib.launchers import LAUNCHERS

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "identity.md"


def table() -> list[str]:
    rows = [
        "| launcher | tells rank and size by | its ranks have in common | why here |",
        "|---|---|---|---|",
    ]
    return [*rows, *(f"| {r.name} | {r.told_by} | {r.in_common} | {r.reason} |" for r in LAUNCHERS)]


def test_the_page_has_the_table_of_the_code():
    lines = PAGE.read_text().splitlines()
    start = lines.index(table()[0])
    assert lines[start : start + len(table()) + 1] == [*table(), ""]


def test_each_row_has_a_name_of_its_own_and_a_reason():
    assert len({row.name for row in LAUNCHERS}) == len(LAUNCHERS)
    assert all(row.reason and row.told_by and row.in_common for row in LAUNCHERS)
