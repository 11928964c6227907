"""What others recorded comes in, checked; what is wrong or of other runs is refused by name."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import pytest
from harness import Site

DATA = Path(__file__).parents[1] / "data" / "interchange"
EX = "http://example.org/"
PROV = "http://www.w3.org/ns/prov#"
TURTLE = (
    f"@prefix prov: <{PROV}> . @prefix ex: <{EX}> . @prefix sprov: <https://w3id.org/sprov/ns#> . "
)


def refused(site: Site, *arguments: str) -> list[str]:
    """Import what must be refused at least in part; return a line for each refusal."""
    errors = site.sprov("import", *arguments, status=2)
    lines = [line for line in errors.splitlines() if line]
    assert lines
    assert all(line.startswith("sprov: ") for line in lines), errors
    return lines


def write(site: Site, name: str, text: str | bytes) -> str:
    data = text.encode() if isinstance(text, str) else text
    (site.folder / name).write_bytes(data)
    return name


def snapshot(site: Site) -> set[tuple[str, str, str]]:
    """Return every triple of the store but those about how it is kept."""
    rows = site.select(
        "SELECT ?s ?p ?o { ?s ?p ?o FILTER NOT EXISTS { ?s sprov:watermark ?n } "
        "FILTER(?p != sprov:seriesFile) }"
    )
    return {(row["s"], row["p"], row["o"]) for row in rows}


@pytest.fixture(params=["alone", "served"])
def site_(request: pytest.FixtureRequest, site: Site) -> Site:
    """A project without daemons, and one with."""
    if request.param == "served":
        site.serve()
    return site


def test_prov_json_of_others_becomes_prov_o(site_: Site):
    said = site_.sprov("import", str(DATA / "primer.json"))
    assert "1 source(s)" in said
    assert site_.count(f"<{EX}compose1> prov:used <{EX}dataSet1> ; a prov:Activity") == 1
    assert site_.select(
        f"SELECT ?role ?at {{ <{EX}compose1> prov:qualifiedUsage ?u . "
        f"?u prov:entity <{EX}dataSet1> ; prov:hadRole ?role ; prov:atTime ?at }}"
    ) == [{"role": f"{EX}dataToCompose", "at": "2012-04-03T13:35:23Z"}]
    assert site_.select(
        f"SELECT ?plan {{ ?a prov:qualifiedAssociation ?q . ?q prov:hadPlan ?plan ; "
        f"prov:agent <{EX}derek> }}"
    ) == [{"plan": f"{EX}corrections"}]
    assert site_.count(f"<{EX}chart2> prov:wasRevisionOf <{EX}chart1>") == 1
    assert site_.count(f'<{EX}article1> dcterms:title "Crime rises in cities"@en') == 1
    before = snapshot(site_)
    assert "0 new triple(s)" in site_.sprov("import", str(DATA / "primer.json"))
    assert snapshot(site_) == before


@pytest.mark.parametrize(
    "name", ["primer.provn", "primer.ttl", "primer.nt", "primer.nq", "primer.jsonld"]
)
def test_every_notation_is_read(site: Site, name: str):
    site.sprov("import", str(DATA / name))
    assert site.count(f"<{EX}chart1> prov:wasGeneratedBy/prov:used <{EX}dataSet1>") == 1
    assert site.count("?s ?p ?o FILTER(isBlank(?s) || isBlank(?o))") == 0
    assert site.count(f"<{EX}compose1> prov:qualifiedUsage/prov:entity <{EX}dataSet1>") == 1


def test_an_import_is_in_a_log_so_that_rebuild_keeps_it(site: Site):
    site.run("interchange.py")
    site.sprov("ingest")
    site.sprov("import", str(DATA / "primer.json"), str(DATA / "mlruns"))
    before = snapshot(site)
    assert (f"{EX}compose1", f"{PROV}used", f"{EX}dataSet1") in before
    assert not list(site.project.spool.glob("import-*"))
    site.sprov("rebuild")
    assert snapshot(site) == before
    assert site.verify()["agree"]


def test_an_mlflow_run_is_a_run(site_: Site):
    site_.sprov("import", str(DATA / "mlruns"))
    (run,) = site_.read_json("runs")
    assert (run["name"], run["experiment"], run["state"]) == ("brave-owl-7", "iris", "completed")
    assert run["started"] == "2024-05-01T12:00:00Z"
    assert run["ended"] == "2024-05-01T12:01:40.5Z"
    shown = json.loads(site_.sprov("show", "--format", "json"))
    assert shown["program"] == "train.py"
    settings = {row["name"]: row["value"] for row in shown["settings"]}
    assert settings == {"lr": "0.01", "layers": "[64, 10]", "optimizer": "adam", "epochs": "3"}
    assert site_.count("?v prov:value 3 ; a provml:LearningHyperparameterValue") == 1
    points = json.loads(site_.sprov("metrics", "@last", "val/loss", "--format", "json"))
    assert [(point["step"], point["value"]) for point in points][:2] == [(0, 0.9), (1, 0.5)]
    assert points[2]["value"] == "NaN"
    assert points[0]["at_ns"] == 1714564801000 * 1_000_000
    assert site_.count('?f a provml:Model ; rdfs:label "model.pkl" ; prov:wasGeneratedBy ?a') == 1
    assert "0 new triple(s)" in site_.sprov("import", str(DATA / "mlruns" / "0"))
    assert len(site_.read_json("runs")) == 1


def copied_run(site: Site) -> Path:
    import shutil

    shutil.copytree(DATA / "mlruns", site.folder / "mlruns")
    return next((site.folder / "mlruns" / "0").glob("*/params")).parent


@pytest.mark.parametrize(
    ("status", "state"), [("4", "failed"), ("5", "killed"), ("KILLED", "killed")]
)
def test_an_mlflow_run_ended_as_mlflow_says(site: Site, status: str, state: str):
    run = copied_run(site)
    meta = (run / "meta.yaml").read_text().replace("status: 3", f"status: {status}")
    (run / "meta.yaml").write_text(meta)
    site.sprov("import", "mlruns/0")
    (found,) = json.loads(site.sprov("runs", "--format", "json"))
    assert (found["state"], found["ended"]) == (state, "2024-05-01T12:01:40.5Z")
    assert site.verify()["sessions_not_ended"] == 0
    assert "0 new triple(s)" in site.sprov("import", "mlruns/0")


def test_an_mlflow_run_that_went_on_is_not_mixed_with_what_came_in_before(site: Site):
    run = copied_run(site)
    site.sprov("import", str(run))
    before = snapshot(site)
    append(run / "metrics" / "val" / "loss", "1714564899000 0.1 9\n")
    (line,) = refused(site, str(run))
    assert "not as it is now" in line
    assert snapshot(site) == before


def relink(path: Path, target: str) -> None:
    path.unlink()
    path.symlink_to(target)


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda run: (run / "meta.yaml").write_text("a: &a [x]\nb: [*a, *a]\n"), "aliases"),
        (lambda run: (run / "meta.yaml").write_text("a: [1,\n"), "meta.yaml, line"),
        (lambda run: (run / "meta.yaml").write_text("!!python/object:os.system x"), "not YAML"),
        (lambda run: (run / "meta.yaml").write_text("just text"), "not what MLflow writes"),
        (lambda run: (run / "meta.yaml").write_text("x: " + "[" * 3000), "nested deeper"),
        (lambda run: (run / "meta.yaml").write_text("run_id: x\nstart_time: soon\n"), "no time"),
        (lambda run: (run / "meta.yaml").write_bytes(b"x" * (2 << 20)), "over 1 MiB"),
        (lambda run: (run / "params" / "lr").write_bytes(b"9" * (1 << 20)), "over 64 KiB"),
        (lambda run: (run / "metrics" / "acc").write_text("1 2 3\nrubbish\n"), "acc, line 2"),
        (lambda run: (run / "metrics" / "acc").write_text("9" * 30 + " 2 3\n"), "acc, line 1"),
        (lambda run: (run / "artifacts" / "x").symlink_to("/etc/passwd"), "leads out"),
        (lambda run: (run / "tags" / "x").symlink_to("/etc/passwd"), "leads out"),
        (lambda run: os.mkfifo(run / "artifacts" / "pipe"), "not a file"),
        (lambda run: relink(run / "meta.yaml", "/etc/passwd"), "leads out"),
        (lambda run: relink(run.parent / "meta.yaml", "/etc/passwd"), "leads out"),
        (lambda run: append(run / "meta.yaml", "lifecycle_stage: deleted\n"), "is deleted"),
    ],
)
def test_a_hostile_mlflow_directory_is_refused_where_it_is_wrong(site: Site, change, says: str):
    run = copied_run(site)
    change(run)
    lines = refused(site, "mlruns")
    assert says in lines[-1]
    assert "root:" not in lines[-1]
    if "meta.yaml" not in lines[-1] and "deleted" not in says:
        assert len(json.loads(site.sprov("runs", "--format", "json"))) == 1
        assert "passwd" not in str(snapshot(site))


CONTRADICTIONS = [
    ("ex:x a prov:Activity, prov:Entity ; prov:value 1 .", "can't be both", f"<{EX}x>"),
    (
        "ex:x a prov:Entity, <https://w3id.org/sprov/prov-ml#TrainingExecution> .",
        "can't be both",
        f"<{EX}x>",
    ),
    ("ex:x prov:wasDerivedFrom ex:y . ex:y prov:wasDerivedFrom ex:x .", "cycle", f"<{EX}y>"),
    ("ex:x prov:wasDerivedFrom ex:x .", "cycle", f"<{EX}x>"),
    ("ex:x a <https://w3id.org/sprov/prov-ml#Trainnig> .", "no class", f"<{EX}x>"),
    ("ex:good prov:used ex:y .", "prov#used needs", f"<{EX}good>"),
    ('ex:x prov:used "a literal" .', "literal", f"<{EX}x>"),
    ("ex:x sprov:watermark 99 .", "reserved", f"<{EX}x>"),
    ('ex:x sprov:seriesFile "/etc/passwd" .', "reserved", f"<{EX}x>"),
    (f'ex:x prov:value "{"v" * 200_000}" .', "bytes", f"<{EX}x>"),
]


@pytest.mark.parametrize(("text", "reason", "node"), CONTRADICTIONS)
def test_a_contradiction_is_refused_with_its_node_and_the_rest_kept(
    site: Site, text: str, reason: str, node: str
):
    name = write(site, "bad.ttl", f"{TURTLE}ex:good a prov:Entity .\n{text}")
    lines = refused(site, name)
    assert any(reason in line and node in line and "bad.ttl" in line for line in lines)
    assert snapshot(site) == {
        (f"{EX}good", "http://www.w3.org/1999/02/22-rdf-syntax-ns#type", f"{PROV}Entity")
    }


def test_strict_keeps_nothing_of_what_is_wrong_in_part(site: Site):
    name = write(site, "bad.ttl", f"{TURTLE}ex:good a prov:Entity . ex:x prov:used ex:y, 1 .")
    assert "nothing was taken in" in refused(site, "--strict", name, str(DATA / "primer.json"))[-1]
    assert not list(site.project.journal.iterdir())


JSON = '{"prefix": {"ex": "http://example.org/"}, '
NOT_WHAT_IT_CLAIMS = [
    ("a.ttl", '{"entity": {}}', "a.ttl, line 1: not Turtle"),
    ("a.ttl", "<a:b> <a:c> <a:d> .\n<a:b> rubbish", "a.ttl, line 2: not Turtle"),
    ("a.json", "<a:b> <a:c> <a:d> .", "a.json, line 1: not JSON"),
    ("a.json", JSON + '"entity": ', "line 1: not JSON"),
    ("a.json", "[]", "0 new"),
    ("a.json", "{}", "not a PROV document"),
    ("a.json", '"text"', "not a PROV document"),
    ("a.json", "null", "not a PROV document"),
    ("a.json", '{"name": "other json"}', "not a PROV document"),
    ("a.json", JSON + '"entity": {"ex:a": {"prov:type": {"$": 1}}, "no:b": {}}}', "document"),
    ("a.json", JSON + '"used": {"ex:u": {"prov:entity": "ex:e"}}}', "ex:u"),
    ("a.json", "[" * 100_000, "a.json"),
    ("a.json", b"\xff\xfe\x00", "a.json"),
    ("a.provn", "document\n entity(", "not a PROV document"),
    ("a.provn", '{"entity": {}}', "not a PROV document"),
    ("a.nt", "@prefix a: <b:> .\na:b a:c a:d .", "no line of the file is N-Triples"),
    ("a.nq", "{}", "no line of the file is N-Quads"),
    ("a.jsonld", "<a:b> <a:c> <a:d> .", "not JSON-LD"),
    ("a.jsonld", '{"@context": "http://127.0.0.1:9/c", "a": 1}', "nothing is fetched"),
    ("a.zip", "PK not a zip", "not a zip file"),
    ("a.zip", b"", "not a zip file"),
    ("a.csv", "a,b\n", "not known. Import"),
    ("a.ttl", b"\x00\x01\x02\xff", "a.ttl"),
]


@pytest.mark.parametrize(("name", "content", "says"), NOT_WHAT_IT_CLAIMS)
def test_a_file_that_is_not_what_it_claims_is_refused(
    site: Site, name: str, content: str | bytes, says: str
):
    write(site, name, content)
    if says == "0 new":
        assert says in site.sprov("import", name)
        return
    assert any(says in line for line in refused(site, name))


DEEP = 50_000
TRIPLE_TERM = "<<( <a:b> <a:c> "
HOSTILE = {
    "levels.jsonld": '{"a:p": ' * DEEP + "1" + "}" * DEEP,
    "levels.json": '{"@graph": [' + "[" * DEEP + "]" * DEEP + "]}",
    "levels.ttl": "<a:b> <a:c> " + TRIPLE_TERM * DEEP + "1" + ")>>" * DEEP + " .",
    "levels.nt": "<a:b> <a:c> " + TRIPLE_TERM * DEEP + '"1"' + ")>>" * DEEP + " .",
    "levels.provn": "document entity(" + "[" * DEEP + ") endDocument",
    "run/meta.yaml": "[" * DEEP,
    "run/tags/mlflow.user": "x",
}
"""File to its content; each took longer than a minute, or ended the process that read it."""


def test_small_files_that_overwhelm_a_parser_cost_themselves_alone(site: Site):
    for name, content in HOSTILE.items():
        (site.folder / name).parent.mkdir(parents=True, exist_ok=True)
        write(site, name, content)
    crate_with(site, "levels.zip", {"ro-crate-metadata.json": HOSTILE["levels.json"]})
    write(site, "honest.ttl", TURTLE + "ex:honest a prov:Entity .")
    names = sorted({name.partition("/")[0] for name in HOSTILE} | {"levels.zip"})
    lines = refused(site, *names, "honest.ttl")
    assert [line.count(name) for line, name in zip(lines, names, strict=True)] == [1] * len(names)
    assert all("nest" in line.lower() or "not a PROV" in line for line in lines), lines
    assert "SIGSEGV" in "".join(lines)
    assert site.count(f"<{EX}honest> a prov:Entity") == 1
    assert site.count("<a:b> ?p ?o") == 0


def test_reading_ends_at_its_time_and_the_line_says_what_helps(site: Site):
    write(site, "long.nt", "".join(f"<a:b> <a:c> <a:{n}> .\n" for n in range(50_000)))
    errors = site.sprov("import", "long.nt", status=2, SPROV_QUERY_TIMEOUT_S="0.01")
    assert "long.nt: reading it was stopped after 0.01 s. Split it" in errors
    assert not list(site.project.spool.glob("import-*"))


def test_literals_and_iris_come_out_of_the_process_that_reads_them_as_they_are(site: Site):
    terms = ['"x"@en--rtl', '"y"@de-AT', '"1"^^<a:type>', '"2"', "<a:iri>", "3.50", "true"]
    write(site, "terms.ttl", "".join(f"<a:s> <a:p> {term} .\n" for term in terms))
    site.sprov("import", "terms.ttl")
    assert site.count("<a:s> <a:p> ?o") == len(terms)
    for term in terms[1:]:
        assert site.count(f"<a:s> <a:p> {term}") == 1


def test_a_bad_line_of_n_triples_costs_itself(site: Site):
    name = write(site, "a.nt", "<a:b> <a:c> <a:d> .\nrubbish\n<a:b> <a:c> <a:e> .\n<a:b <x:y> .\n")
    lines = refused(site, name)
    assert ["line 2" in lines[0], "line 4" in lines[1], len(lines)] == [True, True, 2]
    assert site.count("<a:b> <a:c> ?o") == 2


@pytest.fixture
def lived(site_: Site) -> Site:
    """A project with a run in its store."""
    site_.run("interchange.py")
    if site_.server is None:
        site_.sprov("ingest")
    return site_


def test_an_import_adds_nothing_to_other_runs(lived: Site):
    """Claims about a run's file, activity and outputs are refused by name; nothing changes."""
    before = snapshot(lived)
    one = {row["label"]: row["f"] for row in lived.select(
        "SELECT ?f ?label { ?f a sprov:File ; rdfs:label ?label }"
    )}  # fmt: skip
    (run,) = lived.select("SELECT ?r { ?r a provml:LearningExperimentExecution }")
    (fit,) = lived.select('SELECT ?a { ?a a provml:TrainingExecution FILTER NOT EXISTS {'
                          " ?a a sprov:Collective } }")  # fmt: skip
    claims = {
        "prefix": {
            "ex": EX,
            "id": "https://w3id.org/sprov/id/",
            "p": "https://w3id.org/sprov/prov-ml#",
        },
        "entity": {"ex:mine": {"prov:value": 1}},
        "activity": {"ex:act": {"p:isPartOf": {"$": short(run["r"]), "type": "xsd:QName"}}},
        "wasGeneratedBy": {
            "_:1": {"prov:entity": short(one["raw.csv"]), "prov:activity": "ex:act"},
            "_:2": {"prov:entity": "ex:mine", "prov:activity": short(fit["a"])},
        },
        "used": {"_:3": {"prov:activity": short(fit["a"]), "prov:entity": "ex:mine"}},
    }
    lines = refused(lived, write(lived, "claims.json", json.dumps(claims)))
    assert len(lines) >= 4
    for node in (one["raw.csv"], fit["a"], run["r"]):
        assert any(node in line for line in lines), lines
    after = snapshot(lived)
    assert before <= after
    assert {subject for subject, _, _ in after - before} == {f"{EX}mine", f"{EX}act"}
    assert not any(before_object in {run["r"], fit["a"]} for _, _, before_object in after - before)


