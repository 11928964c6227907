"""Where spools and logs would lie: kinds of file systems, room and quotas.

Source: statvfs(3); quota(1) of Linux quota-tools; `lfs-quota(1)` of Lustre 2.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from pllib.mounts import MAPPABLE, SHARED, mount_of
from pllib.places import SHARED_MEMORY

from .. import commands
from ..commands import SlurmError
from .report import OK, WARN, Finding

LITTLE_BYTES = 1 << 30
FEW_INODES = 10_000
FULL = 0.9
QUOTA_TIMEOUT_S = 5.0


def node_local(environ: Mapping[str, str], chosen: str, spool: Path) -> Iterator[Finding]:
    """Say what each folder that may be node-local is like, and where spools would go.

    Args:
        chosen: Folder for them that is set; empty for none.
        spool: The project's own.
    """
    named = {name: environ.get(name, "") for name in ("SLURM_TMPDIR", "TMPDIR")}
    named |= {"/tmp": "/tmp", SHARED_MEMORY: SHARED_MEMORY}
    seen: set[str] = set()
    for name, folder in named.items():
        if folder and folder not in seen and Path(folder).is_dir():
            seen.add(folder)
            label = name if name == folder else f"{name} = {folder}"
            yield Finding("disk", OK, f"{label}: {describe(Path(folder))}")
    yield _spools(Path(chosen) if chosen else spool, chosen=bool(chosen))


def _spools(folder: Path, *, chosen: bool) -> Finding:
    place = existing(folder)
    kind = mount_of(place).kind
    if kind in MAPPABLE and os.access(place, os.W_OK):
        return _room("spools", place, f"in {folder} ({kind})")
    shared = Path(SHARED_MEMORY)
    reason = f"{kind} can't be mapped safely" if kind not in MAPPABLE else "not writable"
    if chosen:
        return Finding(
            "spools", WARN, f"spool_dir = {folder}: {reason}",
            "Set it to a folder on local ext4, xfs or tmpfs; until then spools are in "
            f"{SHARED_MEMORY}",
        )  # fmt: skip
    return _room("spools", shared, f"in {SHARED_MEMORY}, which is memory of the job: {reason}")


def _room(check: str, place: Path, text: str) -> Finding:
    free, inodes = room(place)
    if free < LITTLE_BYTES:
        return Finding(
            check, WARN, f"{text}, only {size(free)} free",
            "Ranks drop records, and count them, when it is full; set spool_dir in [slurm], or "
            "spool_limit_bytes (of each rank) in [capture]",
        )  # fmt: skip
    if inodes is not None and inodes < FEW_INODES:
        return Finding(check, WARN, f"{text}, only {inodes} files more", "Remove some")
    return Finding(check, OK, f"{text}, {size(free)} free")


def project_disk(root: Path) -> Finding:
    """Say how much room the file system of a project has."""
    return _room("room", root, f"{mount_of(root).kind} under {root}")


def quotas(root: Path) -> Iterator[Finding]:
    """Say how full this user's quota is, where a command can tell."""
    kind = mount_of(root).kind
    if kind == "lustre":
        yield from _asked(["lfs", "quota", "-q", "-u", str(os.getuid()), str(root)], lustre)
    elif kind in ("nfs", "nfs4", "ext4", "xfs"):
        yield from _asked(["quota", "-q"], over)


def _asked(command: list[str], read: Callable[[str], str]) -> Iterator[Finding]:
    try:
        done = commands.run(command, timeout_s=QUOTA_TIMEOUT_S)
    except SlurmError:  # not installed, or too slow to be asked
        return
    trouble = read(done.stdout)
    name = " ".join(command[:2]) if command[0] == "lfs" else command[0]
    if trouble:
        yield Finding("quota", WARN, f"{name}: {trouble}", "Remove files, or ask for more")
    elif not done.returncode:
        yield Finding("quota", OK, f"{name}: below its limits")


def over(output: str) -> str:
    """Return what ``quota -q`` complains of: it is silent below the limits."""
    return " ".join(output.split())[:200]


def lustre(output: str) -> str:
    """Return what is nearly full by ``lfs quota -q``: kbytes quota limit grace files quota limit.

    A ``*`` marks what is over its quota; a limit of 0 is none.
    """
    words = output.split()
    numbers = [word.rstrip("*") for word in words[1:]]
    for what, used, limit in (("bytes", 0, 2), ("files", 4, 6)):
        texts = numbers[used : used + 1] + numbers[limit : limit + 1]
        if len(texts) == 2 and all(text.isdigit() for text in texts):
            have, most = map(int, texts)
            if most and have >= FULL * most:
                return f"{have / most:.0%} of the {what} that are allowed"
    return ""


def describe(folder: Path) -> str:
    """Return kind, room and use of a folder's file system, as text."""
    kind = mount_of(folder).kind
    free, _ = room(folder)
    use = "shared by nodes: not for spools" if kind in SHARED else "may hold spools"
    if kind not in MAPPABLE and kind not in SHARED:
        use = "not mapped, so not for spools"
    if not os.access(folder, os.W_OK):
        use = "not writable"
    memory = " (memory)" if kind == "tmpfs" else ""
    return f"{kind}{memory}, {size(free)} free, {use}"


def room(folder: Path) -> tuple[int, int | None]:
    """Return free bytes and how many files may be made; None where nothing counts them."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize, found.f_favail if found.f_files else None


def existing(folder: Path) -> Path:
    """Return the folder, or the nearest above it that exists."""
    return next(place for place in (folder, *folder.absolute().parents) if place.exists())


def size(n_bytes: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if n_bytes < 1024:
            return f"{n_bytes:.0f} {unit}"
        n_bytes /= 1024
    return f"{n_bytes:.1f} TiB"
