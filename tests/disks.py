"""Disks that fail when told to, and what a power cut leaves: the shim of `faults/shim/disk.c`.

The model of a power cut, which is at least as bad as what POSIX allows a disk:

- A file has the bytes that it had when it was last synced (fsync, fdatasync) and not been cut
  (ftruncate, O_TRUNC) since; one that was never synced is empty.
- A folder has the names that it had when it was last synced.  So files that were made, linked or
  renamed since have not the new names, and have the old ones, with what these files had.
- Of names that were deleted since, a draw says whether they are back.
- What was there when `begin` was called is durable.

Not modelled: bytes that are overwritten in place inside what was synced, mapped memory, O_SYNC, and
a disk that says that it synced and did not.  Processes without the shim must not write there.
"""

from __future__ import annotations

import mmap
import os
import shutil
import stat
import struct
import subprocess
from pathlib import Path
from typing import NamedTuple

from apt import provide_tools

SOURCE = Path(__file__).parent / "faults" / "shim" / "disk.c"
WRITES, SYNCS, NAMES, SHORTS = 1, 2, 4, 8
FOR_EVER = -1
_CONTROL = struct.Struct("iiii1008s")


def missing_compiler() -> str:
    """Return why the shim can't be built here, or nothing once there is a compiler."""
    return provide_tools("cc", packages=("gcc", "libc6-dev"))