def short(iri: str) -> str:
    return iri.replace("https://w3id.org/sprov/id/", "id:")


def test_two_exports_named_together_join(site: Site, tmp_path_factory: pytest.TempPathFactory):
    """One run's file was made by another: both come in at once, with the link between them."""
    made = Site(tmp_path_factory.mktemp("made"))
    for program in ("writer", "reader"):
        made.run(write_program(made, program))
    made.sprov("ingest")
    runs = json.loads(made.sprov("runs", "--format", "json"))
    for run, name in zip(reversed(runs), ("reader", "writer"), strict=True):
        digest = run["run"].rpartition("/")[2]
        made.sprov("export", digest, "--format", "nquads", "-o", f"{name}.nq")
    site.sprov("import", str(made.folder / "reader.nq"), str(made.folder / "writer.nq"))
    assert site.count("?reader prov:used/prov:wasGeneratedBy ?writer") == 1
    assert len(json.loads(site.sprov("runs", "--format", "json"))) == 2


def test_runs_of_one_job_come_in_one_after_the_other(
    site: Site, tmp_path_factory: pytest.TempPathFactory
):
    """They share the job, the user, the host and the plan, which are said alike in both."""
    made = Site(tmp_path_factory.mktemp("made"))
    for _ in range(2):
        made.run("interchange.py", SLURM_JOB_ID="4242", SLURM_CLUSTER_NAME="cluster")
    made.sprov("ingest")
    for nth, run in enumerate(json.loads(made.sprov("runs", "--format", "json"))):
        made.sprov("export", run["run"], "-o", f"{nth}.ttl")
        site.sprov("import", str(made.folder / f"{nth}.ttl"))
    assert site.count("?attempt provml:isPartOf ?job . ?job a sprov:Job") == 2
    assert site.count("?job a sprov:Job") == 1


