"""With which software a program runs: its command line, script and packages, as facts of the run.

It is told once a run, by rank 0, in pieces of a few milliseconds on the sender's thread.  `sprov
run` tells the same of the commands that it wraps.  No process is started for it: a child of ours
would end in the program's own ``SIGCHLD`` handler and `os.wait`.

Source: "Recording installed projects" and "Names and normalization" of the Python Packaging User
Guide.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from _blake2 import blake2b  # as `pllib.identity`
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .facts import working_folder
from .foreign import is_theirs
from .gitindex import git_facts
from .regular import read_regular

if TYPE_CHECKING:
    from .redaction import Redactor

LONGEST = 4096
"""Characters of a fact."""
DIGESTED_BYTES = 16 << 20
"""Larger scripts are digested beside the tracker, or not at all."""
LISTED_BYTES = 64 << 10
"""Of a list of installed files: the first names say which modules a package has."""
PACKAGES_A_PIECE = 8
FACTS_A_RECORD = 40
Facts = dict[str, str]


def recorded(command: Sequence[str], redactor: Redactor) -> str:
    """Return a command line as it is recorded, as a shell would take it, without secrets."""
    return as_fact(shlex.join(redactor.words(command)))


def as_fact(text: str) -> str:
    return text[:LONGEST].encode("utf-8", "backslashreplace").decode()


def digest(path: str) -> str:
    """Return the digest of a script as `sprov` digests files; empty if it is not to be had."""
    try:
        data = read_regular(path, DIGESTED_BYTES + 1)
    except OSError as exc:
        if is_theirs(exc):
            raise
        return ""
    return f"blake2b:{blake2b(data, digest_size=32).hexdigest()}" * (len(data) <= DIGESTED_BYTES)


def package_of(folder: str) -> tuple[str, str] | None:
    """Return the normal name and version that a ``.dist-info`` folder's name tells of."""
    stem, dot, _ = folder.rpartition(".dist-info")
    name, dash, version = stem.partition("-")
    return (re.sub(r"[-_.]+", "-", name).lower(), version) if dot and dash else None


def modules(environ: Mapping[str, str]) -> Facts:
    """Return the environment modules that are loaded, as a fact.  Source: module(1), Lmod."""
    loaded = environ.get("LOADEDMODULES", "")
    return {"modules": as_fact(loaded)} if loaded else {}


class Software:
    """Tells of this process, piece by piece."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._seen: set[str] = set()

    def pieces(self) -> Iterator[Facts]:
        """Yield facts; an empty piece is a moment to stop."""
        script = os.path.realpath(sys.argv[0]) if sys.argv and sys.argv[0] else ""
        found = {"command": recorded(sys.orig_argv, self._redactor), **modules(os.environ)}
        if script and (script_digest := digest(script)):
            found.update(script=as_fact(script), script_digest=script_digest)
        yield found
        yield from git_facts(working_folder(), script if "script" in found else "")
        yield from self.packages()

    def packages(self) -> Iterator[Facts]:
        """Yield the packages of modules that were loaded since this was asked last."""
        by_folder: dict[str, set[str]] = {}
        for name, module in [*sys.modules.items()]:
            if "." not in name and name not in self._seen:
                self._seen.add(name)
                if folder := _folder_of(module):
                    by_folder.setdefault(folder, set()).add(name)
        yield {}
        for folder, names in by_folder.items():
            yield from _packages_in(folder, names)


def _folder_of(module: Any) -> str:
    """Return the folder in which a module or package lies; empty if it is built in."""
    path = vars(module).get("__file__") if isinstance(module, type(sys)) else None
    if not isinstance(path, str):
        return ""
    folder, name = os.path.split(path)
    return os.path.dirname(folder) if name.startswith("__init__.") else folder  # noqa: PTH120


def _packages_in(folder: str, modules_: set[str]) -> Iterator[Facts]:
    """Yield the packages in a folder that these modules belong to."""
    wanted = {name.lower() for name in modules_}
    others = []
    found: Facts = {}
    for name in _listed(folder):
        if (package := package_of(name)) is None:
            continue
        if (module := package[0].replace("-", "_")) in wanted:
            found[f"package.{package[0]}"] = as_fact(package[1])
            wanted.discard(module)
        else:
            others.append((f"{folder}/{name}", package))
    yield found
    for at in range(0, len(others), PACKAGES_A_PIECE):
        if not wanted:
            return
        found = {}
        for path, (name, version) in others[at : at + PACKAGES_A_PIECE]:
            if matching := wanted & _top_level(path):
                found[f"package.{name}"] = as_fact(version)
                wanted -= matching
        yield found


def _top_level(info: str) -> set[str]:
    """Return the modules of an installed package, small letters."""
    words: Iterable[str] = _read(f"{info}/top_level.txt", LISTED_BYTES).split()
    if not words:
        lines = _read(f"{info}/RECORD", LISTED_BYTES).splitlines()
        words = {line.partition("/")[0].partition(",")[0] for line in lines}
    return {word.lower().partition(".")[0] for word in words}


def _listed(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208
    except OSError as exc:
        if is_theirs(exc):
            raise
        return []


def _read(path: str, most: int) -> str:
    try:
        return read_regular(path, most).decode(errors="replace")
    except OSError as exc:
        if is_theirs(exc):
            raise
        return ""
