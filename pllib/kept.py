"""What a project keeps by content: job scripts, differences from a commit.

A thing is a file in ``.sprov/kept/`` that its BLAKE2b-128 digest names, so that it is kept once.
"""

from __future__ import annotations

import os
import sys
from _blake2 import blake2b
from typing import TYPE_CHECKING

from .errors import SettingsError, UnavailableError
from .identity import is_one
from .regular import read_regular
from .sharing import make_folder, open_file, sync_folder

if TYPE_CHECKING:
    from .project import Project


def keep(project: Project, data: bytes, *, private: bool = False) -> str:
    """Keep bytes, durable when this returns; return their digest, 32 hex characters.

    Args:
        private: For their owner alone, also in a group's project: a secret is in them.

    Raises:
        OSError: The folder can't be written.
    """
    name = blake2b(data, digest_size=16).hexdigest()
    path = project.kept / name
    if not path.exists():
        make_folder(project.kept)
        temporary = project.kept / f".{name}.{os.getpid()}"
        fd = open_file(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        with open(fd, "wb") as file:
            if private:
                os.fchmod(fd, 0o600)
            file.write(data)
            file.flush()
            os.fsync(fd)
        temporary.replace(path)
        sync_folder(project.kept)
    return name


def read(project: Project, name: str) -> bytes:
    """Return what was kept under a digest.

    Raises:
        SettingsError: It is no digest.
        UnavailableError: It is not there, or somebody else's alone.
    """
    if not is_one(name):
        raise SettingsError(f"{name!r} is not the digest of anything kept")
    try:
        return read_regular(project.kept / name, sys.maxsize)
    except FileNotFoundError:
        raise UnavailableError(f"{project.kept / name} is not there any more") from None
    except PermissionError:
        raise UnavailableError(
            f"{project.kept / name} is for its owner alone", "It holds a secret: ask its owner"
        ) from None
