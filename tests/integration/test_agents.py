"""Who did it, where, for what: users, ranks, nodes, jobs, steps, experiments and studies."""

from __future__ import annotations

import json

from harness import Site

SLURM = {
    "SLURM_JOB_ID": "4250",
    "SLURM_ARRAY_JOB_ID": "4242",
    "SLURM_ARRAY_TASK_ID": "7",
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NUM_TASKS": "2",
    "SLURM_PROCID": "0",
    "SLURM_CLUSTER_NAME": "alps",
    "SLURM_JOB_PARTITION": "gpu",
    "SLURMD_NODENAME": "nid001",
}


def test_an_attempt_is_part_of_its_step_and_job(site: Site):
    site.run("training.py", **SLURM)
    site.run("training.py", **SLURM, SLURM_RESTART_COUNT="1")
    site.sprov("ingest")
    rows = site.select("""
        SELECT ?restart ?step ?job ?cluster ?partition ?run {
          ?attempt a sprov:Attempt ; sprov:restart ?restart ; provml:isPartOf ?run, ?s .
          ?run a provml:LearningExperimentExecution .
          ?s a sprov:JobStep, prov:Activity ; rdfs:label ?step ; provml:isPartOf ?j .
          ?j a sprov:Job, prov:Activity ; rdfs:label ?job ;
             sprov:cluster ?cluster ; sprov:partition ?partition
        } ORDER BY ?restart""")
    assert [row["restart"] for row in rows] == ["0", "1"]
    assert len({row.pop("run") for row in rows}) == 1
    for row in rows:
        del row["restart"]
        assert row == {
            "step": "4242_7.0", "job": "4242_7", "cluster": "alps", "partition": "gpu",
        }  # fmt: skip


def test_everything_that_happened_says_who_did_it_in_terms_of_prov_o_alone(site: Site):
    """Whoever knows PROV-O only finds an agent of each activity, and a class of all but values."""
    site.run("training.py", ranks=2, **{n: v for n, v in SLURM.items() if "PROC" not in n})
    site.sprov("ingest")
    activities = site.select("""
        SELECT ?class (COUNT(DISTINCT ?a) AS ?n) (COUNT(DISTINCT ?done) AS ?by) {
          ?a a prov:Activity, ?class FILTER(?class != prov:Activity)
          OPTIONAL { ?a prov:wasAssociatedWith ?who . ?who a prov:Agent BIND(?a AS ?done) }
        } GROUP BY ?class""")
    assert {row["class"].rpartition("#")[2] for row in activities} >= {
        "LearningExperimentExecution", "Attempt", "WorkflowExecution", "TrainingExecution",
        "LearningStageSectionExecution", "Collective", "Job", "JobStep", "JobArray",
    }  # fmt: skip
    silent = [row["class"] for row in activities if row["n"] != row["by"]]
    assert [name.rpartition("#")[2] for name in silent] == ["JobArray"]
    untyped = site.select("""
        SELECT DISTINCT ?s { ?s ?p ?o
          FILTER NOT EXISTS { ?s sprov:watermark ?n } FILTER NOT EXISTS { ?s prov:value ?v }
          FILTER NOT EXISTS { ?s a ?class FILTER(STRSTARTS(STR(?class), STR(prov:))) } }""")
    assert untyped == []


INFERRED = """
SELECT ?class (COUNT(DISTINCT ?s) AS ?n) (SAMPLE(?label) AS ?one) {
  ?s a ?class . VALUES ?class { provml:AttributeValue sprov:Attempt provml:BaseLearningStage
    provml:LearningExperimentExecution sprov:Collective }
  OPTIONAL { ?s rdfs:label ?label FILTER(?class = provml:AttributeValue) }
  FILTER(?class IN (provml:AttributeValue, provml:BaseLearningStage) || EXISTS {
    ?s prov:startedAtTime ?from ; prov:endedAtTime ?to FILTER(?from <= ?to) })
} GROUP BY ?class ORDER BY ?class"""


