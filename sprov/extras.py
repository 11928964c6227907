"""Say which extra to install when a command needs what is not there."""

from __future__ import annotations

from importlib.util import find_spec

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
    return click.ClickException(
        f"`sprov {command}` needs {module}, which is not installed. "
        f"Run: pip install 'sprov[{extras}]'"
    )
