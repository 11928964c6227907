"""Rows for people and for programs: tables that fit, CSV, JSON."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any, Literal

from pllib import jsontext
from pllib.identity import ID_BASE

if TYPE_CHECKING:
    from rich.table import Table

Row = dict[str, Any]
MAX_FITTED = 500
"""Rows that rich fits to the terminal, at a millisecond each."""
WHOLE_WIDTH = 24
"""Longer words are folded, such as paths."""
FOLDED_WIDTH = 10
_NOT_PRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""What drives a terminal, or turns the direction of what follows."""


def print_rows(
    rows: Sequence[Row],
    columns: Sequence[str],
    form: str,
    title: str = "",
    output: IO[str] | None = None,
) -> None:
    """Print rows as ``table``, ``csv`` or ``json``.

    Args:
        output: Where to, if not to stdout; not for a table.
    """
    output = output or sys.stdout
    if form == "json":
        found = [{name: row.get(name) for name in columns} for row in rows]
        output.write(f"{jsontext.dumps(found)}\n")
    elif form == "csv":
        # Cells are as they are, with no apostrophe before what a spreadsheet would compute.
        writer = csv.writer(_Lines(output), lineterminator="\r\n")
        writer.writerow(columns)
        writer.writerows([row.get(name) for name in columns] for row in rows)
    else:
        print_table(rows, columns, title)


class _Lines:
    """Takes lines of CSV that end in CR and LF, and writes them with LF alone, as programs expect.

    csv (Python 3.11) quotes a cell with a CR only where that ends lines, too; readers take one
    without quotes for the end of a line.
    """

    def __init__(self, output: IO[str]) -> None:
        self._output = output

    def write(self, line: str) -> None:
        self._output.write(f"{line[:-2]}\n")


def print_table(rows: Sequence[Row], columns: Sequence[str], title: str = "") -> None:
    """Print a table as wide as the terminal, or as wide as it needs when piped."""
    if len(rows) > MAX_FITTED:
        for line in plain_lines(rows, columns, title):
            sys.stdout.write(f"{line}\n")
        return
    from .console import InertConsole

    console = InertConsole()
    console.print(make_table(rows, columns, title, console.width))


def plain_lines(rows: Sequence[Row], columns: Sequence[str], title: str = "") -> Iterator[str]:
    """Yield a table as `make_table` lays it out, but with each row on a line however long it is."""
    from rich.cells import cell_len

    cells = [[_on_a_line(_text(row.get(name))) for name in columns] for row in rows]
    is_right = [_is_numeric(rows, name) for name in columns]
    widths = [max(map(cell_len, column)) for column in zip(columns, *cells, strict=True)]

    def laid_out(line: Sequence[str]) -> str:
        padding = [" " * (w - cell_len(cell)) for cell, w in zip(line, widths, strict=True)]
        padded = [
            space + cell if right else cell + space
            for cell, space, right in zip(line, padding, is_right, strict=True)
        ]
        return f" {'   '.join(padded)}".rstrip()

    yield from [title] if title else []
    yield ""
    yield laid_out(columns)
    yield "─" * (sum(widths) + 3 * len(widths))
    yield from map(laid_out, cells)
    yield ""


def _on_a_line(text: str) -> str:
    return " ".join(short(text).split("\n"))


def _is_numeric(rows: Sequence[Row], name: str) -> bool:
    return bool(rows) and all(isinstance(row.get(name), int | float | None) for row in rows)


def make_table(
    rows: Sequence[Row], columns: Sequence[str], title: str = "", width: int = 80
) -> Table:
    """Lay out a table that fits `width`, in which ids and names stay whole where there is room."""
    from rich import box
    from rich.table import Table

    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    cells = {name: [short(_text(row.get(name))) for row in rows] for name in columns}
    widths = _widths(cells, width)
    for name in columns:
        justify: Literal["left", "right"] = "right" if _is_numeric(rows, name) else "left"
        table.add_column(name, justify=justify, overflow="fold", max_width=widths.get(name))
    for row in zip(*cells.values(), strict=True):
        table.add_row(*row)
    return table


def _widths(cells: dict[str, list[str]], width: int) -> dict[str, int]:
    """Return widths with which words such as ids and dates stay whole; none if that can't be."""
    from rich.cells import cell_len

    most = {name: max(map(cell_len, [name, *texts])) for name, texts in cells.items()}
    widths = {}
    for name, texts in cells.items():
        words = [cell_len(word) for text in [name, *texts] for word in text.split()]
        longest = max(words, default=1)
        widths[name] = longest if longest <= WHOLE_WIDTH else FOLDED_WIDTH
    left = width - 2 - 3 * (len(cells) - 1) - sum(widths.values())
    if left < 0:
        return {}
    for nth, name in enumerate(sorted(cells, key=lambda name: most[name] - widths[name])):
        more = min(most[name] - widths[name], left // (len(cells) - nth))
        widths[name] += more
        left -= more
    return widths


def short(text: str) -> str:
    """Shorten an identity's IRI to kind and eight characters of its digest."""
    if not text.startswith(ID_BASE):
        return text
    kind, _, digest = text.removeprefix(ID_BASE).partition("/")
    return f"{kind}/{digest[:8]}"


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return _NOT_PRINTABLE.sub("\N{REPLACEMENT CHARACTER}", str(value))
