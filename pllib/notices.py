"""One line on stderr, once a process, for what the user should know and what ends nothing."""

from __future__ import annotations

import sys

from .foreign import suppressing
from .printable import one_line, printable

_written: set[str] = set()


def warn(message: str) -> None:
    """Write a message unless this process has written it before."""
    if message not in _written:
        _written.add(message)
        write(message)


def detail(line: str) -> None:
    """Write a line that belongs to the message before, such as one of several candidates."""
    with suppressing(Exception):
        sys.stderr.write(f"  {printable(line)}\n")


def write(message: str) -> None:
    """Write a message as one line."""
    with suppressing(Exception):  # a closed or foreign stderr may raise anything
        sys.stderr.write(f"sprov: {one_line(message)}\n")
