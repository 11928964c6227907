"""Any graph survives PROV documents; any bytes are imported or refused, never a traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pyoxigraph as ox
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from manager.imported import accept
from manager.vocabulary import PREFIXES
from query.export.document import prov_document
from query.export.graph import Graph
from sprov.importing import mlflow
from sprov.importing.document import read_document
from sprov.importing.rdf import FORMATS, read_rdf
from sprov.importing.sources import read_source
from sprov.importing.statements import ImportRefusedError, Statements

PROV, XSD, SPROV = PREFIXES["prov"], PREFIXES["xsd"], PREFIXES["sprov"]
RUN = f"{PREFIXES['id']}run/0123"

PREDICATES = [
    PREFIXES["rdf"] + "type", PREFIXES["rdfs"] + "label", PREFIXES["provml"] + "isPartOf",
    *(PROV + name for name in (
        "used", "wasGeneratedBy", "wasDerivedFrom", "wasAssociatedWith", "hadMember", "value",
        "specializationOf", "wasInformedBy", "qualifiedUsage", "qualifiedGeneration",
        "qualifiedAssociation", "entity", "activity", "agent", "hadPlan", "hadRole", "atTime",
        "startedAtTime", "endedAtTime", "atLocation", "type", "role", "label", "time",
    )),
    SPROV + "statement", SPROV + "implied", SPROV + "influence", "http://example.org/p/",
    "urn:x:a%20b",
]  # fmt: skip
CLASSES = [
    PROV + name
    for name in ("Activity", "Entity", "SoftwareAgent", "Usage", "Generation", "Association")
]
NODES = [f"{PREFIXES['id']}activity/{nth}" for nth in range(4)] + [
    "http://example.org/#", "http://example.org/a(b)';=,", "urn:uuid:1-2-3", "http://é.org/ñ",
    "http://example.org/.x.", "http://example.org/-",
]  # fmt: skip

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
iris = st.sampled_from(NODES + CLASSES).map(ox.NamedNode)
literals = st.one_of(
    texts.map(ox.Literal),
    texts.map(lambda text: ox.Literal(text, language="en-gb")),
    st.builds(
        lambda text, name: ox.Literal(text, datatype=ox.NamedNode(name)),
        st.one_of(
            texts,
            st.sampled_from(["1", "0", "-1", "01", "1.0E0", "NaN", "INF", "true", "TRUE", " 1 ",
                             "2024-01-01T00:00:00Z", "2024-01-01T24:00:00Z", "99999999999999999999",
                             "2024-01-01T00:00:00.1234567+05:30", "2024-02-30T00:00:00Z",
                             "0001-01-01T00:00:00", "infinity", "1_0"]),
        ),
        st.sampled_from([XSD + name for name in (
            "string", "integer", "int", "long", "double", "float", "boolean", "dateTime", "anyURI",
            "decimal", "QName", "date")] + [PROV + "QUALIFIED_NAME", SPROV + "described"]),
    ),
)  # fmt: skip
triples = st.builds(
    ox.Triple, iris, st.sampled_from(PREDICATES).map(ox.NamedNode), st.one_of(iris, literals)
)


def canonical(lines: list[str]) -> set[str]:
    """Return statements as Oxigraph has them once they are stored."""
    store = ox.Store()
    store.load(input="\n".join(lines), format=ox.RdfFormat.N_TRIPLES)
    return {f"{quad} ." for quad in store}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(triples, min_size=1, max_size=25), st.sampled_from(["json", "provn"]))
def test_any_graph_comes_out_of_a_prov_document_as_it_went_in(found: list[ox.Triple], form: str):
    lines = [f"{triple} ." for triple in found]
    document = prov_document(Graph(RUN, "\n".join(sorted(canonical(lines))).encode()))
    text = document.serialize(format="json") if form == "json" else document.get_provn()
    into = Statements("run")
    read_document(str(text).encode(), form, into)
    assert not into.refused
    assert canonical([str(statement) for statement in into.said]) == canonical(lines)


def tried(path: Path) -> Statements | str:
    """Return what was read, or why it was refused, in one line."""
    try:
        return read_source(path)
    except ImportRefusedError as exc:
        assert str(path) in str(exc)
        return str(exc)


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(
                st.text(max_size=5),
                st.sampled_from(["prefix", "entity", "used", "activity", "bundle", "ex:a", "$",
                                 "type", "prov:type", "prov:entity", "prov:activity", "lang",
                                 "prov:time", "@id", "@type", "@graph", "@context", "@value"]),
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=25,
)  # fmt: skip


@settings(
    max_examples=300, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(json_values, st.sampled_from([".json", ".jsonld", ".provn"]))
def test_any_json_is_read_or_refused(tmp_path: Path, value: object, suffix: str):
    path = tmp_path / f"any{suffix}"
    path.write_text(json.dumps(value))
    tried(path)


@settings(
    max_examples=200, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(
    st.one_of(st.binary(max_size=200), texts.map(str.encode)),
    st.sampled_from([".json", ".jsonld", ".provn", ".ttl", ".nt", ".nq", ".zip", ".csv", ""]),
)  # fmt: skip
def test_any_bytes_are_read_or_refused(tmp_path: Path, data: bytes, suffix: str):
    path = tmp_path / f"any{suffix}"
    path.write_bytes(data)
    tried(path)


DATA = Path(__file__).parents[1] / "data" / "interchange"


@settings(
    max_examples=300, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(st.data())
def test_a_damaged_file_is_read_or_refused(tmp_path: Path, data: st.DataObject):
    name = data.draw(st.sampled_from(sorted(path.name for path in DATA.glob("primer.*"))))
    content = bytearray((DATA / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=9))
    (tmp_path / name).write_bytes(content)
    tried(tmp_path / name)


@settings(
    max_examples=150, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(st.data())
def test_a_damaged_mlflow_run_is_read_or_refused(tmp_path: Path, data: st.DataObject):
    (folder,) = mlflow.run_folders(DATA / "mlruns")
    run = tmp_path / "run"
    for path in sorted(folder.rglob("*")):
        there = run / path.relative_to(folder)
        there.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            there.write_bytes(path.read_bytes())
    files = sorted(path for path in run.rglob("*") if path.is_file())
    damaged = data.draw(st.sampled_from(files))
    content = bytearray(damaged.read_bytes())
    at = data.draw(st.integers(0, len(content)))
    content[at : at + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=20))
    damaged.write_bytes(content)
    try:
        found = mlflow.read_run(run)
    except ImportRefusedError as exc:
        assert "meta.yaml" in str(exc)
    else:
        assert found.id


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_the_manager_loads_what_it_accepts_and_nothing_of_its_own(data: bytes):
    mark = f"<a:b> <{SPROV}watermark> 1 .\n<a:b> <a:c> <{PREFIXES['id']}queue/1> .\n_:b <a:c> 1 .\n"
    lines, dropped = accept(b"<a:b> <a:c> <a:d> .\n" + mark.encode() + data)
    assert "<a:b> <a:c> <a:d> .\n" in lines
    assert sum(dropped.values()) >= 2
    store = ox.Store()
    store.bulk_load(input="".join(lines).encode(), format=ox.RdfFormat.N_TRIPLES)
    assert not any(SPROV in quad.predicate.value for quad in store)


@pytest.mark.parametrize("form", FORMATS)
def test_blank_nodes_get_the_same_iris_each_time(form: str):
    suffix = {"turtle": "ttl", "ntriples": "nt", "nquads": "nq", "jsonld": "jsonld"}[form]
    data = (DATA / f"primer.{suffix}").read_bytes()
    first, second = Statements("a"), Statements("b")
    read_rdf(data, form, first)
    read_rdf(data, form, second)
    assert set(first.said) == set(second.said)
    assert any("/blank/" in statement.subject for statement in first.said)
