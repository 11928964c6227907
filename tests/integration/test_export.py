"""A run goes out as PROV-JSON, PROV-N, Turtle, N-Quads and RO-Crate, and comes back the same."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import crates
import pytest
import rdflib
from harness import Site
from prov import constants as c
from prov.model import ProvDocument
from rdflib.compare import isomorphic

from query.engine import Engine
from query.export.associations import split
from query.export.cli import text
from query.membership import run_graph

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SUFFIXES = {
    "turtle": ".ttl",
    "nquads": ".nq",
    "prov-json": ".json",
    "prov-n": ".provn",
    "ro-crate": ".zip",
}
ACTIONS = "?a a s:CreateAction ; s:name ?name ."


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A project with one run, in a git work tree and a container."""
    with Site(tmp_path_factory.mktemp("exported")) as made:
        (made.folder / ".git").mkdir()
        (made.folder / ".git/HEAD").write_text(f"{COMMIT}\n")
        made.run("interchange.py", APPTAINER_CONTAINER="/images/torch.sif")
        made.sprov("ingest")
        yield made


@pytest.fixture(scope="module")
def crate(site: Site) -> Path:
    site.sprov("export", "@last", "--format", "ro-crate", "-o", "crate")
    return site.folder / "crate"


@pytest.fixture(scope="module")
def metadata(crate: Path) -> rdflib.Graph:
    return crates.load(crate)


def run_of(site: Site) -> str:
    (run,) = json.loads(site.sprov("runs", "--format", "json"))
    return str(run["run"])


def stored(site: Site) -> rdflib.Graph:
    """Return the graph of the one run of a project, as the store has it, but for associations."""
    ntriples = run_graph(Engine(site.project, None), run_of(site))
    return rdflib.Graph().parse(data=b"".join(split([ntriples])).decode(), format="nt")


def exported(site: Site, *options: str) -> str:
    return site.sprov("export", "@last", *options)


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Site]:
    """Another project, without anything in it."""
    with Site(tmp_path) as made:
        yield made


@pytest.mark.parametrize("form", ["turtle", "nquads"])
def test_rdf_is_the_stored_graph(site: Site, form: str):
    text = exported(site, "--format", form, "--stored")
    graph = rdflib.Dataset()
    graph.parse(data=text, format=form)
    names = {str(named.identifier) for named in graph.graphs() if len(named)}
    assert names == {run_of(site) if form == "nquads" else "urn:x-rdflib:default"}
    triples = rdflib.Graph()
    for quad in graph.quads():
        triples.add(quad[:3])
    assert len(triples) > 100
    assert isomorphic(triples, stored(site))


