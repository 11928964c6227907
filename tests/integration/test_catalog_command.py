"""`sprov ask`: listing, explaining, parameters and what is wrong with them; values stay values."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pyoxigraph as ox
import pytest
from harness import Site, fill_once
from hypothesis import given
from hypothesis import strategies as st

from manager.store.guard import check_query
from manager.vocabulary import PREFIXES
from query.answers import expand
from query.named import CELLS, FOLDER, KINDS, Named, catalog, parameters_in, substitute
from query.terms import string

HOSTILE = '" } INSERT DATA { <x:a> <x:b> "c" } # \\ \n \u2028 $run'
QUESTIONS = Path(__file__).parents[2] / "docs/reference/questions.md"


@pytest.fixture
def trained(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A project with one run, no daemons."""
    return fill_once(site, tmp_path_factory.getbasetemp() / "asked", train)


def train(site: Site) -> None:
    site.run("training.py")
    site.sprov("ingest")


def test_without_a_name_it_lists_them_by_cell(site: Site) -> None:
    listed = json.loads(site.sprov("ask", "--format", "json"))

    assert {row["name"] for row in listed} == set(catalog())
    assert {row["cell"] for row in listed} == set(CELLS)
    assert [row["cell"] for row in listed] == sorted(
        (row["cell"] for row in listed), key=CELLS.index
    )
    assert all(set(row) == {"name", "title", "cell", "parameters"} for row in listed)
    table = site.sprov("ask")
    assert "best-runs" in table and "[measure=accuracy]" in table


def test_it_explains_a_query_without_a_store(site: Site) -> None:
    text = site.sprov("ask", "epochs", "--explain")

    assert "# $metric: " in text and "'loss' by default" in text
    assert "$run" in text and "FROM answer" in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["best-run"], "Near: best-runs"),
        (["zzz"], "`sprov ask` lists them"),
        (["epoch-value"], "needs index, the epoch. As in: sprov ask epoch-value -p index=3"),
        (["epoch-value", "-p", "index=one"], "index is a number, not 'one'"),
        (["epoch-value", "-p", "index=nan"], "index is a number, not 'nan'"),
        (["best-runs", "-p", "best=most"], "best is highest or lowest, not 'most'"),
        (
            ["best-runs", "-p", "ks=1"],
            "no parameter ks. It has: k, measure, best, of, study, ignore",
        ),
        (["running", "--run", "@last"], "no parameter run. It has: planned, section"),
        (["best-runs", "-p", "k"], "-p takes NAME=VALUE, not 'k'"),
        (["raw-files", "-p", "model=none.pt"], "no record speaks of none.pt"),
        (["epochs", "--run", "none"], "no run is none"),
    ],
)
def test_what_is_wrong_is_told_with_what_to_do(
    trained: Site, arguments: list[str], says: str
) -> None:
    told = trained.sprov("ask", *arguments, status=5)

    assert says in told
    assert len(told.splitlines()) == 1


def test_all_formats_say_the_same(trained: Site) -> None:
    rows = json.loads(trained.sprov("ask", "hyperparameters", "--format", "json"))
    lines = trained.sprov("ask", "hyperparameters", "--format", "csv").splitlines()

    assert [(row["name"], row["value"]) for row in rows] == [("layers", "[64,10]"), ("lr", "0.001")]
    assert lines[0] == "plan,trial,name,value,adapted"
    assert len(lines) == 1 + len(rows)
    assert "[64,10]" in trained.sprov("ask", "hyperparameters")


def test_an_answer_of_no_rows_has_its_columns(trained: Site) -> None:
    assert trained.sprov("ask", "early-stopping", "--format", "csv").strip() == (
        "training,trial,planned,done,last"
    )
    assert json.loads(trained.sprov("ask", "early-stopping", "--format", "json")) == []
    assert "nothing found" in trained.sprov("ask", "early-stopping")


def test_a_hostile_value_is_a_value(trained: Site) -> None:
    before = trained.sprov("runs", "--format", "json")

    for name, parameter in (("best-runs", "measure"), ("epochs", "metric"), ("cost", "study")):
        answered = trained.sprov("ask", name, "-p", f"{parameter}={HOSTILE}", "--format", "json")
        rows = json.loads(answered)
        assert all(row.get("value") is None for row in rows)
    trained.sprov("ask", "file-access", "-p", f"path={HOSTILE}", status=5)
    trained.sprov("ask", "epochs", "-p", f"run={HOSTILE}", status=5)
    assert trained.sprov("runs", "--format", "json") == before


@given(st.text(st.characters(codec="utf-8")))
def test_any_text_is_the_same_as_a_term(text: str) -> None:
    query = substitute('SELECT ?x { BIND($text AS ?x) } # $text "', {"text": string(text)})

    check_query(query)
    (row,) = ox.Store().query(query)

    assert row["x"].value == text


@pytest.mark.parametrize("named", catalog().values(), ids=lambda named: named.name)
def test_a_catalog_file_is_whole(named: Named) -> None:
    dummies = {each.name: '"1"' if each.kind != "run" else "<x:run>" for each in named.parameters}
    query = expand(substitute(named.sparql, dummies))

    ox.Store().query(query, prefixes=PREFIXES)
    used = parameters_in(named.sparql) | parameters_in(named.sql or "")
    used |= set(re.findall(r'SELECT "?(\w+)"? FROM given\b', named.views))
    assert used == set(dummies)
    assert named.cell in CELLS and named.title and not named.title.endswith("?")
    assert all(each.kind in KINDS or "|" in each.kind for each in named.parameters)
    assert bool(named.sql) == bool(named.columns) == bool(named.tables)


def test_every_file_of_the_catalog_is_used() -> None:
    texts = [path.read_text() for path in FOLDER.glob("*.rq")]
    said = {
        name
        for text in texts
        for line in re.findall(r"# (?:sparql|sql): (.*)", text)
        for name in line.split(", ")
    }
    shared = {path.name for path in FOLDER.glob("*.sparql")}
    assert shared <= said
    for path in FOLDER.glob("*.sql"):
        assert path.stem in catalog() or path.stem in said


def test_the_reference_has_every_query() -> None:
    from query.ask import reference

    assert QUESTIONS.read_text() == reference()


def test_a_time_with_an_offset_is_told_in_utc(site: Site) -> None:
    source = site.folder / "others.ttl"
    source.write_text(
        """
        @prefix prov: <http://www.w3.org/ns/prov#> . @prefix e: <https://example.org/> .
        @prefix sprov: <https://w3id.org/sprov/ns#> .
        @prefix xsd: <http://www.w3.org/2001/XMLSchema#> .
        @prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
        e:out a prov:Entity ; sprov:path "/d/out.csv" ; rdfs:label "out.csv" ;
            prov:wasGeneratedBy e:made .
        e:made a prov:Activity ; prov:used e:in ;
            prov:startedAtTime "2026-01-31T12:00:00+01:00"^^xsd:dateTime .
        e:in a prov:Entity ; sprov:path "/d/in.csv" ; rdfs:label "in.csv" ;
            sprov:modified "2026-01-31T12:00:00.5-02:00"^^xsd:dateTime .
        """
    )
    site.sprov("import", str(source))

    made = json.loads(
        site.sprov("ask", "lineage-of-file", "-p", "file=out.csv", "--format", "json")
    )
    assert [row["started"] for row in made] == ["2026-01-31T11:00:00Z"]
    raw = json.loads(site.sprov("ask", "raw-files", "-p", "model=out.csv", "--format", "json"))
    assert [row["modified"] for row in raw] == ["2026-01-31T14:00:00.500000Z"]
