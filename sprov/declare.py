"""`sprov declare`: prospective provenance from files, without a program that runs."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from pllib import declaration, identity, launch, notices, owners
from pllib.errors import SettingsError
from pllib.log import LogWriter, frame_of, new_header
from pllib.opening import user
from pllib.plans import THINGS
from pllib.printable import one_line
from pllib.project import Project, find
from pllib.records import NO_RANK, Context, Declared, encode

FRAME_BYTES = 256 << 10


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--check", is_flag=True, help="Only tell what is wrong.")
def declare(files: tuple[Path, ...], check: bool) -> None:
    """Declare what is planned, from YAML or JSON FILES; `sprov ingest` takes it in.

    \b
        sprov declare plan.yaml && sprov ingest

    Exit status: 2 if a part of a file is wrong; what is right in it is declared all the same.
    """
    n_problems = 0
    for file in files:
        declared, problems = declaration.check(file)
        declared, more = _with_workflow(file, declared)
        for problem in (*problems, *more):
            notices.write(problem)
        n_problems += len(problems) + len(more)
        if declared and not check:
            _write(find().create(), declared)
        done = "are right" if check else "declared; `sprov ingest` takes them in"
        click.echo(f"{one_line(str(file))}: {len(declared)} thing(s) {done}")
    if n_problems:
        raise SystemExit(SettingsError.exit_code)


def _with_workflow(file: Path, declared: list[Declared]) -> tuple[list[Declared], list[str]]:
    """Name the workflow of plans as a session does: by the experiment, else the study."""
    names = {item.kind: item.name for item in declared if item.kind in ("experiment", "study")}
    workflow = names.get("experiment") or names.get("study") or ""
    named = [item for item in declared if item.kind in THINGS or item.workflow]
    nameless = [item for item in declared if item.kind not in THINGS and not item.workflow]
    if not workflow and nameless:
        what = f"name the workflow that {len(nameless)} thing(s) are of, as in workflow: NAME"
        return named, [f"{file}: {what}"]
    for item in nameless:
        name = workflow if item.kind == "workflow" else item.name
        named.append(msgspec.structs.replace(item, name=name, workflow=workflow))
    return named, []


def _write(project: Project, declared: list[Declared]) -> None:
    """Write a log of its own into the spool: of no rank, so that it makes no run."""
    header = new_header(owners.this_process())
    context = Context(
        run=identity.digest("declared", project.name), restart=0, rank=NO_RANK, size=0,
        host=launch.host(), pid=os.getpid(), user=user(), program="sprov declare",
        project=project.name, workflow="", opened_ns=time.time_ns(),
    )  # fmt: skip
    writer = LogWriter(project.spool / f"{header.log_id.hex()}.log", header)
    try:
        for number, records in enumerate(_frames(declared)):
            frame = frame_of(header.log_id, number, [encode(context), *records])
            writer.append([msgspec.structs.replace(frame, n_records=len(records)).pack()])
        writer.sync()
    finally:
        writer.close()


def _frames(declared: list[Declared]) -> Iterator[list[bytes]]:
    records: list[bytes] = []
    n_bytes = 0
    for seq, item in enumerate(declared):
        records.append(encode(msgspec.structs.replace(item, seq=seq)))
        n_bytes += len(records[-1])
        if n_bytes >= FRAME_BYTES:
            yield records
            records, n_bytes = [], 0
    if records:
        yield records
