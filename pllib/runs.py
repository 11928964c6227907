"""Which run a session is of: its launch, what `open` was told, and how often it was told before.

What a rank opened besides does not count, nor how often it failed to: only sessions of the same
description are numbered, so that ranks which prepared something first agree with those that did
not.  What `sprov run` wraps is of its run: docs/explanation/identity.md has the rule.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from . import identity, launch, launches
from .ancestry import find_place
from .launchers import Ranks
from .project import Project

WRAPPED = "SPROV_WRAPPED"
"""Set by `sprov run` for the command: its own pid and launch, with a colon between."""
WITHIN = "SPROV_WITHIN"
"""Set by `sprov run` for all that it starts: how many wrappers there are around it, the digest of
its scope and its launch, with colons between."""
_NO_NAME = re.compile(r"[^\w+-]", re.ASCII)
LONGEST_NAME = 100
"""Of a folder: what a file system may have is 255."""
_WORD = re.compile("[^\\W_]{2}")
_DIGITS = str.maketrans(dict.fromkeys("0123456789"))

_numbers: dict[tuple[int, str], tuple[Iterator[int], list[int]]] = {}
"""Numbers of this process's sessions, by its pid and their description: further ones, and those of
an `open` that failed.  Both are taken in one step, since threads may open sessions at once."""


class Description(NamedTuple):
    """What `open` was told that tells runs of one launch apart."""

    study: str | None = None
    experiment: str | None = None
    run: str | None = None
    name: str | None = None
    workflow: str | None = None

    def digest(self) -> str:
        return identity.digest("description", *self)[:16]


class Belonging(NamedTuple):
    """What a session is of."""

    run: str
    found: launch.Launch
    launched: str
    """The launch, with what tells its runs apart."""
    rival: str = ""
    """Another process that has this rank, if one was seen."""


def program() -> str:
    return os.path.basename(sys.argv[0]) if sys.argv and sys.argv[0] else "python"  # noqa: PTH119


def command() -> str:
    """Return what the processes of all ranks have in common that run one command.

    That is the program and its subcommand, a first argument that is a word.  Other arguments may
    differ between ranks, or when a job is requeued (``--resume last``).  Digits don't count.
    """
    first = sys.argv[1].translate(_DIGITS) if len(sys.argv) > 1 else ""
    is_word = "/" not in first and not first.startswith("-") and _WORD.search(first)
    return identity.digest("command", program(), *([first] if is_word else []))[:16]


@contextlib.contextmanager
def numbered(described: Description) -> Iterator[int]:
    """Give a session its number among those of its description, for good if it can be opened."""
    key = os.getpid(), described.digest()
    further, failed = _numbers.setdefault(key, (itertools.count(), []))
    try:
        nth = failed.pop()
    except IndexError:
        nth = next(further)
    try:
        yield nth
    except BaseException:
        failed.append(nth)
        raise


def belong(
    project: Project,
    described: Description,
    nth: int,
    given: Ranks | None,
    environ: Mapping[str, str],
) -> Belonging:
    """Find the run, and the rank, of a session that is about to be opened.

    Args:
        nth: Its number, as of `numbered`.
    """
    folder = project.launches / _folder_name(environ.get("SLURM_JOB_ID", ""))

    def claim(of_command: str, restart: int, owner: str) -> int | None:
        return launches.claim(folder, of_command, restart, owner)

    found = launch.find(environ, claim, given)
    joined = None if nth or found.alone else _joined(folder, described, found, environ)
    if joined is not None:
        return Belonging(identity.run(found.scope, joined, None), found, joined)
    common, rival = found.launch, ""
    if found.takes_turns:
        common, rival = _in_turn(folder, found)
    elif common.startswith("named:"):
        turn = _turn(folder, identity.digest(common, described.digest(), nth), found)
        rival = turn.rival if turn else ""
    launched = f"{common}/{described.digest()}" + (f"#{nth}" if nth else "")
    return Belonging(identity.run(found.scope, launched, described.run), found, launched, rival)


def _folder_name(job: str) -> str:
    """Return the name of the folder of a job's claims, whatever the variable holds."""
    return _NO_NAME.sub("_", job)[:LONGEST_NAME] or "local"


def _in_turn(folder: Path, found: launch.Launch) -> tuple[str, str]:
    """Return a launch with the command and which turn of it this process is, and a rival."""
    turn = _turn(folder, identity.digest(found.launch, command()), found)
    nth, rival = turn or launches.Turn(0)
    return f"{found.launch}/{command()}" + (f"#{nth}" if nth else ""), rival


def _turn(folder: Path, key: str, found: launch.Launch) -> launches.Turn | None:
    mine = launch.process()
    owner = launches.Owner(launch.host(), mine.boot_id, mine.pid, mine.started)
    return launches.take_turn(folder, f"{key}-{found.restart}", found.rank, found.size, owner)


def _joined(
    folder: Path, described: Description, found: launch.Launch, environ: Mapping[str, str]
) -> str | None:
    """Return the launch of the `sprov run` around this process, None if it has a run of its own.

    The first launch that opens a session below a wrapper is of the wrapper's run, on all ranks;
    what is started after it is not, nor is a worker of it.
    """
    level, _, rest = environ.get(WITHIN, "").partition(":")
    scope, _, wrapper = rest.partition(":")
    if not wrapper:
        return _wrapped(environ)
    is_pool = found.size == 1 and find_place(environ, (WITHIN,)).is_worker
    if scope != identity.digest(found.scope)[:16] or is_pool:
        return None
    mine = identity.digest(found.launch, command(), described.digest())
    name = identity.digest("wrapper", level, wrapper)
    try:
        is_first = launches.claim_first(folder, f"first-{name}", mine)
    except OSError:
        return _wrapped(environ)
    turn = _turn(folder, identity.digest(name, mine), found) if is_first else None
    return wrapper if turn is not None and turn.nth == 0 else None


def _wrapped(environ: Mapping[str, str]) -> str | None:
    """Return the launch of the `sprov run` that started this very process, if one did."""
    pid, _, named = environ.get(WRAPPED, "").partition(":")
    return named if named and pid == str(os.getppid()) else None


def hand_down(scope: str, launched: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return what `sprov run` adds to the environment of its command."""
    around = environ.get(WITHIN, "").partition(":")[0]
    level = int(around) + 1 if around.isdigit() else 1
    return {
        WRAPPED: f"{os.getpid()}:{launched}",
        WITHIN: f"{level}:{identity.digest(scope)[:16]}:{launched}",
    }
