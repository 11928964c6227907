"""Slurm's Debian packages: installed where that is possible, else the reason why not."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable

PACKAGES = (
    "slurmctld", "slurmd", "slurm-client", "munge", "slurmdbd", "mariadb-server-core",
    "iproute2", "util-linux",
)  # fmt: skip
TOOLS = (
    "slurmctld", "slurmd", "sbatch", "munged", "slurmdbd", "mariadbd", "ip", "unshare", "nsenter",
    "setpriv",
)  # fmt: skip
PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
TRIAL = (
    "unshare", "--mount", "--uts", "--net", "--ipc", "--pid", "--fork",
    "ip", "link", "add", "trial", "type", "bridge",
)  # fmt: skip
"""All that virtual nodes need of the kernel; nothing is left of it."""


def missing() -> list[str]:
    return [tool for tool in TOOLS if not shutil.which(tool, path=PATH)]


def obstacle(say: Callable[[str], None]) -> str:
    """Return why no cluster can be made here, or nothing once all that it needs is installed."""
    if os.geteuid():
        return "virtual nodes need root, for namespaces"
    if tools := missing():
        if not shutil.which("apt-get"):
            return f"{', '.join(tools)} missing, and there is no apt-get"
        say(f"apt-get installs {' '.join(PACKAGES)}, for tests/cluster")
        if problem := _install():
            return problem
    done = subprocess.run(TRIAL, capture_output=True, text=True, check=False, env={"PATH": PATH})
    return f"no virtual nodes here: {done.stderr.strip()}" if done.returncode else ""


def _install() -> str:
    """Install the packages; return what went wrong, or nothing."""
    # Without recommended packages: `slurmd` alone would draw in forty.
    install = ("install", "--yes", "--no-install-recommends", *PACKAGES)
    for arguments in (("update",), install):
        done = subprocess.run(
            ["apt-get", "-q", *arguments], capture_output=True, text=True, check=False,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        )  # fmt: skip
        if done.returncode:
            return f"apt-get {arguments[0]} failed: {done.stderr.strip()[-500:]}"
    return f"apt-get installed no {', '.join(left)}" if (left := missing()) else ""
