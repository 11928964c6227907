"""A user's own folder in a place that all users of a node have: /dev/shm, /tmp.

Its name can be known, so somebody else may have made it first, to read what we write there or to
have us follow a link.  Then another is made, whose name can't.
"""

from __future__ import annotations

import os
from pathlib import Path

from .errors import UnavailableError
from .sharing import is_private, make_private

SHARED_MEMORY = "/dev/shm"


def own_places(parent: str = SHARED_MEMORY) -> list[Path]:
    """Return the folders there that are this user's alone, in an order that all agree on."""
    name = f"sprov-{os.getuid()}"
    try:
        found = [Path(parent, each) for each in os.listdir(parent)]  # noqa: PTH208
    except OSError:
        return []
    return sorted(
        each for each in found if f"{each.name}.".startswith(f"{name}.") and is_private(each)
    )


def own_place(parent: str = SHARED_MEMORY) -> Path:
    """Return this user's folder there, made if it is missing.

    Raises:
        OSError: None can be made.
    """
    folder = Path(parent, f"sprov-{os.getuid()}")
    try:
        make_private(folder)
        return folder
    except (UnavailableError, FileExistsError):
        if not own_places(parent):
            make_private(folder.with_name(f"{folder.name}.{os.urandom(8).hex()}"))
        return own_places(parent)[0]
