"""`sprov slurm template`: job scripts to start from.

A template is a whole job script, ``templates/NAME.sbatch``.  Its second line is ``# NAME: title``;
the line that starts the user's program is the one with ``$recorded``, which ends with the program.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click

from pllib import jsontext
from pllib.errors import SettingsError

from . import sitefile

FOLDER = Path(__file__).with_name("templates")
_PROGRAM = re.compile(r"^(srun .*\$recorded )(?P<program>.+?)( &)?$", re.MULTILINE)
_STAND_IN = re.compile(r"^# STAND-IN .*?^# END OF STAND-IN\n\n", re.MULTILINE | re.DOTALL)
_PLAIN_WORDS = re.compile(
    r"""(?: [ \t]
        | [A-Za-z0-9_@%+=:,./^-]          # what bash reads as itself
        | '[^']*'
        | "[^"$`\\!]*"
        | \\[^\n]
        )+""",
    re.VERBOSE,
)
_ASSIGNMENT = re.compile(r"\s*[A-Za-z_][A-Za-z0-9_]*\+?=")


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.sbatch"))


def title(name: str) -> str:
    return read(name).splitlines()[1].removeprefix(f"# {name}: ")


def read(name: str) -> str:
    """Return a template.

    Raises:
        SettingsError: There is none of that name.
    """
    if name not in names():
        raise SettingsError(f"there is no template {name!r}", f"There are: {', '.join(names())}")
    return (FOLDER / f"{name}.sbatch").read_text()


def fill(name: str, command: str) -> str:
    """Return a template with the user's command in the place of the one that it comes with.

    Raises:
        SettingsError: There is no such template, or no place in it; or no shell could read the
            command.
    """
    words = program(command)
    text, n_replaced = _PROGRAM.subn(
        lambda found: f"{found[1]}{words}{found[3] or ''}", _STAND_IN.sub("", read(name))
    )
    if n_replaced != 1:
        raise SettingsError(f"the template {name} runs no program of yours")
    return text


def program(command: str) -> str:
    """Return the words that start a command, as text that the job script's shell only splits.

    A command that is a program and its arguments is given to `srun` as it is.  One with variables,
    pipes or anything else that a shell has to do is done by a shell in each rank, where variables
    such as SLURM_PROCID have the rank's own values.

    Raises:
        SettingsError: It is empty or begins with an option, or a quote in it has no end.
    """
    try:
        words = shlex.split(command)
    except ValueError as exc:
        raise SettingsError(f"the command {command!r} is none: {exc}") from None
    if not words or "\0" in command:
        raise SettingsError("the command is empty, or has a zero byte in it")
    if words[0].startswith("-"):
        raise SettingsError(f"the command begins with an option, {words[0]}")
    if _PLAIN_WORDS.fullmatch(command) and not _ASSIGNMENT.match(command):
        return shlex.join(words)
    return shlex.join(["bash", "-c", command])


@click.command()
@click.argument("name", required=False)
@click.option("--command", "-c", help="The command that the job is to run.")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), help="Write a new file, not stdout."
)
@click.option("--list", "listing", is_flag=True, help="List the templates, as without NAME.")
@click.option(
    "--format", "form", type=click.Choice(["table", "json"]), default="table", help="Of the list."
)
def template(
    name: str | None, command: str | None, output: Path | None, listing: bool, form: str
) -> None:
    """Print the job script NAME to start from; without NAME, list them.

    Each runs as it is.  The line with your program in it is marked; --command puts it there.

    \b
        sprov slurm template
        sprov slurm template small-job -o job.sbatch
        sprov slurm template small-job --command 'python train.py --lr 0.1' | sbatch

    For admins there are modulefile.lua (Lmod) and modulefile.tcl, and sprov-user.service and
    sprov-system.service (systemd), too.
    """
    if listing or name is None:
        if command or output:
            raise SettingsError("no template is named", f"There are: {', '.join(names())}")
        _list(form)
        return
    if name in sitefile.NAMES and command is None:
        text = sitefile.read(name)
    else:
        text = read(name) if command is None else fill(name, command)
    if output is None:
        click.echo(text, nl=False)
        return
    _write(output, text)
    use = "" if name in sitefile.NAMES else f"; submit it with: sbatch {shlex.quote(str(output))}"
    click.echo(f"wrote {output}{use}", err=True)


def _list(form: str) -> None:
    found = [{"name": name, "title": title(name)} for name in names()]
    if form == "json":
        click.echo(jsontext.dumps(found))
        return
    width = max(len(each["name"]) for each in found)
    for each in found:
        click.echo(f"{each['name']:{width}}  {each['title']}")


def _write(path: Path, text: str) -> None:
    """Write a new file; one that is there may have been edited.

    Raises:
        SettingsError: It exists.
    """
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise SettingsError(f"{path} exists", "Name another file, or remove it") from None
