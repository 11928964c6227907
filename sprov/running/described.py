"""What a command is, as far as its words tell: its script, its Python, its packages."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pllib.facts import git_commit
from pllib.regular import read_regular
from pllib.software import LONGEST, package_of

PYTHON = re.compile(r"(python|pypy)[\d.]*")
SHELL = re.compile(r"(ba|z|da|k)?sh")
OTHER = re.compile(r"(Rscript|R|perl|ruby|julia|node|lua|octave)[\d.]*")
OPTIONS = ((PYTHON, "cm", "WX"), (SHELL, "c", "oO"), (OTHER, "e", ""))
"""Of interpreters: letters of options that what is run follows, not a script; and of those that a
value follows."""
SCRIPTS = (".py", ".sh", ".R", ".r", ".jl", ".pl", ".rb", ".lua", ".m", ".slurm", ".sbatch")
LAUNCHERS = (
    "torch.distributed.run", "torch.distributed.launch",
    "accelerate.commands.launch", "accelerate.commands.accelerate_cli", "deepspeed",
    "deepspeed.launcher.runner", "deepspeed.launcher.launch", "horovod.runner.launch", "mpi4py",
    "mpi4py.run", "mpi4py.futures", "cProfile", "profile", "pdb", "trace", "coverage", "debugpy",
    "memory_profiler", "kernprof", "scalene", "viztracer",
)  # fmt: skip
"""Modules that start the script, or module, that their words name."""
SYSTEM_PROGRAMS = ("/usr/", "/bin/", "/sbin/", "/opt/")
SHEBANG_BYTES = 256


class Environment(NamedTuple):
    """A Python and its packages."""

    version: str
    """Empty if only running it would tell."""
    prefix: str
    packages: tuple[str, ...]
    """Folders."""


class Description(NamedTuple):
    """A command."""

    program: str
    """What it runs: a script, a module, else the program as it was called."""
    script: str
    """Path; empty where there is none."""
    environment: Environment | None
    """The Python that its words name."""
    working_tree: str
    """A folder in that of its script, else in that around; empty where there is none."""


def describe(command: Sequence[str]) -> Description:
    """Describe a command by its words."""
    script = _script(command)
    folders = [*([os.path.dirname(script)] if script else []), os.getcwd()]  # noqa: PTH109, PTH120
    working_tree = next((folder for folder in folders if git_commit(folder)), "")
    program = script or command[0]
    if not script and _is_interpreter(command[0]) and "-m" in command[1:-1]:
        program = command[command.index("-m") + 1]
    return Description(program, script, _environment(command), working_tree)


def _script(command: Sequence[str]) -> str:
    """Return the file that says what is done, without links; empty for a program of the system."""
    program = shutil.which(command[0])
    if program is None:
        return ""
    path = os.path.realpath(program)
    if _is_interpreter(command[0]):
        found = _first_file(command)
    elif path.startswith(SYSTEM_PROGRAMS) or _prefix_of(program):  # a launcher, such as torchrun
        found = _launched(command[1:])
    else:
        found = path
    return os.path.realpath(found) if found else ""


def _is_interpreter(word: str) -> bool:
    name = os.path.basename(word)  # noqa: PTH119
    return any(names.fullmatch(name) for names, _, _ in OPTIONS)


def _first_file(command: Sequence[str]) -> str:
    """Return the script among the words of an interpreter's command line."""
    name = os.path.basename(command[0])  # noqa: PTH119
    ends, valued = next((e, v) for names, e, v in OPTIONS if names.fullmatch(name))
    words = iter(command[1:])
    for word in words:
        if not word.startswith("-"):
            return word if os.path.isfile(word) else ""  # noqa: PTH113
        letters = "" if word.startswith("--") else word[1:]
        meant = next((letter for letter in letters if letter in ends + valued), "")
        if meant == "m":
            module = letters.partition("m")[2] or next(words, "")
            return _launched(words) if module in LAUNCHERS else _file_of(module)
        if meant and meant in ends:
            return ""
        if meant and letters.endswith(meant):  # else its value is in the same word
            next(words, None)
    return ""


def _launched(words: Iterable[str]) -> str:
    """Return the script that a launcher is to start, by its words."""
    rest = iter(words)
    for word in rest:
        if word in ("-m", "--module"):
            return _file_of(next(rest, ""))
        if word.endswith(SCRIPTS) and os.path.isfile(word):  # noqa: PTH113
            return word
    return ""


def _file_of(module: str) -> str:
    """Return the file of a module that ``-m`` finds in the working folder; empty for others."""
    path = module.replace(".", "/")
    places = (f"{path}.py", f"{path}/__main__.py") if path else ()
    return next((place for place in places if os.path.isfile(place)), "")  # noqa: PTH113


def files_in(words: Iterable[str]) -> Iterator[str]:
    """Yield what may be paths in the words of a command, absolute."""
    for word in words:
        name = word.partition("=")[2] if word.startswith("-") else word
        if name and len(name) < LONGEST and "\0" not in name:
            yield os.path.abspath(name)  # noqa: PTH100  links are files of their own here


def _environment(command: Sequence[str]) -> Environment | None:
    """Return the Python that runs the command, if its words name one."""
    program = shutil.which(command[0])
    if program is not None and not _is_python(program):
        program = _interpreter(program)
    if program is None or not _is_python(program):
        return None
    prefix = _prefix_of(program) or str(Path(program).resolve().parent.parent)
    packages = tuple(
        str(folder)
        for kind in ("site-packages", "dist-packages")
        for folder in sorted(Path(prefix).glob(f"lib*/python3*/{kind}"))
    )
    return Environment(_version(Path(prefix)), prefix, packages)


def _is_python(program: str) -> bool:
    return PYTHON.fullmatch(os.path.basename(program)) is not None  # noqa: PTH119


def _interpreter(program: str) -> str | None:
    """Return the interpreter that a script's first line names."""
    try:
        first = read_regular(program, SHEBANG_BYTES).partition(b"\n")[0]
    except OSError:
        return None
    words = first[2:].decode(errors="replace").split() if first.startswith(b"#!") else []
    if words and words[0].endswith("/env"):
        return shutil.which(words[-1])
    return words[0] if words else None


def _prefix_of(program: str) -> str:
    """Return the virtual or conda environment that a program is of; empty for none."""
    prefix = Path(program).absolute().parent.parent
    marks = (prefix / "pyvenv.cfg", prefix / "conda-meta")
    return str(prefix) if any(mark.exists() for mark in marks) else ""


def _version(prefix: Path) -> str:
    """Return the version that an environment says it has, else that of its library's folder."""
    try:
        lines = (prefix / "pyvenv.cfg").read_text().splitlines()
    except (OSError, ValueError):
        lines = []
    for name, _, value in (line.partition("=") for line in lines):
        if name.strip() in ("version", "version_info"):
            return value.strip()
    found = sorted(path.name.removeprefix("python") for path in prefix.glob("lib/python3*"))
    return found[-1] if found else ""


def packages_in(folders: Iterable[str]) -> dict[str, str]:
    """Return the versions of what is installed in these folders, as facts."""
    found: dict[str, str] = {}
    for folder in folders:
        try:
            names = sorted(os.listdir(folder))  # noqa: PTH208
        except OSError:
            continue
        for name in names:
            if package := package_of(name):
                found.setdefault(f"package.{package[0]}", package[1])
    return found
