"""Debian packages that tests need: installed where `SPROV_TEST_INSTALL=1` asks for it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable

ASKED = "SPROV_TEST_INSTALL"
"""Name of the variable that lets tests install packages of the system."""
PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))


def provide_tools(*tools: str, packages: tuple[str, ...]) -> str:
    """Return why tools are missing, or nothing once all of them are here."""
    return provide(lambda: [tool for tool in tools if not shutil.which(tool, path=PATH)], packages)


def provide(missing: Callable[[], list[str]], packages: tuple[str, ...]) -> str:
    """Return why something is missing, or nothing once all is here.

    Args:
        missing: Returns the names of what is not here.
        packages: Debian packages that bring it, installed where that was asked for.
    """
    if not (names := missing()):
        return ""
    reason = f"{', '.join(names)} missing"
    if os.environ.get(ASKED) != "1":
        return f"{reason} ({ASKED}=1 has {' '.join(packages)} installed)"
    if os.geteuid() or not shutil.which("apt-get"):
        return f"{reason}, and only root can install packages, with apt-get"
    if problem := _install(*packages):
        return f"{reason}: {problem}"
    left = missing()
    return f"{', '.join(left)} missing still, with {' '.join(packages)} installed" if left else ""


def _install(*packages: str) -> str:
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
