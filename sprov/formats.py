"""The format of a project: a newer one's is refused before anything in it is opened.

``.sprov/format`` holds its number; without it, it is 1.  A log says its own version (`pllib.log`),
and so does an archive.
"""

from __future__ import annotations

from pllib.errors import NotAProjectError, SettingsError
from pllib.project import find

FORMAT_VERSION = 1


def check_project() -> None:
    """Check the project that commands will find here, if there is one.

    Raises:
        SettingsError: A newer sprov made it, or nobody can tell.
    """
    try:
        path = find().root / "format"
        told = path.read_text(encoding="utf-8", errors="replace").strip()
    except (NotAProjectError, FileNotFoundError, NotADirectoryError):
        return
    if told != str(FORMAT_VERSION):
        raise SettingsError(
            f"{path.parent} has project format {told[:20]!r}, this sprov knows {FORMAT_VERSION}",
            "Upgrade sprov to use it; it was left as it is",
        )
