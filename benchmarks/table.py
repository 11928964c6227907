"""The rows that figures give, and the table that they are printed in.

``--json`` prints rows as JSON, for `benchmarks.__main__` to gather; notes go to stderr.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import sys
from collections.abc import Callable, Iterable, Sequence

import msgspec

HEADINGS = ("figure", "measured", "floor", "ratio", "target", "met")


class Row(msgspec.Struct):
    """One figure; `judged` is the number that the target is for: the ratio, else the measured."""

    figure: str
    unit: str
    measured: float
    floor: float | None = None
    ratio: float | None = None
    at_most: float | None = None
    at_least: float | None = None

    @property
    def judged(self) -> float:
        return self.measured if self.ratio is None else self.ratio

    @property
    def met(self) -> bool | None:
        """None without a target."""
        if self.at_most is not None:
            return self.judged <= self.at_most
        return None if self.at_least is None else self.judged >= self.at_least

    def cells(self) -> tuple[str, ...]:
        return (
            self.figure,
            f"{_number(self.measured)} {self.unit}".rstrip(),
            "" if self.floor is None else f"{_number(self.floor)} {self.unit}".rstrip(),
            "" if self.ratio is None else f"{self.ratio:.2f}",
            self._target(),
            {None: "", True: "yes", False: "NO"}[self.met],
        )

    def _target(self) -> str:
        if self.at_most is not None:
            return f"<= {_number(self.at_most)}"
        return "" if self.at_least is None else f">= {_number(self.at_least)}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def compared(
    figure: str,
    unit: str,
    measured: float,
    floor: float,
    *,
    at_most: float | None = None,
    at_least: float | None = None,
) -> Row:
    """Return a row whose target is for measured over floor."""
    return Row(figure, unit, measured, floor, measured / floor, at_most, at_least)


def render(rows: Iterable[Row]) -> str:
    lines = [HEADINGS, *(row.cells() for row in rows)]
    widths = [max(len(line[nth]) for line in lines) for nth in range(len(HEADINGS))]
    lines.insert(1, tuple("-" * width for width in widths))
    return "\n".join(
        "  ".join(
            cell.ljust(width) if nth in (0, 5) else cell.rjust(width)
            for nth, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def machine() -> str:
    found = {name: importlib.metadata.version(name) for name in ("pyoxigraph", "msgspec", "pyzmq")}
    versions = ", ".join(f"{name} {version}" for name, version in found.items())
    n_cpus = len(os.sched_getaffinity(0))
    return (
        f"{n_cpus} CPUs ({platform.machine()}, Linux {platform.release()}), "
        f"Python {platform.python_version()}, {versions}"
    )


def note(text: str) -> None:
    print(f"# {text}", file=sys.stderr, flush=True)


def run(
    measure: Callable[[argparse.Namespace], Sequence[Row]],
    parser: argparse.ArgumentParser,
) -> None:
    """Measure with the options of the command line, and print the rows."""
    parser.add_argument("--json", action="store_true", help="print rows as JSON")
    chosen = parser.parse_args()
    rows = measure(chosen)
    if chosen.json:
        print(msgspec.json.encode(rows).decode())
    else:
        print(f"{render(rows)}\n{machine()}")
