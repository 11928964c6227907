"""`sprov identify`: what files in hand are, of which run, and whether they are as recorded."""

from __future__ import annotations

import sys
from typing import Any

import click
import msgspec

from pllib import jsontext

from .engines import engine_for, job_option
from .files import Identity, identify_all
from .runs import digest_of

COLUMNS = ("file", "is", "recorded as", "how", "run", "job", "at", "why")


@click.command("identify")
@click.argument("names", nargs=-1, required=True, metavar="FILE...")
@click.option("--format", "form", type=click.Choice(["table", "json", "csv"]), default="table")
@click.option("--live", is_flag=True, help="See all that the running manager has taken in.")
@job_option
def identify_files(names: tuple[str, ...], form: str, live: bool, job: str | None) -> None:
    """Say which recorded version each FILE or directory is, and of which run.

    A FILE is unchanged, has the same content as when it was recorded, is a copy of what was
    recorded elsewhere, was changed since, is unknown, or can't be compared.  It is read only if
    size and time do not tell and something of its size was recorded.

    \b
        sprov identify model.pt
        sprov identify *.npz --format json

    Exit status: 0 all are as recorded, 1 some are not.
    """
    from .tables import print_rows

    asked = engine_for(live=live, job=job)
    found = identify_all(asked, names)
    if form == "json":
        click.echo(jsontext.dumps(msgspec.to_builtins(found)))
    else:
        rows = [row for one in found for row in _rows(one)]
        columns = [c for c in COLUMNS if form == "csv" or any(row[c] for row in rows)]
        print_rows(rows, columns, form)
    sys.exit(0 if all(one.is_known for one in found) else 1)


def _rows(found: Identity) -> list[dict[str, Any]]:
    """Return a row for each version that a file is; of a changed one, the newest recorded."""
    versions = found.versions if found.is_known else found.versions[:1]
    head = {"file": found.file, "is": found.state, "why": found.reason}
    empty = dict.fromkeys(COLUMNS, "")
    rows = [
        {
            **empty, **head, "recorded as": version.path, "job": version.job or "",
            "how": " by ".join(filter(None, (version.how, version.plan))),
            "run": digest_of(version.run)[:8] if version.run else "",
            "at": (version.at or "")[:19].replace("T", " "),
        }
        for version in versions
    ]  # fmt: skip
    return rows or [{**empty, **head}]
