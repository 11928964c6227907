"""Slurm's Debian packages, and what virtual nodes need of the kernel."""

from __future__ import annotations

import os
import subprocess

from apt import PATH, provide_tools

PACKAGES = (
    "slurmctld", "slurmd", "slurm-client", "munge", "slurmdbd", "mariadb-server-core",
    "iproute2", "util-linux",
)  # fmt: skip
TOOLS = (
    "slurmctld", "slurmd", "sbatch", "munged", "slurmdbd", "mariadbd", "ip", "unshare", "nsenter",
    "setpriv",
)  # fmt: skip
TRIAL = (
    "unshare", "--mount", "--uts", "--net", "--ipc", "--pid", "--fork",
    "ip", "link", "add", "trial", "type", "bridge",
)  # fmt: skip
"""All that virtual nodes need of the kernel; nothing is left of it."""


def obstacle() -> str:
    """Return why no cluster can be made here, or nothing."""
    if os.geteuid():
        return "virtual nodes need root, for namespaces"
    if problem := provide_tools(*TOOLS, packages=PACKAGES):
        return problem
    done = subprocess.run(TRIAL, capture_output=True, text=True, check=False, env={"PATH": PATH})
    return f"no virtual nodes here: {done.stderr.strip()}" if done.returncode else ""
