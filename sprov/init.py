"""`sprov init`."""

from __future__ import annotations

from pathlib import Path

import click

from pllib.project import FOLDER, Project

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
"""


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path())
def init(folder: Path) -> None:
    """Make .sprov/ in FOLDER (here, by default), found from below as .git/ is.

    \b
        sprov init
    """
    project = Project(folder.absolute() / FOLDER)
    existed = project.root.is_dir()
    project.create()
    if not project.config.exists():
        project.config.write_text(_CONFIG)
    click.echo(f"{'kept' if existed else 'made'} {project.root}")
