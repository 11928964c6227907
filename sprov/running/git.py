"""How the code differs from the commit that is checked out, as far as git tells; else why not.

git is asked beside the running command.  Nothing that the repository's configuration names is run,
but for its filters.
"""

from __future__ import annotations

import os
import re
import select
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from pllib.facts import git_commit

GIT = ("git", "-c", "core.fsmonitor=false")
DIFFERENCE = (
    "diff", "--no-ext-diff", "--no-textconv", "--no-color", "--ignore-submodules=untracked", "HEAD",
)  # fmt: skip
SOURCES = ("py", "pyx", "sh", "R", "r", "jl", "pl", "lua", "m", "c", "cc", "cpp", "cu", "h", "f90")
"""Endings of files that, if they are in no commit, may be code that ran."""
MAX_BYTES = 16 << 20
"""A longer difference is data, and not kept."""
MAX_ERROR_BYTES = 64 << 10
MAX_NAMES = 10
REFUSES = "git refuses"
EMPTY = "empty"
"""Instead of the digest of a difference that says nothing of why a tree is dirty."""
TIMEOUT_S = 30.0
POLL_S = 0.05
IsOver = Callable[[], bool]


class Difference(NamedTuple):
    """How a working tree differed from its commit."""

    is_dirty: bool | None
    """None if it is not known."""
    data: bytes | None
    """None if it is not known, or too long to keep."""
    unknown: tuple[str, ...]
    """What is not known, and why."""
    untracked: tuple[str, ...] = ()
    """Sources in no commit, by their path in the tree."""

    def facts(self, kept: str) -> dict[str, str]:
        """Return what is recorded of it.

        Args:
            kept: Digest of the difference, where there is one.
        """
        names = [*self.untracked[:MAX_NAMES]]
        if len(self.untracked) > MAX_NAMES:
            names.append(f"and {len(self.untracked) - MAX_NAMES:,} more")
        return {
            "git_dirty": "unknown" if self.is_dirty is None else str(int(self.is_dirty)),
            "git_diff": kept or (EMPTY if self.is_dirty and self.data == b"" else ""),
            "git_unknown": "; ".join(self.unknown),
            "git_untracked": ", ".join(names),
        }


def difference(folder: str, script: str, is_over: IsOver, others: Sequence[str] = ()) -> Difference:
    """Return how the tree around a folder differs from its commit.

    Args:
        script: What runs; empty if that is no file.
        is_over: Tells whether to give up.
        others: Folders of which code may come, too.
    """
    asked = _Git(folder, is_over)
    top = os.fsdecode(asked.ask("rev-parse", "--show-toplevel") or b"").rstrip("\n")
    if not top:
        return Difference(None, None, (asked.trouble,))
    unknown = _other_trees(top, others)
    data = asked.ask(*DIFFERENCE)
    is_dirty = None if data is None and not asked.is_too_long else data != b""
    if data is None:
        unknown.append(asked.trouble)
    unknown += [f"what differs in the submodule {name} is not kept" for name in _dirty(data or b"")]
    if script and not script.startswith(top.rstrip("/") + "/"):
        unknown.append(f"{script} is in no commit: it lies outside of {top}")
        is_dirty = is_dirty or None
    elif script and not asked.has("HEAD:" + os.path.relpath(script, top)):
        unknown.append(asked.trouble or f"{script} is in no commit")
        is_dirty = is_dirty or (None if asked.trouble else True)
    untracked = _untracked(asked)
    unknown += [asked.trouble] if asked.trouble else []
    return Difference(is_dirty, data, tuple(unknown), untracked)


def _other_trees(top: str, folders: Sequence[str]) -> list[str]:
    """Say which other repositories these folders are in."""
    found = {}
    for folder in folders:
        other = repository_of(folder)
        if other and other != top:
            found[other] = git_commit(other)
    return [
        f"{other}, at commit {commit[:12]}, was not compared" for other, commit in found.items()
    ]


def repository_of(folder: str) -> str:
    """Return the top of the repository that a folder is in; empty for none with a commit."""
    folder = os.path.realpath(folder)
    while folder != "/" and git_commit(folder):
        if os.path.lexists(f"{folder}/.git"):
            return folder
        folder = os.path.dirname(folder)  # noqa: PTH120
    return ""


def _dirty(data: bytes) -> list[str]:
    """Return the submodules that are checked out with changes of their own."""
    if b"-dirty\n" not in data:
        return []
    pieces = re.split(rb"^diff --git ", data, flags=re.MULTILINE)
    names = [
        re.search(rb"^\+\+\+ b/(.*)$", piece, re.MULTILINE)
        for piece in pieces
        if re.search(rb"^\+Subproject commit [0-9a-f]+-dirty$", piece, re.MULTILINE)
    ]
    return [name[1].decode(errors="backslashreplace") for name in names if name is not None]


def _untracked(asked: _Git) -> tuple[str, ...]:
    patterns = [f":(top)*.{ending}" for ending in SOURCES]
    listed = asked.ask("ls-files", "--others", "--exclude-standard", "--full-name", "-z", "--",
                       *patterns)  # fmt: skip
    names = (listed or b"").split(b"\0")
    return tuple(sorted(name.decode(errors="backslashreplace") for name in names if name))


class _Git:
    """Asks git about the tree around a folder."""

    def __init__(self, folder: str, is_over: IsOver) -> None:
        self._folder = folder
        self._is_over = is_over
        self._until_s = time.monotonic() + TIMEOUT_S
        self.trouble = ""
        """Why the last question has no answer."""
        self.is_too_long = False

    def has(self, name: str) -> bool:
        """Tell whether there is an object; `trouble` says if that is not known."""
        if self.ask("cat-file", "-e", name) is not None:
            return True
        if self.trouble.startswith(REFUSES):
            self.trouble = ""
        return False

    def ask(self, *words: str) -> bytes | None:
        """Return what git says; None with the reason in `trouble` if it does not."""
        environ = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
        self.trouble, self.is_too_long = "", False
        try:
            process = subprocess.Popen(
                [*GIT, *words], cwd=self._folder, env=environ, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
            )  # fmt: skip
        except OSError as exc:
            self.trouble = f"git can't be run: {exc.strerror}"
            return None
        with process:
            data, errors = self._read(process)
            if self.trouble:
                process.kill()
        if not self.trouble and process.returncode:
            lines = errors.decode(errors="replace").strip().splitlines() or ["it says nothing"]
            self.trouble = f"{REFUSES}: {lines[0].removeprefix('fatal: ')}"
        return None if self.trouble else data

    def _read(self, process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
        """Return all that git writes, unless it is too much or takes too long."""
        assert process.stdout is not None
        assert process.stderr is not None
        out, err = process.stdout.fileno(), process.stderr.fileno()
        found = {out: bytearray(), err: bytearray()}
        poll = select.poll()
        for fd in found:
            poll.register(fd)
        n_open = len(found)
        while n_open:
            self.is_too_long = len(found[out]) > MAX_BYTES
            if self.is_too_long:
                self.trouble = f"the difference is over {MAX_BYTES >> 20} MiB"
            elif self._is_over():
                self.trouble = "the command ended before git had answered"
            elif time.monotonic() > self._until_s:
                self.trouble = f"git takes over {TIMEOUT_S:.0f} s"
            if self.trouble:
                break
            for fd, _ in poll.poll(POLL_S * 1000):
                data = os.read(fd, 1 << 20)
                if not data:
                    poll.unregister(fd)
                    n_open -= 1
                elif fd == out or len(found[err]) < MAX_ERROR_BYTES:
                    found[fd] += data
        return bytes(found[out]), bytes(found[err])