def build(folder: Path) -> Path:
    """Compile the shim."""
    library = folder / "disk.so"
    command = ["cc", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra"]
    subprocess.run([*command, "-o", str(library), str(SOURCE), "-ldl"], check=True)
    return library


class Disk:
    """What lies below `root`, as processes with `environment` see it."""

    def __init__(self, library: Path, root: Path, state: Path) -> None:
        """Args:
        state: An empty folder outside `root`, on the same file system.
        """
        self.root = root
        self._library = library
        self._state = state
        self.notes = state / "notes"
        self._kept = state / "kept"
        path = state / "control"
        path.write_bytes(bytes(_CONTROL.size))
        with path.open("r+b") as file:
            self._control = mmap.mmap(file.fileno(), _CONTROL.size)
        self._names: dict[int, dict[str, int]] = {}
        self._sizes: dict[int, int] = {}

    @property
    def environment(self) -> dict[str, str]:
        found = {
            "LD_PRELOAD": str(self._library),
            "SPROV_DISK_ROOT": str(self.root),
            "SPROV_DISK_CONTROL": str(self._state / "control"),
        }
        if self.notes.exists():
            found |= {"SPROV_DISK_NOTES": str(self.notes), "SPROV_DISK_KEPT": str(self._kept)}
        return found

    def fail(
        self, error: int, calls: int, part: str, left: int = FOR_EVER, before: int = 0
    ) -> None:
        """Have calls fail on paths below the root that contain `part`.

        Args:
            error: An errno.
            calls: Kinds of calls: WRITES, SYNCS and NAMES (of new names); SHORTS are writes that
                write half.
            left: How many calls, then none.
            before: How many calls do not fail before the first does.
        """
        self.heal()
        self._control[:] = _CONTROL.pack(0, calls, left, before, part.encode())
        self._control[:4] = error.to_bytes(4, "little")

    def heal(self) -> None:
        self._control[:4] = bytes(4)

    @property
    def left(self) -> int:
        """How many of the calls that were to fail have not yet been."""
        return int(_CONTROL.unpack(self._control[:])[2])

    def begin(self) -> None:
        """Take what is there for durable, and note from now on what is made so."""
        shutil.rmtree(self._kept, ignore_errors=True)
        self._kept.mkdir()
        self.notes.write_bytes(b"")
        self._names, self._sizes = {}, {}
        for folder in (Path(place) for place, _, _ in os.walk(self.root)):
            found = {path.name: path.lstat() for path in folder.iterdir()}
            self._names[folder.stat().st_ino] = {name: each.st_ino for name, each in found.items()}
            for each in found.values():
                if not stat.S_ISDIR(each.st_mode):
                    self._sizes[each.st_ino] = each.st_size

    def cut(self, *, undelete: bool) -> Lost:
        """Leave of all that lies below the root what a power cut leaves; no process may run there.

        Args:
            undelete: Names are back that were deleted and whose folder was not synced since.
        """
        self._read_notes()
        before = self.root.with_name(f"{self.root.name}.before")
        self.root.rename(before)
        rebuilt = _Rebuilt(before, self._kept, self._names, self._sizes, undelete=undelete)
        rebuilt.place(before.stat().st_ino, before, self.root)
        rebuilt.truncate()
        n_names = len(_names(before) - _names(self.root))
        rebuilt.keep_folders()
        self.begin()
        return Lost(rebuilt.n_bytes, n_names)

    def _read_notes(self) -> None:
        last: dict[int, int] = {}
        is_newer = True
        for line in self.notes.read_text(errors="surrogateescape").splitlines():
            what, identity, number, rest = line.split(" ", 3)
            inode = int(identity.partition(":")[2])
            if what == "N":
                if is_newer:
                    self._names[inode][rest] = int(number)
                continue
            is_newer = int(number) >= last.get(inode, 0)
            if not is_newer:
                continue
            last[inode] = int(number)
            if what == "S":
                self._sizes[inode] = int(rest)
            elif what == "T":
                self._sizes[inode] = min(self._sizes.get(inode, 0), int(rest))
            else:
                self._names[inode] = {}


def _names(root: Path) -> set[str]:
    """Return the paths of all files below a folder, relative to it."""
    return {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}


class Lost(NamedTuple):
    """What a power cut took of files that were there."""

    n_bytes: int
    n_names: int


class _Rebuilt:
    """A tree that is made of another one's inodes under their durable names."""

    def __init__(
        self,
        before: Path,
        kept: Path,
        names: dict[int, dict[str, int]],
        sizes: dict[int, int],
        *,
        undelete: bool,
    ) -> None:
        self._names, self._sizes, self._undelete = names, sizes, undelete
        self._paths: dict[int, Path] = {int(p.name.partition(":")[2]): p for p in kept.iterdir()}
        self._live: set[int] = set()
        for place, folders, files in os.walk(before):
            for name in [*folders, *files]:
                path = Path(place) / name
                self._paths[path.lstat().st_ino] = path
                self._live.add(path.lstat().st_ino)
        self._placed: dict[int, Path] = {}
        self._folders: list[tuple[Path, Path]] = []
        self.n_bytes = 0

    def place(self, inode: int, was: Path, folder: Path) -> None:
        """Make a folder with its durable names.

        Args:
            was: Where the folder is now.
        """
        folder.mkdir()
        self._folders.append((was, folder))
        for name, child in self._names.get(inode, {}).items():
            here = self._paths.get(child)
            is_deleted = child not in self._live and not os.path.lexists(was / name)
            if is_deleted and not self._undelete:
                continue
            if here is None:  # it was made and removed by a process without the shim
                continue
            if here.is_dir() and not here.is_symlink():
                self.place(child, here, folder / name)
            else:
                os.link(here, folder / name, follow_symlinks=False)
                self._placed[child] = folder / name

    def keep_folders(self) -> None:
        """Have each folder be what it was: a project knows itself by its inode."""
        for was, folder in reversed(self._folders):
            for path in was.iterdir():
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()
            for path in folder.iterdir():
                path.rename(was / path.name)
            folder.rmdir()
            was.rename(folder)

    def truncate(self) -> None:
        for inode, path in self._placed.items():
            found = path.lstat()
            size = self._sizes.get(inode, 0)
            if stat.S_ISREG(found.st_mode) and found.st_size > size:
                self.n_bytes += found.st_size - size
                os.truncate(path, size)
