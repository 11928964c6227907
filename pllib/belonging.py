"""Which project an endpoint file is of: a copy of a project has its files too, and no daemon yet.

A project is told by its key (`pllib.projectkey`), which it keeps when it is renamed or reached by
another path, and which a copy does not keep.  Two places have no such key to go by:

* where its file can't be made the inode of `.sprov/` decides, which shared file systems number
  alike on all nodes; device numbers they don't;
* where a file system numbers inodes anew on each node the path decides, so that no rank of the
  project itself is refused.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from . import mounts
from .projectkey import NAME, read_key

if TYPE_CHECKING:
    from pathlib import Path

    from .project import Endpoint

FOLDER = "endpoints"
UNSTEADY = ("fuse", "cifs", "smb3")
"""How kinds of file systems begin whose clients may number inodes by themselves."""


def root_of(path: Path) -> Path | None:
    """Return the `.sprov/` that an endpoint file lies in; None for one that lies elsewhere."""
    return path.parents[1] if path.parent.name == FOLDER else None


def stamp(path: Path) -> dict[str, str | int]:
    """Return the fields of an endpoint file that say which project it is of."""
    root = root_of(path)
    if root is None:
        return {}
    real = os.path.realpath(root)
    return {
        "project": read_key(root).key,
        "project_path": real,
        "project_inode": os.stat(real).st_ino,  # noqa: PTH116
    }


def belongs(path: Path, endpoint: Endpoint) -> bool:
    """Tell whether an endpoint file is of the project that it lies in.

    One that lies elsewhere was put there and named by somebody; one of an earlier version does not
    say.
    """
    root = root_of(path)
    if root is None or not endpoint.project:
        return True
    if not os.path.lexists(root / NAME):
        return os.stat(root).st_ino == endpoint.project_inode  # noqa: PTH116
    if read_key(root).key == endpoint.project:
        return True
    is_there = os.path.realpath(root) == endpoint.project_path
    return is_there and mounts.mount_of(root).kind.startswith(UNSTEADY)
