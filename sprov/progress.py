"""Progress on what takes long: a bar on a terminal, nothing when piped."""

from __future__ import annotations

import sys
from typing import Any

import click


def bar(length: int, label: str) -> Any:
    """Return a context manager with `update(n)`."""
    hidden = not sys.stderr.isatty()
    return click.progressbar(length=length, label=label, file=sys.stderr, hidden=hidden)
