"""Progress on what takes long: a bar on a terminal, nothing when piped."""

from __future__ import annotations

import io
import sys
from typing import Any

import click

from pllib.printable import one_line
from pllib.terminal import styled


def bar(length: int, label: str) -> Any:
    """Return a context manager with `update(n)`."""
    shown = styled(sys.stderr) if sys.stderr.isatty() else io.StringIO()
    return click.progressbar(length=length, label=one_line(label), file=shown)
