"""Other users of this machine, and this installation as they could run it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

from harness import PROGRAMS, SCRIPT, TIMEOUT_S, lack

HERE = Path(__file__).parent.parent
HIDE = "mount -t proc -o hidepid=2 proc /proc\n"
SETPRIV = ("setpriv", "--inh-caps=-all", "--bounding-set=-all")


def closed(path: Path) -> Path | None:
    """Return the uppermost folder of a path that others can't pass, such as root's home."""
    folders = [path, *path.parents]
    return next((folder for folder in folders[::-1] if not folder.stat().st_mode & 0o001), None)


def passage(empty: Path) -> str:
    """Return shell lines that, in a mount namespace, let others pass to what this Python needs.

    What is closed becomes an empty folder that is open, with only that in it.

    Args:
        empty: A folder to mount something on.
    """
    lines = ["set -e"]
    needed = {Path(path).resolve() for path in (sys.base_prefix, sys.prefix, HERE)}
    for folder in {gate for path in needed if (gate := closed(path))}:
        inside = sorted(path for path in needed if path.is_relative_to(folder))
        lines += [
            f"mount --rbind {shlex.quote(str(folder))} {shlex.quote(str(empty))}",
            f"mount -t tmpfs -o mode=755 passage {shlex.quote(str(folder))}",
        ]
        for path in inside:
            quoted = shlex.quote(str(path))
            there = shlex.quote(str(empty / path.relative_to(folder)))
            lines += [f"(umask 022; mkdir -p {quoted})", f"mount --rbind {there} {quoted}"]
    return "\n".join([*lines, 'exec "$@"'])


class Member:
    """A user, with a umask, who works in a folder."""

    def __init__(
        self,
        uid: int,
        groups: list[int],
        folder: Path,
        umask: int,
        empty: Path,
        *,
        hidden: bool = False,
    ) -> None:
        """Say who it is.

        Args:
            hidden: It does not see processes of others.
        """
        many = ",".join(map(str, groups))
        who = ["--reuid", str(uid), "--regid", str(uid)]
        belongs = ["--groups", many] if many else ["--clear-groups"]
        mounts = f"{HIDE if hidden else ''}{passage(empty)}"
        self._as = ["unshare", "--mount", "sh", "-c", mounts, "sh", *SETPRIV, *who, *belongs]
        self.folder = folder
        self.umask = umask

    def start(self, *command: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self._as, *command],
            cwd=self.folder,
            env={**os.environ, "HOME": "/nonexistent", "SPROV_MODE": "offline", **environment},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            umask=self.umask,
        )

    def run(self, *command: str, status: int = 0, **environment: str) -> str:
        process = self.start(*command, **environment)
        out, errors = process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == status, out + errors
        return out if status == 0 else errors

    def sprov(self, *arguments: str, status: int = 0, **environment: str) -> str:
        return self.run(SCRIPT, *arguments, status=status, **environment)

    def train(self) -> None:
        self.run(sys.executable, str(PROGRAMS / "training.py"))

    def runs(self) -> int:
        return len(json.loads(self.sprov("runs", "--format", "json")))


def require_two_users(empty: Path) -> None:
    """Skip a test where it can't be several users; in CI that is a failure."""
    if os.geteuid():
        reason = "only root can be two users"
    else:
        try:
            Member(5001, [], Path("/"), 0o022, empty).run(sys.executable, "-c", "import pllib")
            return
        except (AssertionError, OSError) as exc:
            reason = f"another user can't run this Python: {exc}"
    lack(reason)