@pytest.fixture(scope="module", params=["api.py", "hostile.py"])
def source(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """A project with one run of a program."""
    with Site(tmp_path_factory.mktemp("source")) as made:
        made.run(request.param)
        made.sprov("ingest")
        yield made


@pytest.fixture(scope="module", params=[[], ["--stored"]], ids=["completed", "stored"])
def whole(request: pytest.FixtureRequest, source: Site) -> tuple[list[str], rdflib.Graph]:
    """Options of `sprov export`, and the graph that goes out with them."""
    text = exported(source, "--format", "turtle", *request.param)
    return request.param, rdflib.Graph().parse(data=text, format="turtle")


@pytest.mark.parametrize("form", SUFFIXES)
def test_export_then_import_is_isomorphic(
    source: Site, whole: tuple[list[str], rdflib.Graph], other: Site, tmp_path: Path, form: str
):
    options, graph = whole
    path = str(tmp_path / f"run{SUFFIXES[form]}")
    exported(source, "--format", form, "-o", path, *options)
    other.sprov("import", path)
    after = exported(other, "--format", "turtle", "--stored")
    assert len(graph) > 200
    assert isomorphic(graph, rdflib.Graph().parse(data=after, format="turtle"))


@pytest.mark.parametrize("form", SUFFIXES)
def test_what_the_store_has_or_derives_is_nothing_new(site: Site, tmp_path: Path, form: str):
    path = str(tmp_path / f"run{SUFFIXES[form]}")
    exported(site, "--format", form, "-o", path)
    assert "0 new triple(s)" in site.sprov("import", path)


def test_a_running_tracker_is_waited_for(other: Site):
    other.serve()
    other.run("interchange.py")
    text = exported(other, "--live", "--format", "nquads", "--stored")
    other.stop()
    assert text == exported(other, "--format", "nquads", "--stored")
    assert "#TrainingExecution>" in text


def test_prov_json_says_in_prov_what_happened(site: Site):
    document = ProvDocument.deserialize(content=exported(site, "--format", "prov-json"))
    labels = {
        str(record.identifier): next(iter(record.get_attribute(c.PROV_LABEL)), None)
        for record in document.get_records()
        if record.is_element()
    }

    def relations(kind: object) -> list[dict[str, str]]:
        return [
            {key.localpart: str(value) for key, value in record.attributes}
            for record in document.get_records()
            if record.get_type() == kind
        ]

    plans = {
        relation["activity"]: labels[relation["plan"]]
        for relation in relations(c.PROV_ASSOCIATION)
        if relation["activity"].startswith("id:activity")
    }
    read = {
        (plans[relation["activity"]], labels[relation["entity"]], labels[relation["role"]])
        for relation in relations(c.PROV_USAGE)
        if "role" in relation
    }
    assert read == {
        ("curate", "raw.csv", "raw"),
        ("curate", "config.yaml", "config"),
        ("fit", "clean.csv", "clean"),
        ("test", "model.pt", "model"),
    }
    informed = {
        (plans[relation["informed"]], plans[relation["informant"]])
        for relation in relations(c.PROV_COMMUNICATION)
    }
    assert informed == {("fit", "curate"), ("test", "fit")}
    assert ("clean.csv", "raw.csv") in {
        (labels[relation["generatedEntity"]], labels[relation["usedEntity"]])
        for relation in relations(c.PROV_DERIVATION)
    }
    (acted,) = relations(c.PROV_DELEGATION)
    assert acted["delegate"].startswith("id:agent/")


def associations(path: Path, form: str) -> list[tuple[str, str, str]]:
    """Return each association that `prov` reads: activity, agent and plan."""
    options = {"format": form} if form in ("json", "provn") else {"format": "rdf"}
    if options["format"] == "rdf":
        options["rdf_format"] = form
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what PROV-DM has no attribute for
        document = ProvDocument.deserialize(path, **options)
    records = [*document.get_records()]
    for bundle in document.bundles:
        records += bundle.get_records()
    return sorted(
        tuple(str(value and value.uri) for _, value in record.formal_attributes)
        for record in records
        if record.get_type() == c.PROV_ASSOCIATION
    )


def test_each_activity_has_an_association_of_its_own_in_every_format(source: Site, tmp_path: Path):
    engine, run = Engine(source.project, None), run_of(source)
    read = {}
    for form, reader in (
        ("prov-json", "json"), ("prov-n", "provn"), ("turtle", "turtle"), ("nquads", "nquads"),
    ):  # fmt: skip
        path = tmp_path / form
        path.write_bytes(b"".join(text(engine, run, form, stored=False)))
        read[form] = associations(path, reader)
    first = read["prov-json"]
    assert {form: found == first for form, found in read.items()} == dict.fromkeys(read, True)
    graph = rdflib.Graph().parse(tmp_path / "turtle")
    having = list(graph.subject_objects(rdflib.PROV.qualifiedAssociation))
    assert len(having) > 5
    assert len({association for _, association in having}) == len(having)
    activities = {str(a) for a in graph.subjects(rdflib.RDF.type, rdflib.PROV.Activity)}
    assert {activity for activity, _, _ in first} == activities
    assert {str(activity) for activity, _ in having} <= activities


def test_prov_n_is_what_the_recommendation_says(site: Site):
    text = exported(site, "--format", "prov-n")
    document = ProvDocument.deserialize(content=text, format="provn", profile="strict")
    json_document = ProvDocument.deserialize(content=exported(site, "--format", "prov-json"))
    assert document == json_document


@pytest.mark.parametrize("options", [[], ["--with-files"]], ids=["described", "with files"])
@pytest.mark.parametrize("name", ["valid", "valid.zip"])
def test_the_public_validator_accepts_the_crate(
    site: Site, tmp_path: Path, name: str, options: list[str]
):
    path = tmp_path / name
    exported(site, "--format", "ro-crate", "-o", str(path), *options)
    assert crates.validate(path, tmp_path) == ""


def test_the_public_validator_does_look(crate: Path, tmp_path: Path):
    broken = tmp_path / "broken"
    broken.mkdir()
    metadata = json.loads((crate / "ro-crate-metadata.json").read_text())
    for entity in metadata["@graph"]:
        entity.pop("instrument", None)
    (broken / "ro-crate-metadata.json").write_text(json.dumps(metadata))
    (broken / "workflow.ttl").touch()
    assert "MUST have an instrument" in crates.validate(broken, tmp_path)


UNKNOWN = {
    "Application url": 6,
    "SoftwareApplication id": 2,
    "Action result": 1,
    "RU PropertyValue unitCode": 1,
    "ContainerImage registry": 1,
    "Root Data Entity: `license` SHOULD link to a Contextual Entity": 1,
    "Root Data Entity: `author` property": 1,
    "Root Data Entity: `publisher` property": 1,
}
"""Recommendations that the run does not meet, by check; interchange.md gives the reasons."""


def test_the_crate_lacks_only_recommendations_that_the_run_does_not_tell(
    crate: Path, tmp_path: Path
):
    assert crates.recommendations(crate, tmp_path) == UNKNOWN


def test_license_author_and_publisher_are_those_of_the_configuration(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SPROV_EXPORT_LICENSE", "https://spdx.org/licenses/CC-BY-4.0")
    monkeypatch.setenv("SPROV_EXPORT_AUTHOR", "Ada L. <https://orcid.org/0000-0000-0000-0000>")
    monkeypatch.setenv("SPROV_EXPORT_PUBLISHER", "A Laboratory <https://ror.org/000000000>")
    path = tmp_path / "published"
    exported(site, "--format", "ro-crate", "-o", str(path))
    assert crates.ask(
        crates.load(path),
        """SELECT ?license ?author ?name ?publisher {
          <file:///crate/> s:license ?license ; s:author ?author ; s:publisher/s:name ?publisher .
          ?license a s:CreativeWork . ?author a s:Person ; s:name ?name
        }""",
    ) == [
        (
            "https://spdx.org/licenses/CC-BY-4.0", "https://orcid.org/0000-0000-0000-0000",
            "Ada L.", "A Laboratory",
        )
    ]  # fmt: skip
    lacking = {check: n for check, n in UNKNOWN.items() if "Root Data Entity" not in check}
    affiliation = "CreativeWork Author: RECOMMENDED affiliation property"
    linked = affiliation.replace(
        "affiliation", "Contextual Entity linked for the organizational `affiliation`"
    )
    lacking |= {affiliation: 1, linked: 1}
    assert crates.recommendations(path, tmp_path) == lacking


def test_resources_have_the_units_that_the_program_gave(metadata: rdflib.Graph):
    units = crates.ask(
        metadata,
        """SELECT DISTINCT ?what ?unit {
          ?a wfrun:resourceUsage ?u . ?u s:name ?what OPTIONAL { ?u s:unitCode ?unit }
        }""",
    )
    byte = "https://qudt.org/vocab/unit/BYTE"
    assert units == [
        ("bytes read", byte), ("bytes written", byte), ("max_rss", "None"), ("peak memory", byte),
    ]  # fmt: skip


@pytest.mark.parametrize("program", ["empty.py", "hostile.py", "api.py"])
def test_crates_of_other_programs_are_valid(other: Site, tmp_path: Path, program: str):
    (tmp_path / "empty.py").write_text("import pllib\npllib.open().close()\n")
    other.run(str(tmp_path / program) if program == "empty.py" else program)
    other.sprov("ingest")
    exported(other, "--format", "ro-crate", "-o", "crate")
    assert crates.validate(tmp_path / "crate", tmp_path) == ""


QUESTIONS = {
    "1: container images": (
        "SELECT DISTINCT ?image { ?a wfrun:containerImage/s:name ?image }",
        [("/images/torch.sif",)],
    ),
    "2: memory, cpu and disk used": (
        """SELECT ?action ?what ?value {
          ?a s:name ?action ; wfrun:resourceUsage ?u . ?u s:name ?what ; s:value ?value
          FILTER(?what IN ("max_rss", "peak memory") || ?action = "curate")
        }""",
        [
            ("curate", "bytes read", str(2000 + 8 * 300)),
            ("curate", "bytes written", "1600"),
            ("mlp: a run of interchange.py", "max_rss", "123456"),
            ("mlp: a run of interchange.py", "peak memory", "1500000001"),
        ],
    ),
    "3: configuration files": (
        """SELECT DISTINCT ?path {
          ?a a s:CreateAction ; s:object ?file .
          ?file a s:MediaObject ; ro:localPath ?path ; s:exampleOfWork/s:name "config"
        }""",
        [("{folder}/config.yaml",)],
    ),
    "4: the environment's file, and what is in it": (
        """SELECT ?file ?name ?value {
          ?w a bio:ComputationalWorkflow ; s:softwareRequirements ?file .
          ?run s:instrument ?w ; wfrun:environment ?e . ?e s:name ?name ; s:value ?value
          FILTER(?name = "python")
        }""",
        [("file:///crate/environment.json", "python", "{python}")],
    ),
    "5: time of a step": (
        """SELECT ?step ?known {
          ?c a s:ControlAction ; s:instrument/s:name ?step ; s:object ?a .
          ?a s:startTime ?from ; s:endTime ?to BIND(?from <= ?to AS ?known)
        }""",
        [("check", "true"), ("curate", "true"), ("fit", "true"), ("test", "true")],
    ),
    "6: time of the workflow": (
        """SELECT ?from ?to {
          ?a s:instrument ?w ; s:startTime ?from ; s:endTime ?to . ?w a bio:ComputationalWorkflow
        }""",
        [("{started}", "{ended}")],
    ),
    "7: success": (
        f"""SELECT ?name ?status ?error {{
          {ACTIONS} ?a s:actionStatus ?status OPTIONAL {{ ?a s:error ?error }}
        }}""",
        [
            ("check", "http://schema.org/FailedActionStatus", "ValueError: accuracy is too low"),
            ("curate", "http://schema.org/CompletedActionStatus", "None"),
            ("fit", "http://schema.org/CompletedActionStatus", "None"),
            (
                "mlp: a run of interchange.py",
                "http://schema.org/CompletedActionStatus",
                "None",
            ),
            ("test", "http://schema.org/CompletedActionStatus", "None"),
        ],
    ),
    "8: inputs and outputs of the workflow": (
        """SELECT ?way ?name {
          ?a s:instrument ?w . ?w a bio:ComputationalWorkflow .
          { ?a s:object ?e BIND("in" AS ?way) } UNION { ?a s:result ?e BIND("out" AS ?way) }
          ?e s:name ?name
        }""",
        [
            ("in", "config.yaml"), ("in", "raw.csv"), ("in", "seed"), ("out", "clean.csv"),
            ("out", "model.pt"),
        ],
    ),
    "9: source version": (
        """SELECT ?version ?source {
          ?w a bio:ComputationalWorkflow ; s:version ?version ; s:isBasedOn/s:version ?source
        }""",
        [(COMMIT, COMMIT)],
    ),
    "10: wrapper script": (
        """SELECT DISTINCT ?path {
          ?tool a s:SoftwareApplication ; s:isBasedOn ?script . ?script a s:SoftwareSourceCode ;
            ro:localPath ?path
        }""",
        [("{programs}/interchange.py",)],
    ),
    "11: how parameters were used": (
        """SELECT ?tool ?way ?parameter ?value {
          ?a s:instrument ?t . ?t a s:SoftwareApplication ; s:name ?tool .
          { ?t cw:input ?p . ?a s:object ?v BIND("in" AS ?way) }
          UNION { ?t cw:output ?p . ?a s:result ?v BIND("out" AS ?way) }
          ?v a s:PropertyValue ; s:exampleOfWork ?p ; s:value ?value . ?p s:name ?parameter
        }""",
        [
            ("curate", "out", "dropped", "100"), ("fit", "in", "lr", "0.1"),
            ("test", "out", "accuracy", "0.97"),
        ],
    ),
}  # fmt: skip
"""The competency questions of Workflow Run RO-Crate, by number: a query and its answer."""


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_crate_answers_the_competency_question(
    site: Site, metadata: rdflib.Graph, question: str
):
    (run,) = json.loads(site.sprov("runs", "--format", "json"))
    known = {
        "folder": str(site.folder),
        "python": sys.version.split()[0],
        "programs": str(Path(__file__).parents[1] / "programs"),
        "started": f"{run['started'][:23]}+00:00",
        "ended": f"{run['ended'][:23]}+00:00",
    }
    query, answer = QUESTIONS[question]
    wanted = [tuple(cell.format(**known) for cell in row) for row in answer]
    assert crates.ask(metadata, query) == sorted(wanted)


def test_the_crate_has_the_graph_and_where_files_are(site: Site, crate: Path):
    listed = {path.name for path in crate.iterdir()}
    assert listed == {
        "ro-crate-metadata.json", "README.md", "provenance.ttl", "workflow.ttl",
        "environment.json",
    }  # fmt: skip
    graph = rdflib.Graph().parse(crate / "provenance.ttl")
    assert isomorphic(
        graph, rdflib.Graph().parse(data=exported(site, "--format", "turtle"), format="turtle")
    )


def test_files_go_along_while_they_are_what_the_run_saw(site: Site, tmp_path: Path):
    (site.folder / "raw.csv").write_text("changed\n" * 900)
    folder = tmp_path / "with-files"
    exported(site, "--format", "ro-crate", "--with-files", "-o", str(folder))
    copied = {path.name: path.read_bytes() for path in folder.glob("files/*/*")}
    assert set(copied) == {"clean.csv", "config.yaml", "model.pt"}
    assert copied["model.pt"] == (site.folder / "model.pt").read_bytes()


def test_a_large_run_has_an_action_for_each_plan(other: Site, tmp_path: Path):
    other.run("steps.py", "1100")
    other.sprov("ingest")
    exported(other, "--format", "ro-crate", "-o", "crate")
    graph = crates.load(tmp_path / "crate")
    ((_, told),) = crates.ask(
        graph,
        f"SELECT ?name ?told {{ {ACTIONS} ?a s:description ?told ; s:instrument ?t . "
        "?t a s:SoftwareApplication }",
    )
    assert "1100 execution(s)" in told
    assert "more values are in provenance.ttl" in told


@pytest.mark.parametrize(
    ("options", "status", "says"),
    [
        (["nothing"], 5, "no run is nothing"),
        (["@last", "--format", "ro-crate"], 2, "name it with -o"),
        (["@last", "--format", "ro-crate", "-o", "."], 2, "exists"),
        (["@last", "-o", "no/such/folder/x.ttl"], 1, "no/such/folder"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(site: Site, options: list[str], status: int, says: str):
    errors = site.sprov("export", *options, status=status)
    assert says in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("prov", ["export", "--format", "prov-json"]),
        ("rocrate", ["export", "--format", "ro-crate", "-o", "x"]),
        ("prov", ["import", __file__]),
    ],
)
def test_a_missing_library_names_the_extra(site: Site, module: str, arguments: list[str]):
    program = f"import sys; sys.modules[{module!r}] = None; sys.argv = ['sprov', *{arguments!r}]\n"
    program += "from sprov.cli import main\nmain()"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=site.folder,
        env=site.environment(),
    )
    assert done.returncode in (1, 2)
    assert "pip install 'sprov[interchange]'" in done.stderr
    assert "Traceback" not in done.stderr
