"""Whatever strings a program says, each way out of the store keeps them as they are, and inert."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pyoxigraph as ox
import pytest
from harness import Site
from hostile import FRAGMENTS, NOT_PRINTABLE, hostile_strings

STRINGS = hostile_strings(len(FRAGMENTS) + 60, seed=5)
SAID = """SELECT ?text { ?made prov:wasGeneratedBy ?step .
    ?made provml:ofAttribute/rdfs:label "text" ; prov:value ?text }"""
SVG = "{http://www.w3.org/2000/svg}"
INERT = {"svg", "defs", "marker", "path", "rect", "g", "title", "text", "line", "use", "style"}


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A run that says all strings, stored."""
    with Site(tmp_path_factory.mktemp("hostile")) as site:
        strings = site.folder / "strings.json"
        strings.write_text(json.dumps(STRINGS))
        site.run("hostile_strings.py", str(strings), SPROV_MODE="offline")
        site.sprov("ingest")
        yield site


def texts(site: Site) -> list[str]:
    return [row["text"] for row in site.select(SAID)]


def test_values_come_out_as_they_went_in(said: Site):
    answer = json.loads(said.sprov("query", SAID, "--format", "json"))
    found = [row["text"]["value"] for row in answer["results"]["bindings"]]
    assert sorted(found) == sorted(STRINGS)


def test_xml_holds_all_that_xml_can(said: Site):
    answer = ElementTree.fromstring(said.sprov("query", SAID, "--format", "xml"))
    found = [each.text or "" for each in answer.iter() if each.tag.endswith("literal")]
    assert len(found) == len(STRINGS)


@pytest.mark.parametrize("form", ["turtle", "ntriples"])
def test_rdf_holds_no_triple_that_was_not_said(said: Site, form: str):
    query = "CONSTRUCT { ?s ?p ?o } { ?s ?p ?o }"
    rdf = {"turtle": ox.RdfFormat.TURTLE, "ntriples": ox.RdfFormat.N_TRIPLES}[form]
    quads = list(ox.parse(input=said.sprov("query", query, "--format", form), format=rdf))
    assert not [quad for quad in quads if "x:" in str(quad.predicate)]
    literals = {quad.object.value for quad in quads if isinstance(quad.object, ox.Literal)}
    assert set(STRINGS) <= literals
    assert len(quads) == said.count("?s ?p ?o")


TERMINAL = [
    ("query", SAID),
    ("query", "SELECT ?s ?o { ?s rdfs:label ?o }"),
    ("runs",),
    ("show", "@last"),
    ("watch", "--once"),
    ("lineage", "@last", "--settings"),
    ("lineage", "files/model", "--both"),
    ("metrics", "@last"),
    ("metrics", "@last", "--plot"),
    ("ask", "failures"),
    ("ask", "inputs-outputs"),
    ("ask", "hyperparameters"),
    ("diff", "@last", "@last"),
    ("log", "ls"),
    ("verify",),
    ("status",),
]


@pytest.mark.parametrize("command", TERMINAL, ids=" ".join)
def test_nothing_drives_a_terminal(said: Site, command: tuple[str, ...]):
    shown = said.sprov(*command)
    assert shown
    assert not NOT_PRINTABLE.search(shown)


ASKED = ["?\x1b[2J", '" } INSERT DATA { <x:a> <x:b> <x:c> } #?', "> . <x:y> <x:z> .?", "$(id)?"]


@pytest.mark.parametrize("name", ASKED)
def test_a_name_that_is_asked_for_is_a_name(said: Site, name: str):
    """None is there, which is said in a line, and nothing else happens."""
    before = said.project.snapshots.joinpath("current").resolve()
    for command in (["show", name], ["lineage", name], ["ask", "epochs", "-p", f"run={name}"]):
        done = subprocess.run(
            said.command(*command), cwd=said.folder, env=said.environment(), text=True,
            capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == 5
        assert len(done.stderr.splitlines()) <= 3
        assert not NOT_PRINTABLE.search(done.stderr)
    assert said.project.snapshots.joinpath("current").resolve() == before


class Inert(HTMLParser):
    """Notes whatever could act, in a page or picture."""

    def __init__(self) -> None:
        super().__init__()
        self.active: list[str] = []
        self.tags: set[str] = set()
        self.scripts: list[str] = []
        self._in_script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self._in_script = tag == "script"
        for name, value in attrs:
            told = (value or "").strip().lower()
            leads = told.startswith(("javascript:", "data:", "http:", "https:")) and name != "xmlns"
            if name.startswith("on") or leads:
                self.active.append(f"{tag} {name}={value}")

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.scripts.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False


@pytest.mark.parametrize("form", ["svg", "html"])
def test_pictures_hold_nothing_that_acts(said: Site, form: str):
    picture = said.sprov("lineage", "@last", "--settings", "--format", form, "--limit", "400")
    found = Inert()
    found.feed(picture)
    assert found.active == []
    assert not found.tags & {"img", "iframe", "object", "embed", "link", "base", "form", "a"}
    assert not [script for script in found.scripts if "alert" in script]
    if form == "svg":
        root = ElementTree.fromstring(picture)
        assert {each.tag.removeprefix(SVG) for each in root.iter()} <= INERT


def test_a_chart_holds_nothing_that_acts(said: Site):
    path = said.folder / "curves.svg"
    said.sprov("metrics", "@last", "-o", str(path))
    found = Inert()
    found.feed(path.read_text())
    assert not found.tags & {"script", "img", "image", "a", "foreignobject"}
    ElementTree.parse(path)


def test_dot_has_its_own_statements_alone(said: Site):
    """A quoted string ends at a quote that no backslash is before; what is left is ours."""
    picture = said.sprov("lineage", "@last", "--settings", "--format", "dot", "--limit", "400")
    outside = re.sub(r'"(?:[^"\\]|\\.)*"', '""', picture, flags=re.DOTALL)
    words = set(re.findall(r"[A-Za-z_]+", outside))
    assert words <= {
        "digraph", "lineage", "rankdir", "LR", "node", "fontname", "fontsize", "style", "filled",
        "shape", "box", "fillcolor", "label", "tooltip", "penwidth", "dashed",
    }  # fmt: skip


@pytest.mark.parametrize("form", ["prov-json", "prov-n", "turtle", "nquads"])
def test_exports_come_in_again_as_they_went_out(said: Site, tmp_path: Path, form: str):
    suffix = {"prov-json": "json", "prov-n": "provn", "turtle": "ttl", "nquads": "nq"}[form]
    path = tmp_path / f"run.{suffix}"
    said.sprov("export", "@last", "--format", form, "-o", str(path))
    other = Site(tmp_path / "other")
    other.sprov("import", str(path))
    assert sorted(texts(other)) == sorted(texts(said))
    other.close()


def test_a_crate_has_its_members_inside(said: Site, tmp_path: Path):
    import zipfile

    path = tmp_path / "crate.zip"
    said.sprov("export", "@last", "--format", "ro-crate", "--with-files", "-o", str(path))
    with zipfile.ZipFile(path) as crate:
        names = crate.namelist()
    assert "ro-crate-metadata.json" in names
    for name in names:
        assert not name.startswith("/")
        assert ".." not in name.split("/")
        assert not NOT_PRINTABLE.search(name)


@pytest.mark.parametrize("name", ["../../escaped", "a/b", "", "..", "x\ny", "-x"])
def test_a_name_of_an_endpoint_stays_in_its_folder(said: Site, name: str):
    errors = said.sprov("tracker", "serve", f"--name={name}", status=2)
    assert "Traceback" not in errors
    assert not (said.project.root.parent / "escaped.json").exists()
