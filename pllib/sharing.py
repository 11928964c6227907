"""Who may read and write what a project keeps: its owner alone, or a Unix group.

One rule: a project is its group's if its ``.sprov/`` has mode 2770 (`sprov init --group`), and what
lies in it is made alike, whatever the umask; all else that we make is its owner's.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING

from .errors import UnavailableError

if TYPE_CHECKING:
    from pathlib import Path

GROUP_FOLDER = 0o2770
"""New files take the folder's group, not their writer's."""
GROUP_FILE = 0o660
OWNERS_ALONE = ".key"
"""Files whose names end so are their owner's even in a group's project: a tracker's secret."""


def is_shared(root: Path) -> bool:
    """Tell whether a project's root is its group's."""
    try:
        return root.stat().st_mode & GROUP_FOLDER == GROUP_FOLDER
    except FileNotFoundError:
        return False


def is_trusted(root: Path) -> bool:
    """Tell whether a project's root is this user's, or was shared on purpose with a group of his.

    Where everybody may write, as in /tmp, anybody could share one with a group that all are in:
    there only one's own will do.  A link must be of who owns what it leads to.

    Raises:
        OSError: It is not there or can't be looked at.
    """
    link, found, around = root.lstat(), root.stat(), root.parent.stat()
    if stat.S_ISLNK(link.st_mode) and link.st_uid != found.st_uid:
        return False
    if found.st_uid == os.geteuid():
        return True
    is_shared = found.st_mode & (GROUP_FOLDER | stat.S_IWOTH) == GROUP_FOLDER
    is_member = found.st_gid in (os.getegid(), *os.getgroups())
    return is_shared and is_member and not around.st_mode & stat.S_IWOTH


def in_shared(path: Path) -> bool:
    """Tell whether a path lies in a project that is its group's.

    A folder for spools or indexes that lies elsewhere is not, even if its group may write there.
    """
    for folder in path.parents:
        if (folder / "endpoints").is_dir() and (folder / "journal").is_dir():
            return is_shared(folder)
    return False


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing, each for whom the project is.

    Raises:
        OSError: It can't be made, or is no folder.
    """
    if not folder.is_dir():
        make_folder(folder.parent)
        make_one(folder, shared=in_shared(folder))


def make_one(folder: Path, *, shared: bool) -> None:
    """Make one folder if it is missing, for its group or its owner alone; its name is durable then.

    Raises:
        OSError: It can't be made, or is no folder.
    """
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        if not folder.is_dir():
            raise
    else:
        folder.chmod(GROUP_FOLDER if shared else 0o700)
        sync_folder(folder.parent)


def make_private(folder: Path) -> None:
    """Make a folder for this user alone where others may have made one before: /dev/shm, /tmp.

    Raises:
        UnavailableError: What is there is a link, somebody else's, or others may enter it.
        OSError: It can't be made.
    """
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    make_one(folder, shared=False)
    check_private(folder)


def check_private(folder: Path) -> None:
    """See that a folder is this user's, no link to one, and that nobody else may enter it.

    Raises:
        UnavailableError: It is not.
    """
    if not is_private(folder):
        is_missing = not folder.is_symlink() and not folder.exists()
        what = "does not exist here" if is_missing else "is not this user's alone"
        raise UnavailableError(
            f"the folder {folder} {what}", "" if is_missing else "It must be yours, with mode 700"
        )


def is_private(folder: Path) -> bool:
    """Tell whether a path is this user's folder, no link to one, and nobody else may enter it."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
    return is_ours and not found.st_mode & 0o077


def open_file(path: Path, flags: int) -> int:
    """Open a file; return its descriptor.  One that this makes is for whom the project is.

    Where it may be made a link is not followed: another of the group could have it lead anywhere.

    Raises:
        OSError: As of `os.open`.
    """
    if flags & os.O_CREAT:
        flags |= os.O_NOFOLLOW
    fd = os.open(path, flags | os.O_CLOEXEC, 0o600)
    found = os.fstat(fd)
    mode = GROUP_FILE if in_shared(path) else 0o600
    if flags & os.O_CREAT and found.st_mode & 0o777 != mode and found.st_uid == os.geteuid():
        os.fchmod(fd, mode)
    return fd


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable.

    Raises:
        OSError: The disk is full or failed.
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def share(root: Path) -> None:
    """Give a folder and all that lies in it to its group, as far as it is this user's.

    Raises:
        OSError: A folder can't be read.
    """
    for place, _, files in os.walk(root, onerror=_fail):
        _give(place, GROUP_FOLDER)
        for name in files:
            if name.endswith(OWNERS_ALONE):
                continue
            with contextlib.suppress(FileNotFoundError):  # RocksDB may be at work
                _give(os.path.join(place, name), GROUP_FILE)  # noqa: PTH118


def _give(path: str, mode: int) -> None:
    found = os.lstat(path)
    kind = stat.S_IFMT(found.st_mode)
    if found.st_uid == os.geteuid() and kind != stat.S_IFLNK and found.st_mode != kind | mode:
        os.chmod(path, mode)  # noqa: PTH101


def own(folder: Path) -> None:
    """Replace files of a shared folder that this user can't write by copies that are its own.

    Linux makes hard links only to files that one can write (fs.protected_hardlinks).

    Raises:
        OSError: A file can't be read.
    """
    import shutil

    for path in folder.iterdir():
        if not os.access(path, os.W_OK):
            copy = path.with_name(f".{path.name}.copy")
            shutil.copyfile(path, copy)
            copy.replace(path)


def _fail(exc: OSError) -> None:
    raise exc
