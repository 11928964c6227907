"""Whose a file is that was written while a command ran, and that nobody saw written.

inotify tells each `sprov run` what is written in its folder, by whomever; and jobs, ranks and the
steps of a script share folders.  So those of one user on one node tell each other what their
commands wrote, in shared memory, and one that ends takes only what nobody else has.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator

from pllib.hook.sprov_opened import as_field
from pllib.records import FileVersion

from .descriptors import flags_of
from .lines import PREFIX

NAME = "written"
"""Of the file that commands which ended, while others ran, are listed in."""
MAX_BYTES = 64 << 20
"""Of it; then it begins anew."""


def settle(
    own: str, written: Iterable[FileVersion], unseen: list[FileVersion], pids: set[int]
) -> list[FileVersion]:
    """Return those of the `unseen` files that nobody else wrote, and tell others whose is what.

    Args:
        own: The file of lines of this `sprov run`.
        pids: Of the command's processes.

    Raises:
        OSError: Shared memory is full.
    """
    folder = os.path.dirname(own)  # noqa: PTH120
    others = [
        f"{folder}/{name}"
        for name in os.listdir(folder)  # noqa: PTH208
        if name.startswith(PREFIX) and f"{folder}/{name}" != own
    ]
    with _locked(f"{folder}/{NAME}") as fd:
        told = set(_lines(fd)) if unseen else set()
        mine = [file for file in unseen if _claim(file) not in told]
        if mine:
            theirs = {line for other in others for line in _lines_of(other)}
            names = _held_by_others({file.path for file in mine}, pids)
            mine = [
                file
                for file in mine
                if file.path not in names and f"W\t{as_field(file.path)}".encode() not in theirs
            ]
        if not others or os.fstat(fd).st_size > MAX_BYTES:
            os.ftruncate(fd, 0)
        if others:
            with contextlib.suppress(OSError):  # what is not told, others may take for theirs
                os.write(fd, b"".join(_claim(file) + b"\n" for file in (*written, *mine)))
    return mine


def _claim(file: FileVersion) -> bytes:
    return f"{file.size}\t{file.mtime_ns}\t{as_field(file.path)}".encode()


@contextlib.contextmanager
def _locked(path: str) -> Iterator[int]:
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(path, flags, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield fd
    finally:
        os.close(fd)


def _lines(fd: int) -> list[bytes]:
    return os.pread(fd, os.fstat(fd).st_size, 0).splitlines()


def _lines_of(path: str) -> list[bytes]:
    """Return the lines of another `sprov run`; none if it is over."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return []
    try:
        return _lines(fd)
    finally:
        os.close(fd)


def _held_by_others(paths: set[str], pids: set[int]) -> set[str]:
    """Return those that a process of this user, and not of the command's, has open for writing."""
    found: set[str] = set()
    for name in os.listdir("/proc"):  # noqa: PTH208
        if not name.isdigit() or int(name) in pids:
            continue
        with contextlib.suppress(OSError):  # somebody else's, or it has ended
            for number in os.listdir(f"/proc/{name}/fd"):  # noqa: PTH208
                path = os.readlink(f"/proc/{name}/fd/{number}")  # noqa: PTH115
                if path in paths and path not in found and _is_to_write(name, number):
                    found.add(path)
    return found


def _is_to_write(pid: str, number: str) -> bool:
    return flags_of(int(pid), number) & os.O_ACCMODE != os.O_RDONLY
