"""Modulefiles and systemd units for this installation, printed by `sprov slurm template`.

Source: Lmod 8 user guide, "Writing Modules"; modulefile(4) of Environment Modules 5;
systemd.service(5) and systemd.unit(5), "Specifiers", of systemd 252.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from pllib.errors import SettingsError

UNITS = ("sprov-user.service", "sprov-system.service")
NAMES = ("modulefile.lua", "modulefile.tcl", *UNITS)
FOLDER = Path(__file__).with_name("templates")
_PLAIN = re.compile(r"[A-Za-z0-9_./+@%~:, -]+")


def read(name: str) -> str:
    """Return a modulefile or unit with this installation's place and version in it.

    Raises:
        SettingsError: The place has characters that Lua, Tcl or systemd would read as their own.
    """
    from importlib.metadata import version

    if not _PLAIN.fullmatch(sys.prefix):
        raise SettingsError(f"{sys.prefix!r} can't be written into {name}")
    text = (FOLDER / name).read_text()
    prefix = sys.prefix.replace("%", "%%") if name in UNITS else sys.prefix
    return text.replace("@PREFIX@", prefix).replace("@VERSION@", version("sprov"))
