"""The `srun` that is first in PATH of a job by `sprov slurm submit`: it records each step.

``srun -n8 python train.py`` becomes ``srun -n8 sprov run -- python train.py``.  A line that it is
not sure to understand goes on as it is, which is said once in a job.

Beside it is an `sbatch` that submits another job from this one, without what is this one's.

It is run as a file by ``python -I -S``, in 20 ms, and imports nothing but the standard library and
`options` beside it: a step is not to depend on what a job does to PYTHONPATH.

    srun_line.py SPROV FOLDER srun|sbatch ARGUMENT...

SPROV is the `sprov` command, FOLDER where this `srun` lies: the real one is looked for elsewhere.

Source: srun(1) of 22.05.8; heterogeneous_jobs.html, ``:`` between components of a step.
"""

from __future__ import annotations

import os
import shutil
import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING or __name__ != "__main__":
    from .options import SRUN, Line, Unknown, split
else:
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120
    from options import SRUN, Line, Unknown, split

FUNCTIONS = ("BASH_FUNC_srun%%", "BASH_FUNC_sbatch%%")
"""How bash exports functions, which find us when a login shell has reset PATH."""
OF_SITE = {"SPROV_DIR", "SPROV_MODE", "SPROV_SITE", "SPROV_SITE_CONFIG", "SPROV_SPOOL_DIR"}
"""What another job may have of this one's."""
HOOK = "/pllib/hook"
"""End of the folder that `sprov run` has Python look into first."""

_PRINTS = {"help", "usage", "version", "test-only"}
_DAEMONS = {
    "orted", "prted", "prterun", "hydra_pmi_proxy", "hydra_bstrap_proxy", "pmi_proxy",
    "mpispawn", "mpirun", "mpiexec", "mpiexec.hydra",
}  # fmt: skip
"""What an `mpirun` starts by `srun` on each node, and others that start ranks by themselves."""


def wrap(arguments: Sequence[str], sprov: str, folder: str = ".") -> tuple[list[str], str]:
    """Return srun's arguments with each command run by `sprov`, and why if they are as before.

    Args:
        folder: The working folder; `srun` looks there for a command before it looks in PATH.
    """
    wrapped: list[str] = []
    for n, part in enumerate(_components(arguments)):
        try:
            line = split(part, SRUN)
        except Unknown as exc:
            return list(arguments), f"the option {exc} is not known"
        if (reason := _why_not(line, sprov)) is not None:
            return list(arguments), reason
        before = part[: len(part) - len(line.command)]
        wrapped += [*([":"] if n else []), *before]
        if line.command:
            wrapped += [sprov, "run", "--", _path(line, folder), *line.command[1:]]
    return wrapped, ""


def _components(arguments: Sequence[str]) -> list[list[str]]:
    """Split at each ``:`` that stands alone, as `srun` does."""
    parts: list[list[str]] = [[]]
    for word in arguments:
        if word == ":":
            parts.append([])
        else:
            parts[-1].append(word)
    return parts


def _why_not(line: Line, sprov: str) -> str | None:
    """Return why a line is left as it is, an empty text where that needs no word; else None."""
    names = {name for name, _ in line.options}
    if names & _PRINTS:
        return ""
    if "multi-prog" in names:
        return "--multi-prog names its programs in a file"
    if "bcast" in names:
        return "--bcast copies the command to the nodes"
    if "pty" in names:
        return "--pty is for a terminal"
    if container := next((name for name in names if name.startswith("container")), ""):
        return f"--{container} runs the command where sprov may not be"
    if line.command and os.path.basename(line.command[0]) in _DAEMONS:  # noqa: PTH119
        return ""
    if line.command and os.path.basename(line.command[0]) == os.path.basename(sprov):  # noqa: PTH119
        return ""
    return None


def _path(line: Line, folder: str) -> str:
    """Return the command as `sprov run` finds what `srun` would: the working folder comes first."""
    command = line.command[0]
    place = next((value for name, value in line.options if name == "chdir" and value), folder)
    here = os.path.join(place, command)  # noqa: PTH118
    if "/" not in command and os.path.isfile(here) and os.access(here, os.X_OK):  # noqa: PTH113
        return f"./{command}"
    return command


def main(sprov: str, shim: str, name: str, *arguments: str) -> None:
    """Become the real command."""
    environ = _without(os.environ, "PATH", lambda folder: folder == shim)
    environ = {name: text for name, text in environ.items() if name not in FUNCTIONS}
    real = shutil.which(name, path=environ.get("PATH", os.defpath))
    if real is None:
        sys.exit(f"{name}: command not found")
    words = list(arguments)
    if name == "srun":
        words, reason = wrap(arguments, sprov)
        if reason:
            _say_once(shim, reason)
    else:
        environ = of_another_job(environ)
    os.execve(real, [name, *words], environ)


def of_another_job(environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without what this job's provenance has added."""
    ours = {name for name in environ if name.startswith("SPROV_")} - OF_SITE
    kept = {name: text for name, text in environ.items() if name not in ours}
    return _without(kept, "PYTHONPATH", lambda folder: folder.endswith(HOOK))


def _without(
    environ: Mapping[str, str], name: str, is_ours: Callable[[str], bool]
) -> dict[str, str]:
    """Return an environment without some of the folders of a path."""
    if name not in environ:
        return dict(environ)
    kept = [folder for folder in environ[name].split(os.pathsep) if not is_ours(folder)]
    others = {key: text for key, text in environ.items() if key != name}
    return {**others, name: os.pathsep.join(kept)} if kept else others


def _say_once(shim: str, reason: str) -> None:
    try:
        told = os.path.join(shim, f"told-{zlib.crc32(reason.encode()):x}")  # noqa: PTH118
        os.close(os.open(told, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    except OSError:
        return
    sys.stderr.write(f"sprov: a step runs without provenance: {reason}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
