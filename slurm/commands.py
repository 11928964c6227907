"""Run Slurm's client commands, and say in one line what was wrong when one fails.

Never called in a rank: the controller answers a handful of clients at a time.

Source: Slurm 22.05.8.  A client gives up on a controller that is down after 9 s, `scontrol` after
18 s; with a wrong SLURM_CONF it retries for 60 s.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence

from pllib.errors import UnavailableError

TIMEOUT_S = 40.0
SHIM = "SPROV_SRUN_SHIM"
"""Folder of an `srun` that wraps (`slurm.batch`); these commands are looked for elsewhere."""

_FOREIGN = ("SQUEUE_", "SACCT_", "SCONTROL_", "SSTAT_", "SINFO_")
"""Variables by which users change what the commands print, such as SQUEUE_FORMAT."""


class SlurmError(UnavailableError):
    """A command of Slurm failed."""


class NotInstalledError(SlurmError):
    """There is no such command here."""


class UnreachableError(SlurmError):
    """The controller or the accounting database does not answer."""


class AccountingOffError(SlurmError):
    """This cluster keeps no accounting."""


class UnsupportedError(SlurmError):
    """This version or build has no such option, as ``--json`` in 20.11 or without its plugin."""


_KINDS: tuple[tuple[str, type[SlurmError], str], ...] = (
    (r"accounting storage is disabled", AccountingOffError,
     "Slurm's accounting is off here, so used memory, CPU time and energy are not known"),
    (r"unrecognized option|invalid option|unknown option|openapi|data_parser|serializer",
     UnsupportedError, "See `sprov slurm doctor`"),
    (r"unable to contact|connection refused|connect failure|timed out|persistent connection"
     r"|no route to host|problem talking to the database|protocol authentication",
     UnreachableError, "Try again later, or see `sprov slurm doctor`"),
)  # fmt: skip


def find(name: str, environ: Mapping[str, str] | None = None) -> str:
    """Return the path of a command; one that is given with a path is taken as it is.

    Raises:
        NotInstalledError: There is none.
    """
    environ = os.environ if environ is None else environ
    shim = environ.get(SHIM)
    folders = environ.get("PATH", os.defpath).split(os.pathsep)
    path = os.pathsep.join(folder for folder in folders if folder and folder != shim)
    found = shutil.which(name, path=path)
    if found is None:
        hint = "Run this where Slurm's commands are in PATH, such as a login node"
        raise NotInstalledError(f"{name} is not installed here", hint)
    return found


def clean(environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which output is in English, unabridged, and as we ask for it.

    Times come as seconds since 1970, so that no time zone is to be guessed.
    """
    kept = {name: text for name, text in environ.items() if not name.startswith(_FOREIGN)}
    return {**kept, "LC_ALL": "C", "SLURM_TIME_FORMAT": "%s", "SLURM_BITSTR_LEN": "0"}


def call(
    name: str,
    *arguments: str,
    timeout_s: float = TIMEOUT_S,
    environ: Mapping[str, str] | None = None,
) -> str:
    """Run a command, such as ``call("squeue", "--json")``; return what it printed.

    Raises:
        SlurmError: It is not there, failed, or took too long.
    """
    done = run([name, *arguments], timeout_s=timeout_s, environ=environ)
    if done.returncode:
        raise failure(name, done.returncode, done.stderr)
    return done.stdout


def run(
    command: Sequence[str],
    *,
    timeout_s: float = TIMEOUT_S,
    environ: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command whose failure is the caller's to judge.

    Raises:
        NotInstalledError: It is not there.
        UnreachableError: It took too long.
    """
    environ = os.environ if environ is None else environ
    name, *arguments = command
    try:
        return subprocess.run(
            [find(name, environ), *arguments],
            env=clean(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        message = f"{name} did not answer in {timeout_s:g} s"
        raise UnreachableError(message, "Try again later, or see `sprov slurm doctor`") from None
    except OSError as exc:
        raise NotInstalledError(f"{name} can't be run: {exc.strerror}") from None


def failure(name: str, status: int, stderr: str) -> SlurmError:
    """Return the error that a command's exit status and words mean."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    said = lines[0] if lines else f"exit status {status}"
    for pattern, kind, hint in _KINDS:
        if found := next((line for line in lines if re.search(pattern, line, re.I)), None):
            return kind(f"{name}: {found.removeprefix(f'{name}: ')}", hint)
    return SlurmError(f"{name}: {said.removeprefix(f'{name}: ')}")


def version() -> tuple[int, ...]:
    """Return Slurm's version, as (22, 5, 8); the controller is not asked.

    Raises:
        SlurmError: There is no Slurm, or it does not say.
    """
    text = call("squeue", "--version")
    found = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
    if found is None:
        raise SlurmError(f"squeue --version says {text.strip()!r}, which is no version")
    return tuple(int(part) for part in found.groups() if part is not None)
