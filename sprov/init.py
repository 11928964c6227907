"""`sprov init`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from pllib.errors import SettingsError
from pllib.project import FOLDER, Project
from pllib.sharing import GROUP_FOLDER, is_shared, open_file, share

_CONFIG = """\
# Settings of sprov for this project.  Each can also be given as SPROV_<NAME> in the environment.
[capture]
# mode = "online"               # online, offline, off
# spool_dir = ""                # node-local folder for spools
# spool_limit_bytes = 1073741824
# spool_full = "drop"           # drop (and count), block
# flush_age_s = 0.25
# close_timeout_s = 2.0
# digest_limit_bytes = 8589934592   # larger files are not read to know copies of them
# telemetry_s = 0.0             # sample process and node this often, seconds

[serve]                         # SPROV_SERVE_<NAME>
# interface = ""                # network interface to listen on, such as "ib0"
# ports = ""                    # range to take ports from, such as "40000-40100"
# indexes = ""                  # node-local folder for store, series and snapshots

[run]                           # of `sprov run`: SPROV_RUN_<NAME>
# telemetry_s = 1.0
# files = "audit"               # audit, off
# exclude = []                  # folders whose files are not recorded

[retention]                     # of `sprov gc`: SPROV_RETENTION_<NAME>
# keep_days = 0.0               # archive journals that nobody wrote for so long; 0: never
# archive = ""                  # folder for them; empty for .sprov/archive

[slurm]                         # SPROV_SLURM_<NAME>
# tracker = "auto"              # auto, dedicated, shared
# spool_dir = ""                # node-local folder for ranks' spools
"""


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path())
@click.option(
    "--group",
    is_flag=False,
    flag_value="",
    metavar="[NAME]",
    help="Share it with a Unix group, by default the one that new files here get.",
)
def init(folder: Path, group: str | None) -> None:
    """Make .sprov/ in FOLDER (here, by default), found from below as .git/ is.

    \b
        sprov init
        sprov init /project/climate --group climate
    """
    project = Project(folder.absolute() / FOLDER)
    existed = project.root.is_dir()
    if group is not None:
        _share(project.root, group)
    project.create()
    if not project.config.exists():
        with open(open_file(project.config, os.O_WRONLY | os.O_CREAT), "w") as file:
            file.write(_CONFIG)
    shared = f", shared by group {_group_of(project.root)}" if is_shared(project.root) else ""
    click.echo(f"{'kept' if existed else 'made'} {project.root}{shared}")
    if shared and (closed := _closed_to_group(project.root)):
        click.echo(f"sprov: the group can't enter {closed}: chmod g+x and chgrp it", err=True)


def _share(root: Path, name: str) -> None:
    """Give the root, and what lies in it already, to a group.

    Raises:
        SettingsError: There is no such group, or this user may not give it anything.
    """
    number = _number_of(name) if name else -1
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        for place, _, files in os.walk(root) if name else ():
            for path in (place, *(os.path.join(place, file) for file in files)):  # noqa: PTH118
                os.chown(path, -1, number, follow_symlinks=False)
        root.chmod(GROUP_FOLDER)
    except PermissionError as exc:
        raise SettingsError(
            f"{exc.filename} can't be given to group {name or _group_of(root)}: {exc.strerror}",
            "Its owner can, who must be in the group (`id`)",
        ) from exc
    share(root)


def _number_of(name: str) -> int:
    import grp

    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise SettingsError(
            f"there is no group {name!r}", "`id` lists yours; the folder goes before --group"
        ) from None


def _group_of(root: Path) -> str:
    import grp

    number = root.stat().st_gid
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def _closed_to_group(root: Path) -> Path | None:
    """Return the nearest folder above that members of the group can't pass, judged by its mode."""
    group = root.stat().st_gid
    for folder in root.parents:
        found = folder.stat()
        if not found.st_mode & (0o010 if found.st_gid == group else 0o001):
            return folder
    return None