def write_program(site: Site, name: str) -> str:
    how = {
        "writer": "Path('shared.csv').write_text('1' * 2000)\n    "
        "t.generated(data=pllib.File('shared.csv'))",
        "reader": "t.used(data=pllib.File('shared.csv'))",
    }[name]
    text = "from pathlib import Path\nimport pllib\n"
    text += f"with pllib.open() as session, session.transformation({name!r}) as t:\n    {how}\n"
    write(site, f"{name}.py", text)
    return str(site.folder / f"{name}.py")


def crate_with(site: Site, name: str, members: dict[str, str]) -> str:
    with zipfile.ZipFile(site.folder / name, "w") as archive:
        for member, text in members.items():
            archive.writestr(member, text)
    return name


def metadata(graph: str, **extra: object) -> str:
    listed = {"@id": graph, "@type": "File", "encodingFormat": "text/turtle"}
    return json.dumps(
        {"@context": "https://w3id.org/ro/crate/1.1/context", "@graph": [listed], **extra}
    )


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"ro-crate-metadata.json": metadata("../provenance.ttl")}, "leads out of the crate"),
        ({"ro-crate-metadata.json": metadata("/etc/provenance.ttl")}, "leads out of the crate"),
        ({"ro-crate-metadata.json": metadata("a/../../provenance.ttl")}, "leads out of the crate"),
        ({"ro-crate-metadata.json": metadata("provenance.ttl")}, "no provenance.ttl in it"),
        ({"other.json": "{}"}, "no ro-crate-metadata.json in it"),
        ({"ro-crate-metadata.json": "{}"}, "no @graph"),
        ({"ro-crate-metadata.json": "{"}, "ro-crate-metadata.json, line 1"),
        (
            {"ro-crate-metadata.json": metadata("provenance.ttl"), "provenance.ttl": "nonsense"},
            "provenance.ttl, line 1: not Turtle",
        ),
    ],
)
def test_a_crate_that_leads_out_of_itself_or_is_none_is_refused(
    site: Site, members: dict[str, str], says: str
):
    (line,) = refused(site, crate_with(site, "crate.zip", members))
    assert says in line
    folder = site.folder / "crate"
    for name, text in members.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (line,) = refused(site, "crate") if (folder / "ro-crate-metadata.json").exists() else (says,)
    assert says in line


