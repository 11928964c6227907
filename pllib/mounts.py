"""What the kernel says of mounted file systems: which kind holds a path, and what to call it.

Source: proc(5), ``/proc/self/mountinfo``.
"""

from __future__ import annotations

import os

import msgspec

from .foreign import is_theirs
from .regular import resolved

MAPPABLE = frozenset({"ext2", "ext3", "ext4", "xfs", "tmpfs", "overlay"})
"""Where blocks that were allocated stay allocated, so that a mapped file can't raise SIGBUS.
overlay is the writable layer of a container, on one of the others."""

SHARED = frozenset(
    {
        "nfs", "nfs4", "lustre", "gpfs", "beegfs", "ceph", "cephfs", "cifs", "smb3", "9p",
        "virtiofs", "orangefs", "pvfs2", "glusterfs", "fuse.glusterfs", "fuse.sshfs", "wekafs",
        "panfs", "afs",
    }
)  # fmt: skip
"""File systems that other hosts see under the same source."""


class Mount(msgspec.Struct, frozen=True):
    point: str
    kind: str
    source: str


def mount_of(path: str | os.PathLike[str]) -> Mount:
    """Return the mount that holds `path`, by the longest mount point that is a prefix of it."""
    real = resolved(os.fspath(path))
    best = Mount("/", "unknown", "")
    for mount in _mounts():
        inside = real == mount.point or real.startswith(mount.point.rstrip("/") + "/")
        if inside and len(mount.point) >= len(best.point):
            best = mount
    return best


def _mounts() -> list[Mount]:
    try:
        with open("/proc/self/mountinfo", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError as exc:
        if is_theirs(exc):
            raise
        return []
    return [_parse(line) for line in lines if " - " in line]


def _parse(line: str) -> Mount:
    left, right = line.split(" - ", 1)
    kind, source = right.split()[:2]
    return Mount(_unescape(left.split()[4]), kind, _unescape(source))


def _unescape(text: str) -> str:
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, char)
    return text
