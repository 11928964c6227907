"""The lifecycle example: one query goes from an accuracy back to the raw file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from lifecycle import (
    EXAMPLE,
    FIRST_EPOCHS,
    LEAST_CONCAVITY,
    MOST_AREA,
    PATIENCE,
    RANKS,
    SPLITS,
    Lifecycle,
    prepare,
    train,
)  # fmt: skip

BENIGN = 30
"""Column of the raw file."""


def test_one_query_goes_from_an_accuracy_to_the_raw_file_and_its_settings(lifecycle: Lifecycle):
    rows = lifecycle.site.select((EXAMPLE / "lineage.rq").read_text())
    found = {(float(r["accuracy"]), r["raw"], r["setting"], float(r["value"])) for r in rows}
    assert found == {
        (report["accuracy"], str(lifecycle.raw), setting, value)
        for report in lifecycle.reports
        for setting, value in (("most_area", MOST_AREA), ("least_concavity", LEAST_CONCAVITY))
    }


def test_so_does_the_command_for_one_value_of_one_run(lifecycle: Lifecycle):
    arguments = ("lineage", f"{lifecycle.resumed['run']}:accuracy", "--settings", "--live")
    found = json.loads(lifecycle.site.sprov(*arguments, "--format", "json"))
    made = {edge["subject"] for edge in found["edges"] if edge["relation"] == "wasGeneratedBy"}
    files = [entity for entity in found["entities"] if "path" in entity]
    assert [file["path"] for file in files if file["id"] not in made] == [str(lifecycle.raw)]
    (clean,) = [activity for activity in found["activities"] if activity["plan"] == "clean"]
    settings = {name: float(value) for name, value in clean["settings"].items()}
    assert settings == {"most_area": MOST_AREA, "least_concavity": LEAST_CONCAVITY}


def test_the_ranks_are_one_training(lifecycle: Lifecycle):
    rows = lifecycle.site.select(
        """SELECT ?run (COUNT(DISTINCT ?training) AS ?trainings) (COUNT(DISTINCT ?part) AS ?parts) {
             ?training a provml:TrainingExecution, sprov:Collective ; provml:isPartOf+ ?run .
             ?run a provml:LearningExperimentExecution .
             ?part a provml:TrainingExecution ; provml:isPartOf ?training } GROUP BY ?run"""
    )
    found = {row["run"].rpartition("/")[2]: (row["trainings"], row["parts"]) for row in rows}
    assert found == {report["run"]: ("1", str(RANKS)) for report in lifecycle.reports}


def test_curation_says_what_it_dropped(lifecycle: Lifecycle):
    n_kept = len(lifecycle.curated())
    rows = lifecycle.site.select(
        """SELECT ?name ?value { ?entity prov:value ?value ; prov:wasGeneratedBy ?clean ;
             provml:ofAttribute/rdfs:label ?name .
             ?clean prov:qualifiedAssociation/prov:hadPlan/rdfs:label "clean" }"""
    )
    with lifecycle.raw.open() as file:
        n_rows = int(file.readline().split(",")[0])
    found = {row["name"]: int(row["value"]) for row in rows}
    assert found == {"n_kept": n_kept, "n_dropped": n_rows - n_kept}


def test_data_sets_have_their_characteristics(lifecycle: Lifecycle):
    """Each split is one data set, whoever speaks of it, and the splits make up the clean data."""
    rows = lifecycle.site.select(
        """SELECT ?data ?split ?name ?value { ?data a provml:LearningDataSetReference ;
             sprov:split ?split ; provml:hasCharacteristic ?c . ?c rdfs:label ?name ;
             prov:value ?value }"""
    )
    assert len({row["data"] for row in rows}) == 3
    found = {(row["split"], row["name"]): float(row["value"]) for row in rows}
    kept = lifecycle.curated()
    n_rows = [found[split, "n_rows"] for split in SPLITS]
    assert n_rows == [len(kept) - 2 * (len(kept) // 5), len(kept) // 5, len(kept) // 5]
    n_benign = sum(found[split, "n_rows"] * found[split, "benign_share"] for split in SPLITS)
    assert n_benign == pytest.approx(sum(int(row[BENIGN]) for row in kept))


def test_the_best_checkpoint_is_the_one_that_was_tested(lifecycle: Lifecycle):
    """The last one marked as best is what the program says, also where it comes from before."""
    site = lifecycle.site
    for report in lifecycle.reports:
        (row,) = site.select(
            """SELECT ?path ?step { ?accuracy provml:ofAttribute/rdfs:label "accuracy" ;
                 prov:wasGeneratedBy ?test . ?test provml:isPartOf+ ?run ; prov:used ?model .
                 ?model sprov:best true ; sprov:path ?path ; sprov:step ?step }""",
            "--run", report["run"],
        )  # fmt: skip
        best = report["best_epoch"]
        assert (row["path"], int(row["step"])) == (lifecycle.checkpoint(report, best), best)


def test_the_learning_rate_changes_at_its_steps(lifecycle: Lifecycle):
    """One value of a rate, used by both ranks, from the epoch that the schedule says."""
    for report in lifecycle.reports:
        rows = lifecycle.site.select(
            """SELECT ?step ?value (COUNT(DISTINCT ?training) AS ?n) {
                 ?training a provml:TrainingExecution ; provml:isPartOf+ ?run ;
                   prov:qualifiedUsage ?usage .
                 ?usage sprov:step ?step ; prov:hadRole/rdfs:label "learning_rate" ;
                   prov:entity/prov:value ?value } GROUP BY ?run ?step ?value""",
            "--run", report["run"],
        )  # fmt: skip
        found = {int(row["step"]): float(row["value"]) for row in rows}
        assert found == lifecycle.rates(report)
        assert {row["n"] for row in rows} <= {str(RANKS)}


def test_early_stopping_is_recorded(lifecycle: Lifecycle):
    rows = lifecycle.site.select(
        """SELECT DISTINCT ?run ?epoch { ?entity provml:ofAttribute/rdfs:label "stopped_early_at" ;
             prov:value ?epoch ; prov:wasGeneratedBy/provml:isPartOf+ ?run .
             ?run a provml:LearningExperimentExecution }"""
    )
    found = {row["run"].rpartition("/")[2]: int(row["epoch"]) for row in rows}
    stopped = [lifecycle.resumed, lifecycle.other]
    assert found == {report["run"]: report["best_epoch"] + PATIENCE for report in stopped}
    assert lifecycle.first["epoch"] == FIRST_EPOCHS - 1


def test_the_second_training_goes_on_where_the_first_ended(lifecycle: Lifecycle):
    rows = lifecycle.site.select(
        """SELECT DISTINCT ?run ?step ?from { ?training sprov:resumedFrom ?checkpoint ;
             provml:isPartOf+ ?run . ?checkpoint sprov:step ?step ;
             prov:wasGeneratedBy/provml:isPartOf+ ?from .
             ?run a provml:LearningExperimentExecution .
             ?from a provml:LearningExperimentExecution }"""
    )
    found = [
        (r["run"].rpartition("/")[2], int(r["step"]), r["from"].rpartition("/")[2]) for r in rows
    ]
    assert found == [(lifecycle.resumed["run"], FIRST_EPOCHS - 1, lifecycle.first["run"])]


def test_everything_goes_by_its_declared_plan(lifecycle: Lifecycle):
    """The plans are those declared; so is what transformations and stages use and generate."""
    site = lifecycle.site
    execution = "?execution prov:qualifiedAssociation/prov:hadPlan ?plan"
    declared = "FILTER NOT EXISTS { ?plan sprov:declared true }"
    assert site.count(execution) > 0
    assert site.count(f"{execution} {declared}") == 0
    rows = site.select(
        """SELECT DISTINCT ?plan ?name { ?x provml:ofAttribute|prov:hadRole ?attribute .
             ?attribute rdfs:label ?name ; provml:isPartOf/rdfs:label ?plan
             FILTER NOT EXISTS { ?attribute sprov:declared true } }"""
    )
    assert rows == []
    assert "deviations" not in site.sprov("show", lifecycle.resumed["run"])


def test_logs_and_store_agree(lifecycle: Lifecycle):
    report = lifecycle.site.verify()
    assert report["captured"] == report["journalled"]


def test_the_programs_do_the_same_without_capture(lifecycle: Lifecycle, tmp_path: Path):
    prepare(tmp_path, SPROV_MODE="off")
    report = train(tmp_path, "model", "--epochs", str(FIRST_EPOCHS), SPROV_MODE="off")
    assert report == {**lifecycle.first, "run": ""}
    assert not (tmp_path / ".sprov").exists()
