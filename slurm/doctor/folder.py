"""The project's `.sprov/`: who sees it, who may write it, and whether its store is safe there."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from pllib.errors import NotAProjectError
from pllib.mounts import SHARED, mount_of
from pllib.project import Project, find
from pllib.settings import Serving
from pllib.sharing import is_shared

from .report import FAIL, OK, WARN, Finding, said


def found_project() -> tuple[Project | None, Finding | None]:
    """Return the project, or what to say where there is none."""
    try:
        project = find()
    except NotAProjectError as exc:
        return None, Finding("project", WARN, said(exc), exc.hint)
    if not project.root.is_dir():
        advice = "Unset SPROV_DIR, or run `sprov init` where it is to be"
        return None, Finding("project", FAIL, f"{project.root} does not exist", advice)
    return project, None


def check(project: Project, serving: Serving, *, slurm: bool) -> Iterator[Finding]:
    """Judge the folder as this host sees it.

    Args:
        slurm: Whether there are other nodes that would have to see it.
    """
    kind = mount_of(project.root).kind
    yield _writable(project)
    if kind in SHARED:
        yield Finding("file system", OK, f"{kind}: nodes may see it")
        if not serving.indexes and mount_of(project.store).kind in SHARED:
            yield Finding(
                "store", WARN, f"on {kind}: RocksDB is not made for network file systems",
                "Set indexes in [serve] to a local folder; the journals, which are the truth, stay",
            )  # fmt: skip
    elif slurm:
        yield Finding(
            "file system", WARN, f"{kind} of this host: do compute nodes see {project.root}?",
            "--job finds out; if not, make the project on the shared file system",
        )  # fmt: skip
    else:
        yield Finding("file system", OK, f"{kind} of this host")


def _writable(project: Project) -> Finding:
    root = project.root
    trial = root / f".doctor-{secrets.token_hex(4)}"
    try:
        trial.touch(mode=0o600)
        trial.unlink()
    except OSError as exc:
        return Finding(
            "project", FAIL, f"{root} can't be written: {exc.strerror}",
            "`sprov init --group` shares a project; else have a project of your own",
        )  # fmt: skip
    mode = root.stat().st_mode & 0o777
    if mode & 0o007:
        return Finding("project", WARN, f"{root} is open to all users ({mode:o})", "chmod o= it")
    whose = "shared by its group" if is_shared(root) else "its owner's alone"
    return Finding("project", OK, f"{root}, {whose}")


def seen(folder: Path) -> bool:
    """Tell whether a folder is there, asking a network file system anew."""
    try:
        os.listdir(folder.parent)  # noqa: PTH208  fills the cache again
    except OSError:
        return False
    return folder.is_dir()
