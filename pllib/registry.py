"""Which projects a user has: each that was made or served is noted in a folder that is his alone.

So `sprov status --all` finds the daemons of all of them, on every node that has the same home.  It
is a list of places to look at and no more: what is there is asked, and trusted as `sprov` trusts it
elsewhere.  Nothing depends on it, so that what can't be noted is not.

Source: XDG Base Directory Specification 0.8, ``$XDG_STATE_HOME``.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path

from . import identity
from .errors import Error, UnavailableError
from .project import Project
from .regular import read_regular
from .sharing import is_private, make_private

VARIABLE = "XDG_STATE_HOME"
SUFFIX = ".json"
MOST_BYTES = 1 << 16
KEEP_DAYS = 30
DAY_S = 86_400.0


def folder() -> Path:
    """Return where projects are noted.

    Raises:
        UnavailableError: This user has no home.
    """
    base = os.environ.get(VARIABLE, "")
    try:
        state = Path(base) if base.startswith("/") else Path.home() / ".local/state"
    except RuntimeError as exc:
        raise UnavailableError(f"there is no folder for projects: {exc}") from None
    return state / "sprov/projects"


def note_project(project: Project) -> None:
    """Note that a project is here; nothing where that can't be noted."""
    with contextlib.suppress(Error, OSError):
        place = folder()
        if not _is_own(place):  # as of sudo with the home of who called it
            return
        make_private(place)
        root = os.path.realpath(project.root)
        path = place / f"{identity.digest('noted', root)[:32]}{SUFFIX}"
        temporary = path.with_suffix(f".{os.urandom(4).hex()}.tmp")
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w") as file:
            file.write(json.dumps({"root": root}))
        temporary.replace(path)
        _forget_gone(place)


def noted_projects() -> list[Path]:
    """Return the roots of projects that were noted, there or not."""
    try:
        place = folder()
    except UnavailableError:
        return []
    if not is_private(place):
        return []
    roots = {root for path in place.glob(f"*{SUFFIX}") if (root := _read(path)) is not None}
    return sorted(roots)


def _read(path: Path) -> Path | None:
    try:
        root = json.loads(read_regular(path, MOST_BYTES, os.O_NOFOLLOW))["root"]
        return Path(root) if root.startswith("/") else None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def _is_own(place: Path) -> bool:
    """Tell whether the nearest folder at or above a path that exists is this user's."""
    for above in (place, *place.parents):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return above.stat().st_uid == os.geteuid()
    return False


def _forget_gone(place: Path) -> None:
    """Forget projects that are not there and were not served for long; a mount may come back."""
    before = time.time() - KEEP_DAYS * DAY_S
    for path in place.glob("*"):
        with contextlib.suppress(OSError):
            if path.lstat().st_mtime < before:
                root = _read(path) if path.name.endswith(SUFFIX) else None
                if root is None or not root.exists():
                    path.unlink()
