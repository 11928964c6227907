"""Progress on what takes long: a bar on a terminal, nothing when piped."""

from __future__ import annotations

import io
import sys
from typing import Any

import click


def bar(length: int, label: str) -> Any:
    """Return a context manager with `update(n)`."""
    shown = sys.stderr if sys.stderr.isatty() else io.StringIO()
    return click.progressbar(length=length, label=label, file=shown)
