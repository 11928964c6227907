"""Say which extra to install when a command needs what is not there."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import click


def require(command: str, extras: str, *modules: str) -> None:
    """Check that modules can be imported, without importing them.

    Raises:
        ClickException: One can't; says what to install.
    """
    for name in modules:
        if find_spec(name) is None:
            raise missing(command, extras, name)


def missing(command: str, extras: str, module: str | None) -> click.ClickException:
    if found := _in_place_of_ours(module):
        return click.ClickException(
            f"{found} is imported in place of sprov's own {module}. "
            "Take its folder out of PYTHONPATH, or rename it"
        )
    return click.ClickException(
        f"`sprov {command}` needs {module}, which is not installed. "
        f"Run: pip install 'sprov[{extras}]'"
    )


def _in_place_of_ours(module: str | None) -> str:
    """Return the file of somebody else's package that has the name of one of ours."""
    loaded = sys.modules.get((module or "").partition(".")[0])
    file = getattr(loaded, "__file__", None) or ""
    ours = Path(__file__).resolve().parents[1]
    is_room = (ours / (module or "").partition(".")[0] / "__init__.py").exists()
    return file if file and is_room and ours not in Path(file).resolve().parents else ""