def test_what_is_not_stored_is_inferred_when_asked_for(site: Site):
    """Classes and labels of values, times of wholes, superclasses."""
    site.run("training.py", ranks=2)
    site.sprov("ingest")
    times = """SELECT (MIN(?s) AS ?from) (MAX(?e) AS ?to) {
      ?a a %s ; prov:startedAtTime ?s ; prov:endedAtTime ?e }"""
    assert site.select(INFERRED) == []
    found = json.loads(site.sprov("query", "--inferred", INFERRED, "--format", "json"))
    rows = {row["class"]["value"].rpartition("#")[2]: row for row in found["results"]["bindings"]}
    n_values = site.count("?v prov:value ?x ; provml:ofAttribute ?at")
    assert int(rows["AttributeValue"]["n"]["value"]) == n_values > 4
    assert " = " in rows["AttributeValue"]["one"]["value"]
    for name in ("Attempt", "LearningExperimentExecution"):
        assert rows[name]["n"]["value"] == "1"
    assert int(rows["Collective"]["n"]["value"]) == site.count("?c a sprov:Collective")
    assert int(rows["BaseLearningStage"]["n"]["value"]) >= 1
    (ranks,) = site.select(times % "provml:WorkflowExecution")
    run = site.sprov(
        "query", "--inferred", times % "provml:LearningExperimentExecution", "--format", "csv"
    )
    assert run.split() == ["from,to", f"{ranks['from']},{ranks['to']}"]


def test_ranks_act_for_a_user_who_follows_an_experiment_of_a_study(site: Site):
    site.run("training.py", ranks=2)
    site.run("training.py")
    site.sprov("ingest")
    rows = site.select("""
        SELECT ?run ?study ?experiment ?user (COUNT(DISTINCT ?agent) AS ?ranks) {
          ?run prov:qualifiedAssociation ?q . ?q prov:agent ?u ; prov:hadPlan ?plan .
          ?plan a provml:LearningExperiment, prov:Plan ; rdfs:label ?experiment ;
                provml:isPartOf ?s .
          ?s a provml:Study, prov:Plan ; rdfs:label ?study .
          ?u a provml:Persona, prov:Agent ; rdfs:label ?user .
          ?agent a prov:SoftwareAgent ; sprov:run ?run ; prov:actedOnBehalfOf ?u ;
                 prov:atLocation/a prov:Location
        } GROUP BY ?run ?study ?experiment ?user ORDER BY ?ranks""")
    assert [row["ranks"] for row in rows] == ["1", "2"]
    assert {(row["study"], row["experiment"]) for row in rows} == {("digits", "mlp")}
    assert len({row["user"] for row in rows}) == 1


def test_numbers_of_a_validation_are_evaluations_of_a_measure(site: Site):
    site.run("training.py")
    site.sprov("ingest")
    rows = site.select("""
        SELECT ?measure (COUNT(?e) AS ?n) {
          ?e a provml:ModelEvaluation ; provml:ofAttribute/provml:ofMeasure ?m .
          ?m a provml:EvaluationMeasure ; rdfs:label ?measure
        } GROUP BY ?measure""")
    assert rows == [{"measure": "accuracy", "n": "2"}]
    assert site.count("?s a sprov:Series ; provml:ofAttribute/provml:ofMeasure/rdfs:label 'loss'")


def test_a_stage_and_a_transformation_of_one_name_are_two_plans(site: Site):
    site.run("transform.py", "fit", "--made", "ref:s:k")
    site.run("overwriting.py")
    site.sprov("ingest")
    rows = site.select(
        "SELECT ?plan ?class { ?plan a ?class ; rdfs:label 'fit' ; provml:isPartOf/a prov:Plan }"
    )
    classes = {row["class"].rpartition("#")[2] for row in rows}
    assert classes == {"Plan", "Entity", "DataTransformation", "Training"}, rows
    assert len({row["plan"] for row in rows}) == 2


def test_a_hyperparameter_of_all_ranks_and_repeats_is_one_entity(site: Site):
    site.run("training.py", ranks=3)
    site.sprov("ingest")
    rows = site.select("""
        SELECT ?name (COUNT(DISTINCT ?v) AS ?values) (COUNT(?a) AS ?uses) {
          ?v a provml:LearningHyperparameterValue ; provml:ofAttribute/rdfs:label ?name .
          ?a prov:used ?v
        } GROUP BY ?name ORDER BY ?name""")
    assert rows == [
        {"name": "layers", "values": "1", "uses": "3"},
        {"name": "lr", "values": "1", "uses": "3"},
    ]
