"""Figures that a long test measured, for the page of guarantees: they are kept, never asserted."""

from __future__ import annotations

import os
from pathlib import Path

FILE = os.environ.get("SPROV_FIGURES")
"""As it was when tests were collected: no test sees a setting of ours (`conftest.py`)."""


def figure(name: str, text: str) -> None:
    """Keep a line ``name: text`` in the file that SPROV_FIGURES names, else print it."""
    line = f"{name}: {text}"
    if FILE:
        with Path(FILE).open("a") as file:
            file.write(f"{line}\n")
    else:
        print(line)
