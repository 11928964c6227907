"""Tables of many rows are printed as those of few."""

from __future__ import annotations

from query.tables import MAX_FITTED, plain_lines, print_table

ROWS = [
    {"name": "lr", "value": 0.1, "note": None},
    {"name": "schicht größe", "value": 64, "note": "two\nlines"},
    {"name": "名前", "value": 3, "note": "\x1b[31mred"},
]
COLUMNS = ["name", "value", "note"]


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
