"""Graphs of real programs are valid; each thing that is then broken is told by node and reason."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import NamedTuple

import pyoxigraph as ox
import pytest
from harness import SCRIPT, TIMEOUT_S, TRANSFORMATIONS, Site, wait_until
from hypothesis import given
from hypothesis import strategies as st

from manager.store.writable import Store
from manager.vocabulary import PREFIXES
from pllib.project import Project
from query.constraints import find_cycles
from query.engine import Engine
from query.forms import Forms, Statements
from query.validation import N_STEPS, Verdict, check_shapes, validate

JOB = {
    "SLURM_JOB_ID": "4242",
    "SLURM_STEP_ID": "0",
    "SLURM_CLUSTER_NAME": "alps",
    "SLURM_JOB_PARTITION": "debug",
}


class Broken(NamedTuple):
    what: str
    node: str
    """Pattern of the node that is to be reported, as ``?n``."""
    update: str
    """Breaks it; ``$n`` is the node."""
    path: str
    reason: str
    run: str = "api.py"
    source: str = "shapes:"


RANK = "?n a provml:DataTransformationExecution"
FILE = "?n a sprov:File"
SETTING = "?n a provml:LearningHyperparameterValue"
EPOCH = "?n a provml:LearningStageSectionExecution ; prov:startedAtTime ?s"
DATE = "^^xsd:dateTime"
REPLACED = "DELETE {{ $n {0} ?o }} INSERT {{ $n {0} {1} }} WHERE {{ $n {0} ?o }}".format
REMOVED = "DELETE WHERE {{ $n {0} ?o }}".format
ADDED = "INSERT DATA {{ $n {0} }}".format

CASES = [
    Broken("no start", EPOCH, REMOVED("prov:startedAtTime"), "", "an execution has one start"),
    Broken("two starts", EPOCH, ADDED(f'prov:startedAtTime "2020-01-01T00:00:00Z"{DATE}'), "",
           "an execution has one start"),
    Broken("two ends", EPOCH, ADDED(f'prov:endedAtTime "2050-01-01T00:00:00Z"{DATE}'),
           "prov:endedAtTime", "an execution ends once"),
    Broken("an end that is no time", EPOCH, REPLACED("prov:endedAtTime", '"noon"^^xsd:dateTime'),
           "prov:endedAtTime", "an execution ends once"),
    Broken("no association", RANK, REMOVED("prov:qualifiedAssociation"), "",
           "an execution has one association"),
    Broken("no agent", "?n a prov:Association . ?n prov:hadPlan/a provml:DataTransformation",
           REMOVED("prov:agent"), "prov:agent", "an association is with one agent"),
    Broken("an agent of whom nothing is said",
           "?n a prov:Association . ?n prov:hadPlan/a provml:DataTransformation",
           REPLACED("prov:agent", "<https://w3id.org/sprov/id/agent/0>"), "prov:agent",
           "an association is with one agent"),
    Broken("no plan", "?n a prov:Association . ?n prov:hadPlan/a provml:DataTransformation",
           REMOVED("prov:hadPlan"), "prov:hadPlan", "an association is by one plan"),
    Broken("two wholes", EPOCH,
           "INSERT { $n provml:isPartOf ?w } WHERE { ?w a provml:TrainingExecution ; "
           "prov:startedAtTime ?s FILTER NOT EXISTS { $n provml:isPartOf ?w } }", "",
           "an execution is part of one attempt"),
    Broken("two collectives", EPOCH,
           "INSERT { $n provml:isPartOf ?w } WHERE { ?w a sprov:Collective }", "",
           "an execution is part of one attempt"),
    Broken("a collective with a time", "?n a sprov:Collective, provml:TrainingExecution",
           ADDED(f'prov:startedAtTime "2020-01-01T00:00:00Z"{DATE}'), "prov:startedAtTime",
           "a collective has no times"),
    Broken("a collective without a plan", "?n a sprov:Collective, provml:TrainingExecution",
           REMOVED("provml:executes"), "provml:executes", "a collective executes one plan"),
    Broken("one rank's part as mls:Run", f"{EPOCH} . ?n sprov:index 0", ADDED("a mls:Run"), "",
           "only a collective training or evaluation is an mls:Run"),
    Broken("a beginning that is lost", RANK,
           "DELETE { $n a ?t } WHERE { $n a ?t }", "", "no activity", ),
    Broken("a value of nothing", "?n a provml:ModelEvaluation", REMOVED("provml:ofAttribute"), "",
           "a value is of one attribute", "interchange.py"),
    Broken("a value that is lost", "?n a provml:ModelEvaluation", REMOVED("prov:value"), "",
           "a value has one prov:value", "interchange.py"),
    Broken("two values", "?n a provml:ModelEvaluation", ADDED("prov:value 7"), "prov:value",
           "a value has one prov:value", "interchange.py"),
    Broken("a measurement of no measure", "?n a provml:ModelEvaluation",
           "DELETE { ?at provml:ofMeasure ?m } "
           "WHERE { $n provml:ofAttribute ?at . ?at provml:ofMeasure ?m }", "",
           "the attribute of a model evaluation is of a measure", "interchange.py"),
    Broken("a setting of both kinds", SETTING, ADDED("a provml:ModelHyperparameterValue"), "",
           "not of both"),
    Broken("a setting of no hyperparameter", "?n a provml:LearningHyperparameterValue ; "
           "provml:ofAttribute/rdfs:label 'seed'",
           "DELETE { ?at a ?t } INSERT { ?at a provml:Attribute } "
           "WHERE { $n provml:ofAttribute ?at . ?at a ?t }", "provml:ofAttribute",
           "the attribute of a learning hyperparameter's value"),
    Broken("an activity that is an entity", EPOCH, ADDED("a prov:Entity"), "",
           "an activity is not an entity"),
    Broken("a plan that is an activity", "?n a provml:Training", ADDED("a prov:Activity"), "",
           "a plan is not an activity"),
    Broken("a stage of two kinds", "?n a provml:TrainingExecution ; prov:used ?v",
           ADDED("a provml:EvaluationExecution"), "", "an activity is one of these"),
    Broken("a file that is a directory", FILE, ADDED("a sprov:Directory"), "",
           "a file is not a directory"),
    Broken("no path", FILE, REMOVED("sprov:path"), "sprov:path", "a file version has one path"),
    Broken("two paths", FILE, ADDED('sprov:path "/elsewhere"'), "sprov:path",
           "a file version has one path"),
    Broken("no store", FILE, REMOVED("sprov:store"), "sprov:store", "a file version has one store"),
    Broken("a size below zero", FILE, REPLACED("sprov:size", "-1"), "sprov:size",
           "a file version has one size"),
    Broken("a size that is no number", FILE, REPLACED("sprov:size", '"big"^^xsd:integer'),
           "sprov:size", "a file version has one size"),
    Broken("no time of modification", "?n a provml:Checkpoint", REMOVED("sprov:modified"),
           "sprov:modified", "a file version has one time"),
    Broken("a data set without a name", "?n a provml:LearningDataSetReference",
           REMOVED("rdfs:label"), "rdfs:label", "a data set has one name"),
    Broken("features of nothing", "?n a provml:FeatureSetData", REMOVED("provml:ofFeatureSet"),
           "provml:ofFeatureSet", "feature data are of one feature set"),
    Broken("a characteristic of no size", "?n a mls:ModelCharacteristic ; prov:value ?v",
           REMOVED("prov:value"), "", "a characteristic has one name and one value"),
    Broken("an attribute that goes nowhere", "?n a provml:Attribute ; rdfs:label 'row'",
           REPLACED("sprov:direction", '"sideways"'), "sprov:direction", "an attribute goes in or"),
    Broken("a series of no rank", "?n a sprov:Series", REMOVED("sprov:rank"), "sprov:rank",
           "a series is of one rank"),
    Broken("an attempt of no run", "?n a sprov:Attempt", REMOVED("sprov:restart"), "sprov:restart",
           "an attempt has one restart count"),
    Broken("a step of no job", "?n a sprov:JobStep", REMOVED("provml:isPartOf"),
           "provml:isPartOf", "a job step is part of one job"),
    Broken("no workflow", "?n a provml:LearningExperimentExecution", REMOVED("sprov:workflow"),
           "sprov:workflow", "a run has one workflow"),
    Broken("a role that is none", "?n a prov:Usage ; prov:entity/a provml:DataReference",
           REMOVED("prov:hadRole"), "prov:hadRole", "a usage has an attribute as its role"),
    Broken("an end before the start", EPOCH,
           REPLACED("prov:endedAtTime", f'"2020-01-01T00:00:00Z"{DATE}'), "prov:endedAtTime",
           "it ended before it started", source="PROV-CONSTRAINTS 30"),
    Broken("a part before its whole", EPOCH,
           REPLACED("prov:startedAtTime", f'"2020-01-01T00:00:00Z"{DATE}'), "provml:isPartOf",
           "it started before", source="sprov part-within-whole"),
    Broken("a part after its whole", EPOCH,
           REPLACED("prov:endedAtTime", f'"2050-01-01T00:00:00Z"{DATE}'), "provml:isPartOf",
           "it ended after", source="sprov part-within-whole"),
    Broken("a setting that changed too late", "?n prov:qualifiedUsage/prov:atTime ?t",
           "DELETE { ?u prov:atTime ?t } "
           f'INSERT {{ ?u prov:atTime "2050-01-01T00:00:00Z"{DATE} }} '
           "WHERE { $n prov:qualifiedUsage ?u . ?u prov:atTime ?t }", "prov:qualifiedUsage",
           "it used something before", source="PROV-CONSTRAINTS 33"),
    Broken("a file read before it was there", "?n a provml:TrainingExecution ; prov:used ?f . "
           "?f a sprov:File ; prov:wasGeneratedBy ?m",
           "DELETE { ?m prov:startedAtTime ?t } "
           f'INSERT {{ ?m prov:startedAtTime "2050-01-01T00:00:00Z"{DATE} }} '
           "WHERE { $n prov:used ?f . ?f prov:wasGeneratedBy ?m . ?m prov:startedAtTime ?t }",
           "prov:used", "it used what was not there yet", "interchange.py",
           "PROV-CONSTRAINTS 37"),
    Broken("a file made twice", "?n a provml:Model ; rdfs:label 'model.pt'",
           "INSERT { $n prov:wasGeneratedBy ?a } WHERE { ?a a provml:DataTransformationExecution }",
           "prov:wasGeneratedBy", "it was generated a second time", "interchange.py",
           "PROV-CONSTRAINTS 39"),
    Broken("a cycle of derivations", "?n a sprov:File ; prov:wasGeneratedBy ?m",
           "INSERT { ?raw prov:wasDerivedFrom $n } WHERE { $n prov:wasDerivedFrom ?raw }",
           "prov:wasDerivedFrom", "it was derived from itself", "interchange.py",
           "PROV-CONSTRAINTS 42"),
    Broken("a usage of two", "?n prov:qualifiedUsage ?u",
           "INSERT { ?b prov:qualifiedUsage ?u } WHERE { $n prov:qualifiedUsage ?u . "
           "?b a provml:DataTransformationExecution FILTER(?b != $n) }", "prov:qualifiedUsage",
           "its usage is another execution's too", "interchange.py", "PROV-CONSTRAINTS 23"),
    Broken("a generation of two", "?n prov:qualifiedGeneration ?g",
           "INSERT { ?f prov:qualifiedGeneration ?g } WHERE { $n prov:qualifiedGeneration ?g . "
           "?f a sprov:File FILTER(?f != $n) }", "prov:qualifiedGeneration",
           "its generation is another thing's too", "interchange.py", "PROV-CONSTRAINTS 23"),
    Broken("a file generated twice by one", "?n a sprov:File ; prov:qualifiedGeneration ?g",
           "INSERT { $n prov:qualifiedGeneration <https://example.org/g> . "
           "<https://example.org/g> ?p ?o } WHERE { $n prov:qualifiedGeneration ?g . ?g ?p ?o }",
           "prov:qualifiedGeneration", "one execution generated it twice", "interchange.py",
           "PROV-CONSTRAINTS 24"),
    Broken("a file derived from a later one", "?n a sprov:File ; prov:wasGeneratedBy ?m",
           "INSERT { $n prov:wasDerivedFrom ?late . ?m prov:endedAtTime "
           f'"2020-01-01T00:00:00Z"{DATE} }} WHERE {{ $n prov:wasGeneratedBy ?m . '
           "?late a provml:Model ; prov:wasGeneratedBy ?b }", "prov:wasDerivedFrom",
           "it was derived from what was not there yet", "interchange.py", "PROV-CONSTRAINTS 42"),
    Broken("a file that specializes itself", "?n a sprov:File ; prov:wasGeneratedBy ?m",
           ADDED("prov:specializationOf $n"), "prov:specializationOf",
           "a specialization of itself", "interchange.py", "PROV-CONSTRAINTS 52"),
    Broken("an agent that is none", RANK, ADDED("prov:wasAssociatedWith <https://example.org/x>"),
           "prov:wasAssociatedWith", "who an activity was associated with is an agent"),
    Broken("a role that is no role", "?n a prov:Usage ; prov:entity/a provml:DataReference",
           REPLACED("prov:hadRole", "<https://example.org/x>"), "prov:hadRole",
           "what a usage has as its role is a prov:Role"),
    Broken("a file derived from itself", "?n a sprov:File ; prov:wasGeneratedBy ?m",
           ADDED("prov:wasDerivedFrom $n"), "prov:wasDerivedFrom",
           "it was derived from itself", "interchange.py",
           "PROV-CONSTRAINTS 42"),
]  # fmt: skip


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, bytes]]:
    """Programs with the run each was, and all that is stored of it."""
    found = {}
    for program, extra in (("api.py", JOB), ("interchange.py", {})):
        with Site(tmp_path_factory.mktemp("lived")) as site:
            site.run(program, **extra)
            site.sprov("ingest")
            (run,) = json.loads(site.sprov("runs", "--format", "json"))
            everything = site.sprov(
                "query", "CONSTRUCT { ?s ?p ?o } { ?s ?p ?o }", "--format", "ntriples"
            )
            found[program] = run["run"], everything.encode()
    return found


def verdict_on(triples: bytes, run: str, folder: Path) -> Verdict:
    """Return what is found of a store that has these triples."""
    project = Project(folder / ".sprov").create()
    store = Store(project.store)
    store.load(triples)
    store.snapshot(project.snapshots)
    store.close()
    return validate(Engine(project, None), run)


def update(triples: bytes, text: str) -> bytes:
    store = ox.Store()
    store.load(triples, format=ox.RdfFormat.N_TRIPLES)
    store.update(text, prefixes=PREFIXES)
    return store.dump(format=ox.RdfFormat.N_TRIPLES, from_graph=ox.DefaultGraph())


def first(triples: bytes, pattern: str) -> str:
    """Return the first ``?n`` of a pattern."""
    store = ox.Store()
    store.load(triples, format=ox.RdfFormat.N_TRIPLES)
    rows = store.query(f"SELECT ?n {{ {pattern} }} ORDER BY ?n LIMIT 1", prefixes=PREFIXES)
    return next(iter(rows))["n"].value


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_what_is_broken_is_told_by_node_and_reason(lived, tmp_path, case: Broken):
    run, triples = lived[case.run]
    node = first(triples, case.node)
    broken = update(triples, case.update.replace("$n", f"<{node}>"))
    assert set(broken.splitlines()) != set(triples.splitlines())
    problems = verdict_on(broken, run, tmp_path).problems
    assert any(
        node in problem.nodes
        and problem.path == case.path
        and case.reason in problem.reason
        and problem.source.startswith(case.source)
        for problem in problems
    ), problems


@pytest.mark.parametrize("program", ["api.py", "interchange.py"])
def test_the_graph_of_a_program_is_valid_and_progress_is_told(lived, tmp_path, program: str):
    run, triples = lived[program]
    project = Project(tmp_path / ".sprov").create()
    store = Store(project.store)
    store.load(triples)
    store.snapshot(project.snapshots)
    store.close()
    told: list[int] = []
    verdict = validate(Engine(project, None), run, told.append)
    assert verdict.problems == []
    assert verdict.n_forms < verdict.n_nodes
    assert sum(told) == N_STEPS


def test_clocks_may_be_a_little_apart(lived, tmp_path):
    """Half a second before its whole is a clock; a whole minute is an error (above)."""
    run, triples = lived["api.py"]
    node = first(triples, f"{EPOCH} . ?n sprov:index 0")
    moved = update(
        triples,
        f"""DELETE {{ <{node}> prov:startedAtTime ?s }} INSERT {{ <{node}> prov:startedAtTime ?t }}
        WHERE {{ <{node}> prov:startedAtTime ?s
                 BIND(?s - "PT0.5S"^^xsd:dayTimeDuration AS ?t) }}""",
    )
    assert set(moved.splitlines()) != set(triples.splitlines())
    assert verdict_on(moved, run, tmp_path).problems == []


def test_a_data_set_may_be_made_again(lived, tmp_path):
    """It is known by name and version, which are what users say."""
    run, triples = lived["api.py"]
    node = first(triples, "?n a provml:LearningDataSetReference ; prov:wasGeneratedBy ?a")
    again = update(
        triples,
        f"INSERT {{ <{node}> prov:wasGeneratedBy ?a }} WHERE {{ ?a a provml:TrainingExecution ; "
        "prov:startedAtTime ?s }",
    )
    assert verdict_on(again, run, tmp_path).problems == []


def test_two_runs_of_one_program_are_each_valid(site: Site):
    """Ranks, a failure, a resume: each by the command."""
    site.run("training.py", ranks=2)
    site.start("training.py", "--fail").wait(TIMEOUT_S)
    site.run("lifecycle.py")
    site.sprov("ingest")
    runs = json.loads(site.sprov("runs", "--format", "json"))
    assert len(runs) == 3
    for run in runs:
        found = json.loads(site.sprov("verify", "--shapes", run["run"], "--format", "json"))
        assert (found["run"], found["valid"], found["problems"]) == (run["run"], True, [])


def test_a_running_program_is_valid_so_far(served: Site):
    served.start("steps.py", "50", "--hang", str(served.folder / "hung"))
    wait_until((served.folder / "hung").exists)
    wait_until(lambda: served.count(f"{TRANSFORMATIONS} ; prov:endedAtTime ?at") == 50)
    assert "problems  0" in served.sprov("verify", "--shapes")


def test_the_command_tells_what_is_wrong_and_has_exit_status_1(site: Site):
    """Of eight activities the beginning is lost; five are named, and how many more."""
    site.run("lifecycle.py")
    site.sprov("ingest")
    (run,) = json.loads(site.sprov("runs", "--format", "json"))
    store = Store(site.project.store)
    store.load(
        b"".join(
            f"<https://w3id.org/sprov/id/activity/{n:032x}> <{PREFIXES['provml']}isPartOf> "
            f"<{run['run']}> .\n".encode()
            for n in range(8)
        )
    )
    store.load(
        b"".join(
            f"<https://w3id.org/sprov/id/activity/{n:032x}> <{PREFIXES['sprov']}error> "
            f'"boom" .\n'.encode()
            for n in range(8)
        )
    )
    store.snapshot(site.project.snapshots)
    store.close()
    done = subprocess.run(
        [SCRIPT, "verify", "--shapes", run["run"]],
        env=site.environment(),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert "the record of its beginning is lost (shapes:EndWithoutBeginning)" in done.stdout
    assert done.stdout.count("/id/activity/") == 5
    assert "and 3 more" in done.stdout


@pytest.mark.parametrize("program", ["api.py", "interchange.py"])
def test_one_node_of_each_form_stands_for_all(lived, program: str):
    """SHACL over all nodes finds what it finds over one of each form, in a graph with errors."""
    _, triples = lived[program]
    for pattern, removed in ((FILE, "sprov:path"), (EPOCH, "prov:qualifiedAssociation")):
        node = first(triples, pattern)
        triples = update(triples, f"DELETE WHERE {{ <{node}> {removed} ?o }}")
    said = Statements([triples])
    by_form = check_shapes(said, Forms(said).groups())
    by_node = check_shapes(said, dict(enumerate([node] for node in said)))
    assert by_form
    assert {(p, frozenset(p.nodes)) for p in by_form} == {(p, frozenset(p.nodes)) for p in by_node}


@given(st.dictionaries(st.sampled_from("abcdef"), st.lists(st.sampled_from("abcdef"), max_size=4)))
def test_a_cycle_is_found_if_there_is_one(sources: dict[str, list[str]]):
    found = list(find_cycles(sources))
    for cycle in found:
        assert len(set(cycle)) == len(cycle)
        assert all(b in sources[a] for a, b in zip(cycle, [*cycle[1:], cycle[0]], strict=True))
    assert bool(found) == any(node in reached(sources, node) for node in sources)


def reached(sources: dict[str, list[str]], start: str) -> set[str]:
    found: set[str] = set()
    todo = list(sources.get(start, ()))
    while todo:
        node = todo.pop()
        if node not in found:
            found.add(node)
            todo.extend(sources.get(node, ()))
    return found
