"""What was submitted: kept with a project, so that the same thing can be submitted again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from pllib import kept, redaction
from pllib.errors import SettingsError
from pllib.project import Project

from .batch import Script
from .options import SBATCH, Line, Unknown, split

WRAPPED = b"#!/bin/sh\n# This script was created by sbatch --wrap.\n\n"
"""What `sbatch --wrap` puts before a command, as of 22.05.8."""


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """A call of `sbatch`."""

    script: str
    """Digest of what was kept of it."""
    name: str
    path: str = ""
    """Where the script was; empty for a command or standard input."""
    options: list[str]
    """Of `sbatch`, without ``--wrap``."""
    arguments: list[str]
    """Of the script."""
    folder: str
    environment: dict[str, str] = {}
    """Variables that are options of `sbatch` too, SBATCH_*."""
    again_of: str = ""
    """Identity of the run that this repeats."""


def parse(words: Sequence[str]) -> Line:
    """Split the words of an `sbatch` command line into options, and script with arguments.

    Raises:
        SettingsError: An option that is not known, so that it is not clear where the script is.
    """
    try:
        return split(words, SBATCH)
    except Unknown as exc:
        raise SettingsError(
            f"the option {exc} is not known", "Write it as --name=value, or as a #SBATCH line"
        ) from None


def read_script(line: Line, stdin: bytes = b"") -> tuple[Script, str]:
    """Return the script that a command line names, and its path.

    Raises:
        OSError: It can't be read.
    """
    wrapped = [value for name, value in line.options if name == "wrap"]
    if wrapped:
        command = (wrapped[-1] or "").encode("utf-8", "surrogateescape")
        return Script("wrap", WRAPPED + command + b"\n"), ""
    if not line.command:
        return Script("sbatch", stdin), ""
    name = line.command[0]
    path = Path(name)
    if not path.exists() and "/" not in name:  # as sbatch does, it is looked for in PATH too
        path = Path(shutil.which(name, mode=os.R_OK) or name)
    path = path.absolute()
    return Script(path.name, path.read_bytes()), str(path)


def plain_options(line: Line) -> list[str]:
    """Return the words of all options but ``--wrap``, whose command becomes a script."""
    pairs = zip(line.options, line.words, strict=True)
    return [word for (name, _), words in pairs if name != "wrap" for word in words]


def settings(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in environ.items() if name.startswith("SBATCH_")}


def keep(project: Project, submission: Submission) -> str:
    """Keep what was submitted; return its digest.

    Raises:
        OSError: The project's folder can't be written.
    """
    return keep_script(project, msgspec.json.encode(submission))


def keep_script(project: Project, data: bytes) -> str:
    """Keep what is to be submitted again as it is: for its owner alone if a secret is in it.

    Raises:
        OSError: The project's folder can't be written.
    """
    redactor = redaction.load(project.config, os.environ)
    return kept.keep(project, data, private=redactor.document(data) != data)


def read(project: Project, digest: str) -> Submission:
    """Return what was submitted, by the digest in a run's facts.

    Raises:
        SettingsError: It can't be read.
        UnavailableError: It is not there.
    """
    try:
        return msgspec.json.decode(kept.read(project, digest), type=Submission)
    except msgspec.MsgspecError as exc:
        raise SettingsError(f"what was kept of this submission can't be read: {exc}") from None
