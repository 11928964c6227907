"""What a process can say of its surroundings without asking anybody: a few small files.

Never the environment or the arguments as a whole: they may hold secrets.

Source: gitrepository-layout(5) and git-worktree(1) of git 2.x; Apptainer 1.x user guide,
"Environment and Metadata"; Docker and Podman mark containers by a file in ``/``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from .regular import read_regular

MAX_FILE_BYTES = 1 << 20
CONTAINERS = ("APPTAINER_CONTAINER", "SINGULARITY_CONTAINER", "container")
PREFIXES = {"conda": "CONDA_PREFIX", "virtualenv": "VIRTUAL_ENV"}
_MARKS = {"/run/.containerenv": "podman", "/.dockerenv": "docker"}


def surroundings(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the Python, program, working folder, its commit, and the container, as text."""
    environ = os.environ if environ is None else environ
    folder = working_folder()
    program = (sys.argv[0] if sys.argv else "") or ""
    found = {
        "python": sys.version.partition(" ")[0],
        "python_prefix": sys.prefix,
        "program_path": os.path.join(folder, program) if os.path.isfile(program) else "",  # noqa: PTH113, PTH118
        "working_folder": folder,
        "git_commit": git_commit(folder) if folder else "",
        "container": _container(environ),
        **{name: environ.get(variable, "") for name, variable in PREFIXES.items()},
    }
    return {
        name: text[:1024].encode("utf-8", "backslashreplace").decode()
        for name, text in found.items()
        if text
    }


def working_folder() -> str:
    try:
        return os.getcwd()  # noqa: PTH109
    except OSError:  # it was deleted
        return ""


def _container(environ: Mapping[str, str]) -> str:
    named = next((environ[name] for name in CONTAINERS if environ.get(name)), "")
    return named or next((kind for mark, kind in _MARKS.items() if os.path.exists(mark)), "")  # noqa: PTH110


def git_commit(folder: str) -> str:
    """Return the commit that is checked out around a folder, hex; empty if there is none."""
    git = git_folder(folder)
    if not git:
        return ""
    head = _read(f"{git}/HEAD").strip()
    name = head.removeprefix("ref: ")
    if name == head:
        return _commit(head)
    if ".." in name.split("/"):
        return ""
    common = os.path.join(git, _read(f"{git}/commondir").strip() or ".")  # noqa: PTH118
    for place in dict.fromkeys((git, common)):
        if commit := _commit(_read(f"{place}/{name}")):
            return commit
    packed = (line.partition(" ") for line in _read(f"{common}/packed-refs").splitlines())
    return next((_commit(commit) for commit, _, of in packed if of == name), "")


def git_folder(folder: str) -> str:
    """Return the folder that holds HEAD: ``.git``, or where a worktree's ``.git`` file says."""
    while True:
        git = os.path.join(folder, ".git")  # noqa: PTH118
        if os.path.isdir(git):  # noqa: PTH112
            return git
        if os.path.isfile(git):  # noqa: PTH113
            said = _read(git).strip()
            named = said.removeprefix("gitdir: ")
            return os.path.join(folder, named) if named != said else ""  # noqa: PTH118
        above = os.path.dirname(folder)  # noqa: PTH120
        if above == folder:
            return ""
        folder = above


def _commit(text: str) -> str:
    """Return text if it is a commit's name, of SHA-1 or SHA-256; else empty."""
    text = text.strip()
    whole = len(text) in (40, 64) and not set(text) - set("0123456789abcdef")
    return text if whole else ""


def _read(path: str) -> str:
    """Return a small file's text; empty for what is none, cannot be read or is a device."""
    try:
        return read_regular(path, MAX_FILE_BYTES).decode(errors="replace")
    except (OSError, ValueError):
        return ""
