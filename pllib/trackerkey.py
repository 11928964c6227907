"""The tracker's secret key, in a file of its own beside its endpoint file: ranks never read it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from .sharing import OWNERS_ALONE, make_folder, sync_folder

if TYPE_CHECKING:
    from pathlib import Path


def read_secret(path: Path) -> str:
    """Return the tracker's secret key of an endpoint file; empty if there is none for this user."""
    try:
        found = msgspec.json.decode(
            path.with_suffix(OWNERS_ALONE).read_bytes(), type=dict[str, str]
        )
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return ""
    return found.get("server_secret_key", "")


def write_secret(path: Path, key: str) -> None:
    """Keep the tracker's secret key beside its endpoint file, for this user alone in any project.

    Raises:
        OSError: It can't be written.
    """
    make_folder(path.parent)
    temporary = path.with_suffix(f".{os.urandom(4).hex()}.tmp")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        os.fchmod(fd, 0o600)  # a umask can only take away, but the owner must be able to read
        file.write(msgspec.json.encode({"server_secret_key": key}))
        file.flush()
        os.fsync(fd)
    temporary.replace(path.with_suffix(OWNERS_ALONE))
    sync_folder(path.parent)
