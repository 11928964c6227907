"""Write lineages in the format that was asked for."""

from __future__ import annotations

import itertools
import shutil
import sys
from pathlib import Path
from typing import TextIO

import click
import msgspec

from manager.store.described import Lineage
from pllib import jsontext

from .lineage import view
from .tree import Tree

MAX_LINES = 1000


def write(traced: list[Lineage], form: str, output: TextIO, *, settings: bool = False) -> None:
    """Write one lineage, or one up and one down.

    Args:
        form: ``tree``, ``dot``, ``svg``, ``html`` or ``json``.
    """
    if form == "json":
        data = traced[0] if len(traced) == 1 else traced
        output.write(f"{jsontext.dumps(msgspec.to_builtins(data))}\n")
    elif form == "tree":
        for one in traced:
            _write_tree(one, output, settings=settings)
    else:
        from .picture import dot, html, svg

        output.write({"dot": dot, "svg": svg, "html": html}[form](view(traced)))


def _write_tree(one: Lineage, output: TextIO, *, settings: bool) -> None:
    shown = view([one])
    tree = Tree(shown, one.direction, Path.cwd(), settings=settings)
    width = shutil.get_terminal_size().columns if output is sys.stdout and output.isatty() else None
    lines = tree.lines()
    for line in itertools.islice(lines, MAX_LINES):
        cut = line if width is None or len(line) <= width else line[: width - 1] + "…"
        click.echo(cut, file=output)
    rest = sum(1 for _ in lines)
    if rest:
        click.echo(f"and {rest:,} more lines (lower --depth, or --format html)", file=output)
    if tree.n_cut:
        click.echo(f"{tree.n_cut:,} branches go deeper than a tree shows", file=output)
    if shown.n_more:
        click.echo(f"and {shown.n_more:,} more files and values (raise --limit)", file=output)
