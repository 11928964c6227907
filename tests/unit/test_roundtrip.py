"""What goes out comes in as the same graph, and is valid: programs made at random, every form."""

from __future__ import annotations

from pathlib import Path

import pyoxigraph as ox
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made import RUN, InMemory, lines, programs, stored

from pllib import identity
from pllib.log import Frame, LogReader
from pllib.project import Project
from pllib.settings import Publishing
from query.export.cli import text
from query.export.crate import write_crate
from query.export.graph import Graph
from query.validation import validate
from sprov.importing.judge import judge, mentioned
from sprov.importing.logs import write_statements
from sprov.importing.ontology import ontology
from sprov.importing.present import Present
from sprov.importing.sources import read_source

SUFFIXES = {"turtle": ".ttl", "nquads": ".nq", "prov-json": ".json", "prov-n": ".provn"}
IRI = identity.iri("run", RUN)


def exported(engine: InMemory, form: str, folder: Path, *, stored_only: bool) -> Path:
    if form == "ro-crate":
        path = folder / "crate.zip"
        path.unlink(missing_ok=True)
        ntriples = b"".join(text(engine, IRI, "nquads", stored=stored_only))
        bare = ntriples.replace(f" <{IRI}> .\n".encode(), b" .\n")
        write_crate(Graph(IRI, bare), path, Publishing())
        return path
    path = folder / f"run{SUFFIXES[form]}"
    path.write_bytes(b"".join(text(engine, IRI, form, stored=stored_only)))
    return path


def imported(path: Path, project: Project) -> ox.Store:
    """Return the store of an empty project after an import of all that a file says."""
    source = read_source(path)
    judge([source], ontology(), Present(project, mentioned([source])))
    assert source.refused == []
    log = write_statements(project, source.said)
    with LogReader(log) as reader:
        return stored([located.frame for located in reader.frames()])


def problems(engine: InMemory) -> list[str]:
    found = validate(engine, IRI).problems
    return [f"{each.source}: {each.reason}: {each.nodes} {each.others}" for each in found]


def canonical(nquads: bytes) -> set[str]:
    store = ox.Store()
    for quad in ox.parse(input=nquads, format=ox.RdfFormat.N_QUADS):
        store.add(ox.Quad(quad.subject, quad.predicate, quad.object))
    return set(lines(store))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("made") / ".sprov").create()


@settings(max_examples=20, derandomize=True, suppress_health_check=[*HealthCheck])
@given(
    programs(),
    st.sampled_from(["turtle", "nquads", "prov-json", "prov-n", "ro-crate"]),
    st.booleans(),
)
def test_what_goes_out_comes_in_as_the_same_graph_and_is_valid(
    project: Project, frames: list[Frame], form: str, stored_only: bool
):
    engine = InMemory(stored(frames), project)
    assert problems(engine) == []
    path = exported(engine, form, project.root, stored_only=stored_only)
    out = canonical(b"".join(text(engine, IRI, "nquads", stored=stored_only)))
    after = imported(path, project)
    assert set(lines(after)) == out
    again = InMemory(after, project)
    assert canonical(b"".join(text(again, IRI, "nquads", stored=True))) == out
    assert problems(again) == []
