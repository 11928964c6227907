"""Modulefiles for this installation, printed by `sprov slurm template`.

Source: Lmod 8 user guide, "Writing Modules"; modulefile(4) of Environment Modules 5.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from pllib.errors import SettingsError

NAMES = ("modulefile.lua", "modulefile.tcl")
FOLDER = Path(__file__).with_name("templates")
_PLAIN = re.compile(r"[A-Za-z0-9_./+@%~:, -]+")


def read(name: str) -> str:
    """Return a modulefile with this installation's place and version in it.

    Raises:
        SettingsError: The place has characters that Lua or Tcl would read as their own.
    """
    from importlib.metadata import version

    if not _PLAIN.fullmatch(sys.prefix):
        raise SettingsError(f"{sys.prefix!r} can't be written into a modulefile")
    text = (FOLDER / name).read_text()
    return text.replace("@PREFIX@", sys.prefix).replace("@VERSION@", version("sprov"))
