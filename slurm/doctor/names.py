"""Modules of others that have the names of our packages."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from .report import FAIL, OK, WARN, Finding

PACKAGES = ("pllib", "tracker", "manager", "query", "slurm", "sprov")
HOME = Path(__file__).resolve().parents[2]
"""Where our packages lie, side by side."""


def check(path: Sequence[str] | None = None, here: Path | None = None) -> Iterator[Finding]:
    """Look through what Python imports from, in order, and the working folder.

    A folder without ``__init__.py`` is no danger: any package of the name comes before it.
    """
    entries = [Path(entry).resolve() for entry in (sys.path if path is None else path) if entry]
    clashes = [*_installed_over(), *_in_path(entries)]
    if here is None:
        here = Path.cwd()
    if here.resolve() not in (*entries, HOME):
        clashes += _in_working_folder(here)
    yield from clashes or [Finding("names", OK, f"{', '.join(PACKAGES)} are ours alone")]


def _in_path(entries: list[Path]) -> Iterator[Finding]:
    mine = entries.index(HOME) if HOME in entries else len(entries)
    for name in PACKAGES:
        for at, entry in enumerate(entries):
            found = module_in(entry, name)
            if found is None or entry == HOME:
                continue
            if at < mine:
                yield Finding(
                    "names", FAIL, f"{found} is imported in place of our {name}",
                    _remedy(entry),
                )  # fmt: skip
            else:
                yield Finding(
                    "names", WARN, f"our {name} hides {found} from your programs",
                    "Give sprov a virtual environment of its own, and programs only pllib",
                )  # fmt: skip


def _remedy(entry: Path) -> str:
    named = [Path(text).resolve() for text in os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    if entry in named:
        return f"Take {entry} out of PYTHONPATH when `sprov` runs, or rename the module"
    return "Rename it, or install sprov into an environment of its own"


def _in_working_folder(here: Path) -> Iterator[Finding]:
    for name in PACKAGES:
        found = module_in(here, name)
        if found is not None and name == "pllib":
            yield Finding(
                "names", FAIL, f"{found} is imported in place of ours by programs in this folder",
                "Rename it",
            )  # fmt: skip
        elif found is not None:
            yield Finding(
                "names", OK, f"{found}: programs here import it, `sprov` has its own {name}"
            )


def module_in(folder: Path, name: str) -> Path | None:
    """Return the module of a name that Python would import from a folder."""
    candidates = [folder / name / "__init__.py", folder / f"{name}.py"]
    candidates += [folder / f"{name}{suffix}" for suffix in EXTENSION_SUFFIXES]
    return next((path for path in candidates if path.is_file()), None)


def _installed_over() -> Iterator[Finding]:
    """Find other distributions that put files into our packages' folders."""
    from importlib.metadata import distributions

    for distribution in distributions():
        name = distribution.metadata["Name"]
        top = (distribution.read_text("top_level.txt") or "").split()
        for package in sorted(set(top) & set(PACKAGES)) if name and name != "sprov" else ():
            yield Finding(
                "names", FAIL, f"the distribution {name} has a package {package}, too",
                "One overwrites the other: install sprov into an environment of its own",
            )  # fmt: skip
