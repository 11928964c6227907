"""`sprov export`: one run, in a form that others read."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pllib.errors import SettingsError
from pllib.notices import write
from pllib.settings import Publishing, load_section

from ..endings import GRAPHS, chosen
from ..engine import Engine
from ..engines import engine_for
from ..membership import stream_graph
from ..runs import find_run

if TYPE_CHECKING:
    from .graph import Graph

FORMATS = ("prov-json", "prov-n", "turtle", "nquads", "ro-crate")
NEEDS = {"prov-json": "prov", "prov-n": "prov", "ro-crate": "rocrate"}
TIMEOUT_S = 300.0


@click.command()
@click.argument("run", default="@last")
@click.option(
    "--format", "form", type=click.Choice(FORMATS), help="By the ending of -o, else turtle."
)
@click.option(
    "-o", "--output", default="-", type=click.Path(allow_dash=True), help="A file; - is stdout."
)
@click.option("--stored", is_flag=True, help="Only what is stored, without what follows by rule.")
@click.option("--with-files", is_flag=True, help="RO-Crate: copy files that are still the same.")
@click.option("--live", is_flag=True, help="Wait for all that the tracker has by now.")
def export(
    run: str, form: str | None, output: str, stored: bool, with_files: bool, live: bool
) -> None:
    """Write the graph of one run.

    RUN is @last, an IRI, a name, a Slurm job, or four characters or more of its digest.  An
    RO-Crate goes into a new folder, or a file that ends in .zip.

    \b
        sprov export @last -o run.json
        sprov export 4242 --format ro-crate -o crate.zip
    """
    form = chosen(output, form, GRAPHS, "turtle")
    if form in NEEDS and find_spec(NEEDS[form]) is None:
        raise SettingsError(
            f"--format {form} needs {NEEDS[form]}, which is not installed",
            "Run: pip install 'sprov[interchange]'",
        )
    asked = engine_for(run, timeout_s=TIMEOUT_S, live=live)
    iri = find_run(asked, run)["run"]
    if form == "ro-crate":
        _write_crate(asked, iri, output, stored=stored, with_files=with_files)
    else:
        _write(text(asked, iri, form, stored=stored), output)


def _pieces(asked: Engine, iri: str) -> Iterator[bytes]:
    """Yield what is stored of a run as it goes out, as N-Triples in pieces of whole lines."""
    from .associations import split
    from .derivations import acyclic

    return acyclic(split(stream_graph(asked, iri)), _say_left_out)


def _say_left_out(n_derivations: int) -> None:
    write(
        f"{n_derivations} derivation(s) are left out: they form a cycle, as if a thing came "
        "from itself (PROV-CONSTRAINTS 42)"
    )


def _graph(asked: Engine, iri: str, *, stored: bool) -> Graph:
    from ..rules import completed
    from .graph import Graph

    ntriples = b"".join(_pieces(asked, iri))
    return Graph(iri, ntriples if stored else completed(ntriples))


def text(asked: Engine, iri: str, form: str, *, stored: bool) -> Iterable[bytes]:
    """Return the graph of a run in one of `FORMATS` that is no folder, in pieces."""
    from . import graph

    if form == "nquads" and stored:  # as it comes, however large it is
        return (graph.as_nquads(piece, iri) for piece in _pieces(asked, iri))
    found = _graph(asked, iri, stored=stored)
    if form == "turtle":
        return [graph.turtle(found.triples())]
    if form == "nquads":
        return [graph.nquads(found.triples(), iri)]
    from .document import prov_document

    document = prov_document(found)
    if form == "prov-n":
        return [document.get_provn().encode(), b"\n"]
    return [(document.serialize(format="json", indent=1) or "").encode(), b"\n"]


def _write(pieces: Iterable[bytes], output: str) -> None:
    """Write to stdout, or to a file that has its name only once it is whole."""
    if output == "-":
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        return
    path = Path(output)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            file.writelines(pieces)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _write_crate(asked: Engine, iri: str, output: str, *, stored: bool, with_files: bool) -> None:
    if output == "-":
        raise click.UsageError("An RO-Crate is a folder or a .zip file: name it with -o.")
    path = Path(output)
    if path.exists():
        raise SettingsError(f"{path} exists", "Name a folder or .zip file that does not")
    from .crate import write_crate

    publishing = load_section(Publishing, asked.project.config, os.environ)
    write_crate(_graph(asked, iri, stored=stored), path, publishing, with_files=with_files)
