"""Debian packages that tests need, installed where that is possible."""

from __future__ import annotations

import os
import subprocess


def install(*packages: str) -> str:
    """Install packages; return what went wrong, or nothing."""
    # Without recommended packages: `slurmd` alone would draw in forty.
    install = ("install", "--yes", "--no-install-recommends", *packages)
    for arguments in (("update",), install):
        done = subprocess.run(
            ["apt-get", "-q", *arguments], capture_output=True, text=True, check=False,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        )  # fmt: skip
        if done.returncode:
            return f"apt-get {arguments[0]} failed: {done.stderr.strip()[-500:]}"
    return ""
