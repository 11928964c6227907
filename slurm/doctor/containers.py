"""Whether programs in containers would see the project, shared memory and the spool folder.

Source: Apptainer 1.x user guide, "Bind Paths and Mounts": home, working folder, /tmp and /dev are
bound unless its configuration says no.  Pyxis README: nothing of the host but what
``--container-mounts`` names.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from pllib.facts import surroundings
from pllib.places import SHARED_MEMORY

from .. import commands
from ..commands import SlurmError
from .report import OK, WARN, Finding

RUNTIMES = ("apptainer", "singularity")
CONFIGURATIONS = (
    "/etc/apptainer/apptainer.conf", "/usr/local/etc/apptainer/apptainer.conf",
    "/etc/singularity/singularity.conf", "/usr/local/etc/singularity/singularity.conf",
)  # fmt: skip


def check(environ: Mapping[str, str], needed: list[Path]) -> Iterator[Finding]:
    """Say what containers that this host can start would lack.

    Args:
        needed: Folders that a rank writes.
    """
    if inside := surroundings(environ).get("container"):
        yield Finding("container", OK, f"this runs in one ({inside}); what it sees is judged above")
        return
    runtime = next((name for name in RUNTIMES if shutil.which(name)), None)
    if runtime is not None:
        yield apptainer(runtime, environ, needed, _configured())
    if has_pyxis():
        mounts = ",".join(map(str, [*needed, Path(SHARED_MEMORY)]))
        yield Finding(
            "Pyxis", WARN, "containers of `srun --container-image` see only what is mounted",
            f"srun --container-mounts={mounts}",
        )  # fmt: skip


def apptainer(
    runtime: str, environ: Mapping[str, str], needed: list[Path], configured: str
) -> Finding:
    """Judge by configuration and environment which of the folders would be bound."""
    bound = [*_defaults(environ, configured), *_binds(environ)]
    lacking = [
        str(folder) for folder in needed if not any(folder.is_relative_to(at) for at in bound)
    ]
    if not lacking:
        return Finding("container", OK, f"{runtime} binds all that a rank writes")
    there = ",".join(lacking)
    return Finding(
        "container", WARN, f"{runtime} would not bind {there}",
        f"export {runtime.upper()}_BIND={there} in the job script",
    )  # fmt: skip


def _defaults(environ: Mapping[str, str], configured: str) -> Iterator[Path]:
    said = dict(re.findall(r"(?m)^\s*mount (\w+)\s*=\s*(\w+)", configured))
    for name, folder in (
        ("home", environ.get("HOME", "")), ("tmp", "/tmp"), ("tmp", "/var/tmp"),
        ("dev", SHARED_MEMORY),
    ):  # fmt: skip
        if folder and said.get(name, "yes") != "no":
            yield Path(folder)
    yield Path.cwd()
    for path in re.findall(r"(?m)^\s*bind path\s*=\s*(\S+)", configured):
        yield Path(path.partition(":")[0])


def _binds(environ: Mapping[str, str]) -> Iterator[Path]:
    for runtime in RUNTIMES:
        for name in (f"{runtime.upper()}_BIND", f"{runtime.upper()}_BINDPATH"):
            for item in environ.get(name, "").split(","):
                if item:
                    yield Path(item.partition(":")[0])


def _configured() -> str:
    for name in CONFIGURATIONS:
        try:
            return Path(name).read_text(errors="replace")
        except OSError:
            continue
    return ""


def has_pyxis() -> bool:
    """Tell whether srun has Pyxis's options; a plugin adds them to its help."""
    try:
        return "--container-image" in commands.call("srun", "--help", timeout_s=10.0)
    except SlurmError:
        return False