def test_members_of_a_zip_are_never_written(site: Site):
    members = {"ro-crate-metadata.json": metadata("provenance.ttl"),
               "provenance.ttl": f"<{EX}a> a <{PROV}Entity> .", "../slipped": "x"}  # fmt: skip
    site.sprov("import", crate_with(site, "crate.zip", members))
    assert not (site.folder.parent / "slipped").exists()
    assert site.count(f"<{EX}a> a prov:Entity") == 1


def test_a_link_in_a_crate_folder_leads_nowhere(site: Site):
    folder = site.folder / "crate"
    folder.mkdir()
    (folder / "ro-crate-metadata.json").write_text(metadata("provenance.ttl"))
    secret = site.folder / "secret.ttl"
    secret.write_text(f"<{EX}secret> a <{PROV}Entity> .")
    (folder / "provenance.ttl").symlink_to(secret)
    assert "leads out of the crate" in refused(site, "crate")[0]


def test_a_bomb_is_read_up_to_the_limit(site: Site):
    bomb = metadata("provenance.ttl", padding=" " * (65 << 20))
    with zipfile.ZipFile(site.folder / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ro-crate-metadata.json", bomb)
    assert "over 64 MiB" in refused(site, "bomb.zip")[0]


def test_the_metadata_of_a_crate_of_others_come_in(site: Site):
    other = {
        "@context": "https://w3id.org/ro/crate/1.1/context",
        "@graph": [{"@id": "#act", "@type": "CreateAction", "object": {"@id": "in.txt"}}],
    }
    site.sprov("import", crate_with(site, "c.zip", {"ro-crate-metadata.json": json.dumps(other)}))
    schema = "http://schema.org/"
    assert site.count(f"?a a <{schema}CreateAction> ; <{schema}object> ?o") == 1


def test_no_path_and_no_such_path_say_so(site: Site):
    assert "Missing argument" in site.sprov("import", status=2)
    assert "does not exist" in site.sprov("import", "nowhere.ttl", status=2)
    os.mkfifo(site.folder / "pipe.ttl")
    assert "neither a file nor a folder" in refused(site, "pipe.ttl")[0]
    (site.folder / "empty").mkdir()
    assert "neither an RO-Crate nor an MLflow run" in refused(site, "empty")[0]
