"""Tables of many rows are printed as those of few."""

from __future__ import annotations

import csv
import io

import pyoxigraph as ox
import pytest
from rich.console import Console

from manager.store.answer import answer
from query.cli import _readable
from query.shown import _left_out
from query.tables import MAX_FITTED, make_table, plain_lines, print_rows, print_table

ROWS = [
    {"name": "lr", "value": 0.1, "note": None},
    {"name": "schicht größe", "value": 64, "note": "two\nlines"},
    {"name": "名前", "value": 3, "note": "\x1b[31mred"},
]
COLUMNS = ["name", "value", "note"]


ODD_CELLS = [
    "=1+1", "+1", "-1", "-x", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "a\rb", '"', ",", "'", "'=1",
    " =1", "",
]  # fmt: skip


def test_csv_has_cells_as_they_are():
    """Also those that a spreadsheet would compute: programs read them."""
    output = io.StringIO()
    print_rows(
        [{"name": cell, "n": n - 3} for n, cell in enumerate(ODD_CELLS)],
        ["name", "n"],
        "csv",
        "",
        output,
    )
    lines = list(csv.reader(io.StringIO(output.getvalue(), newline="")))
    assert lines == [["name", "n"], *([cell, str(n - 3)] for n, cell in enumerate(ODD_CELLS))]


class Kept(io.BytesIO):
    def begin(self, media: str) -> None:
        assert media == "text/csv"


@pytest.mark.parametrize("cell", ODD_CELLS)
def test_csv_of_a_query_has_them_as_they_are(cell: str):
    reply = Kept()
    query = f"SELECT ?a ?b {{ VALUES (?a ?b) {{ ({ox.Literal(cell)} -1) }} }}"
    answer(ox.Store(), query, ["csv"], reply)
    lines = list(csv.reader(io.StringIO(reply.getvalue().decode(), newline="")))
    assert lines == [["a", "b"], [cell, "-1"]]


def test_a_long_table_has_a_row_a_line(capsys):
    print_table([*ROWS, *({"name": f"n{n}", "value": n} for n in range(MAX_FITTED))], COLUMNS)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(ROWS) + MAX_FITTED + 4
    assert lines[1].split() == COLUMNS
    assert "\x1b" not in "".join(lines)


def test_it_is_laid_out_as_a_short_one(capsys):
    rows = [{"name": row["name"], "value": row["value"], "note": "x"} for row in ROWS]
    print_table(rows, COLUMNS)
    fitted = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    plain = [*plain_lines(rows, COLUMNS)]
    assert [line for line in plain if "─" not in line] == [
        line for line in fitted if "─" not in line
    ]


def test_runs_fit_80_columns_with_ids_and_dates_whole():
    run = {
        "run": "https://w3id.org/sprov/id/run/9c390809dcd3fc2ca30ef6316fdfc9a8",
        "study": "digits", "experiment": "mlp", "ranks": 4, "ranks_seen": 4,
        "started": "2026-11-30T23:07:00.034865Z", "ended": "2026-11-30T23:09:01.083821Z",
        "state": "completed",
    }  # fmt: skip
    next_day = {**run, "ended": "2026-12-01T00:09:01Z", "ranks_seen": 3}
    running = {**run, "ended": None, "state": "running"}
    columns = ["run", "study", "experiment", "ranks", "started", "ended", "state"]
    rows = [_readable(each) for each in (run, next_day, running)]
    console = Console(width=80, highlight=False, markup=False)
    with console.capture() as printed:
        console.print(make_table(rows, columns, width=console.width))
    lines = printed.get().splitlines()
    assert max(map(len, lines)) == 80
    words = [line.split() for line in lines if "run/9c390809" in line]
    assert ["2026-11-30" in each for each in words] == [True] * 3
    assert [row["ended"] for row in rows] == ["23:09:01", "12-01 00:09:01", None]


def test_a_table_that_has_no_room_for_whole_words_loses_none():
    row = {f"column{n}": f"word{n:02}" * 2 for n in range(10)}
    console = Console(width=60, highlight=False, markup=False)
    with console.capture() as printed:
        console.print(make_table([row], [*row], width=console.width))
    text = "".join(printed.get().split())
    assert sorted(text.replace("─", "")) == sorted("".join([*row, *row.values()]))


def test_what_a_command_left_unseen_is_said_in_words():
    said = list(_left_out({"files_not_listed": "1566", "folders_not_watched": "none: too many"}))
    assert said == [
        "up to 1566 files: the command opened more than are listed",
        "files written in folders that were not watched: none: too many",
    ]
    assert list(_left_out({"git_dirty": "1"})) == []
