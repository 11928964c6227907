"""`sprov init`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click
import msgspec

from pllib import notices
from pllib.errors import SettingsError
from pllib.printable import one_line
from pllib.project import FOLDER, Project
from pllib.registry import note_project
from pllib.settings import SECTIONS, description_of
from pllib.sharing import GROUP_FOLDER, is_shared, is_trusted, open_file, share

_HEAD = """\
# Settings of sprov for this project.  Each can also be given in the environment, as the name beside
# its section and its own in capitals; lists have colons between their items there.
"""
_COMMENT_AT = 36


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
    existed = os.path.isdir(project.root)  # noqa: PTH112  which raises nothing
    if existed and not is_trusted(project.root):
        raise SettingsError(
            f"{project.root} is somebody else's, and not shared with a group of yours",
            "Make the project in a folder of your own",
        )
    if group is not None:
        _share(project.root, group)
    project.create()
    note_project(project)
    if not project.config.exists():
        with open(open_file(project.config, os.O_WRONLY | os.O_CREAT), "w") as file:
            file.write(default_config())
    shared = f", shared by group {_group_of(project.root)}" if is_shared(project.root) else ""
    click.echo(f"{'kept' if existed else 'made'} {one_line(str(project.root))}{shared}")
    if shared and (closed := _closed_to_group(project.root)):
        notices.write(f"the group can't enter {closed}: chmod g+x and chgrp it")


def default_config() -> str:
    """Return a configuration file with every setting in it as a comment, at its default."""
    return "\n".join([_HEAD, *map(_section, SECTIONS)])


def _section(section: type[msgspec.Struct]) -> str:
    name, prefix = SECTIONS[section]
    defaults = section()  # TOML writes texts, numbers and empty lists as JSON does
    lines = [f"{f'[{name}]':{_COMMENT_AT}}# {prefix}<NAME>"]
    for setting in section.__struct_fields__:
        text = f"# {setting} = {json.dumps(getattr(defaults, setting))}"
        lines.append(f"{text:{_COMMENT_AT - 1}} # {description_of(section, setting)}")
    return "\n".join([*lines, ""])


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
