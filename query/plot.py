"""Curves of series: in the terminal by plotext, in a file by matplotlib.

A curve is the mean over ranks at each step; a band shows the least and the most of them.  Points
that are not finite leave a gap, and are counted in the legend.
"""

from __future__ import annotations

import math
import os
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pllib.errors import QueryError
from pllib.terminal import styled

from .tree import one_line

if TYPE_CHECKING:
    import pyarrow as pa

MAX_POINTS = 2_000
"""Steps drawn of a curve; a longer one is drawn by every n-th."""


@dataclass
class Curve:
    name: str
    steps: list[float] = field(default_factory=list)
    mean: list[float] = field(default_factory=list)
    """NaN where a point of any rank is not finite."""
    least: list[float] = field(default_factory=list)
    most: list[float] = field(default_factory=list)
    n_ranks: int = 1
    n_gaps: int = 0
    """Points that are not finite."""

    @property
    def label(self) -> str:
        ranks = f" (mean of {self.n_ranks} ranks)" if self.n_ranks > 1 else ""
        return f"{self.name}{ranks}" + (f", {self.n_gaps} not finite" if self.n_gaps else "")


def curves(points: pa.Table) -> list[Curve]:
    """Return a curve for each series, by name.

    Args:
        points: Columns name, rank, step and value.  Points without a step are numbered in order.
    """
    import pyarrow.compute as pc

    found = []
    for name in sorted(pc.unique(points["name"]).to_pylist()):
        mine = points.filter(pc.equal(points["name"], name))
        found.append(_curve(name, *(mine[c].to_pylist() for c in ("rank", "step", "value"))))
    return found


def _curve(name: str, ranks: list[int], steps: list[int | None], values: list[float]) -> Curve:
    at: dict[float, list[float]] = defaultdict(list)
    numbers: dict[int, int] = defaultdict(int)
    for rank, step, value in zip(ranks, steps, values, strict=True):
        at[float(numbers[rank] if step is None else step)].append(value)
        numbers[rank] += 1
    made = Curve(name, n_ranks=len(numbers))
    made.n_gaps = sum(not math.isfinite(value) for value in values)
    every = -(-len(at) // MAX_POINTS)
    for place in sorted(at)[::every]:
        there = at[place]
        finite = all(map(math.isfinite, there))
        made.steps.append(place)
        made.mean.append(sum(there) / len(there) if finite else math.nan)
        made.least.append(min(there) if finite else math.nan)
        made.most.append(max(there) if finite else math.nan)
    return made


def draw(points: pa.Table, run: dict[str, Any], picture: Path | None, *, terminal: bool) -> None:
    """Draw the series of a run.

    Raises:
        QueryError: There are none.
        ClickException: The extra `plot` is not installed.
    """
    found = curves(points)
    if not found:
        raise QueryError("there are no such series", "`sprov show` lists a run's series")
    if terminal:
        _in_terminal(found)
    if picture is not None:
        _in_file(found, str(run["name"] or run["run"].rpartition("/")[2][:8]), picture)


def _in_terminal(found: list[Curve]) -> None:
    try:
        import plotext  # type: ignore[import-untyped]
    except ModuleNotFoundError as exc:
        raise _missing(exc) from exc
    figure = plotext.figure
    figure.clear()
    width, height = _terminal()
    figure.plot_size(min(width, 120), min(height, 30))
    for curve in found:
        finite = [nth for nth, value in enumerate(curve.mean) if math.isfinite(value)]
        signal = figure.signal([curve.steps[n] for n in finite], [curve.mean[n] for n in finite])
        signal.lines()
        for place, nth in enumerate(finite):
            if place and finite[place - 1] != nth - 1:
                signal.line(place, False)
        signal.label(one_line(curve.label, 60))
        figure.draw(signal)
    figure.label("step")
    text = str(figure.build())
    text = text if sys.stdout.isatty() else plotext.uncolorize(text)
    click.echo(text, file=styled(sys.stdout))


def _terminal() -> tuple[int, int]:
    try:
        size = os.get_terminal_size()
    except OSError:  # piped
        return 100, 25
    return (size.columns, size.lines - 2) if size.columns else (100, 25)


def _in_file(found: list[Curve], title: str, picture: Path) -> None:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as exc:
        raise _missing(exc) from exc
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for curve in found:
        marker = "." if len(curve.steps) < 30 else ""
        (line,) = axes.plot(curve.steps, curve.mean, marker=marker, label=_plain(curve.label))
        if curve.n_ranks > 1:
            axes.fill_between(
                curve.steps, curve.least, curve.most, color=line.get_color(), alpha=0.2, lw=0
            )
    axes.set(xlabel="step", title=_plain(title))
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    try:
        figure.savefig(picture)
    except ValueError as exc:
        raise click.BadParameter(f"{picture.name}: {exc}", param_hint="-o") from exc


def _plain(text: str) -> str:
    """Return text in which matplotlib reads no mathematics, and a legend hides nothing."""
    return text.replace("$", r"\$").lstrip("_") or "series"


def _missing(exc: ModuleNotFoundError) -> click.ClickException:
    return click.ClickException(f"{exc.name} is not installed. Run: pip install 'sprov[plot]'")
