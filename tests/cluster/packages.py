"""Slurm's Debian packages: installed where that is possible, else the reason why not."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable

from apt import install

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
        if problem := install(*PACKAGES):
            return problem
        if left := missing():
            return f"apt-get installed no {', '.join(left)}"
    done = subprocess.run(TRIAL, capture_output=True, text=True, check=False, env={"PATH": PATH})
    return f"no virtual nodes here: {done.stderr.strip()}" if done.returncode else ""
