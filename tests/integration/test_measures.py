"""Runs are ranked by what they measured, however they said it: values, series, checkpoints."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from harness import Site

LOSSES = [[3.0, 1.0, 2.0], [4.0, 3.0, 0.5], [2.5, 1.5, 1.25]]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("measured"))
    process = made.start("measured.py", json.dumps(LOSSES))
    _, errors = process.communicate(timeout=made.timeout_s)
    assert process.returncode == -signal.SIGKILL, errors
    made.sprov("ingest")
    yield made
    made.close()


def ask(site: Site, name: str, *parameters: str) -> list[dict[str, Any]]:
    options = [option for each in parameters for option in ("-p", each)]
    rows = json.loads(site.sprov("ask", name, *options, "--format", "json"))
    names = {row["run"]: row["name"] for row in json.loads(site.sprov("runs", "--format", "json"))}
    return [{**row, "run": names[row["run"]]} if "run" in row else row for row in rows]


@pytest.mark.parametrize(
    ("parameters", "ranked"),
    [
        (["measure=loss", "best=lowest"], [("run1", 0.5), ("run0", 1.0), ("run2", 1.25)]),
        (["measure=loss", "best=lowest", "of=last"], [("run1", 0.5), ("run2", 1.25), ("run0", 2)]),
        (["measure=loss", "best=highest"], [("run1", 4.0), ("run0", 3.0), ("run2", 2.5)]),
        (["measure=score"], [("run1", 0.5), ("run0", 0.0), ("run2", -0.25)]),
        (["measure=score", "of=last"], [("run1", 0.5), ("run2", -0.25), ("run0", -1.0)]),
    ],
)
def test_runs_are_ranked_by_series_and_checkpoints(site: Site, parameters, ranked):
    rows = ask(site, "best-runs", "study=measured", *parameters)
    assert [(row["run"], row["score"]) for row in rows] == ranked


def test_settings_that_differ_by_an_output_path_can_be_left_out(site: Site):
    asked = ["measure=loss", "best=lowest", "study=measured"]
    apart = ask(site, "best-configuration", *asked)
    assert [row["runs"] for row in apart] == [1, 1, 1]
    together = ask(site, "best-configuration", *asked, "ignore=out, other")
    assert [(row["configuration"], row["runs"], row["mean"]) for row in together] == [
        ("lr=0.2", 1, 0.5), ("lr=0.1", 2, (1.0 + 1.25) / 2),
    ]  # fmt: skip
    assert ask(site, "same-configuration", *asked) == []
    assert {row["run"] for row in ask(site, "same-configuration", *asked, "ignore=out")} == {
        "run0", "run2",
    }  # fmt: skip
    shown = ask(site, "best-runs", *asked, "ignore=out,seed", "k=1")
    assert shown[0]["configuration"] == "lr=0.2"


def test_trials_are_ranked_by_their_own_series(site: Site):
    rows = ask(site, "best-runs", "measure=loss", "best=lowest", "study=swept")
    assert [(row["trial"], row["score"], row["configuration"]) for row in rows] == [
        ("lr=0.1", pytest.approx(0.1), "lr=0.1"), ("lr=0.2", pytest.approx(0.2), "lr=0.2"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["best-value", "initial-value", "best-and-worst"])
def test_other_questions_take_the_same_measures(site: Site, name: str):
    rows = ask(
        site, name, "measure=loss", "best=lowest", "study=measured", "hyperparameter=lr"
    )  # fmt: skip
    assert rows[0]["value"] == "0.2"


def test_an_empty_answer_lists_the_measures(site: Site):
    measures = {(row["measure"], row["kind"]) for row in ask(site, "measures")}
    assert {("loss", "series"), ("score", "checkpoints")} <= measures
    done = subprocess.run(
        site.command("ask", "best-runs", "-p", "measure=acuracy", "--format", "json"),
        cwd=site.folder, env=site.environment(), text=True, capture_output=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout) == []
    assert "measures that runs have recorded: " in done.stderr
    assert "loss" in done.stderr
    assert "score (checkpoints)" in done.stderr


def test_a_killed_run_is_ranked_by_the_points_that_it_left(site: Site):
    """It did not live to sum its series up."""
    assert (
        site.select("SELECT ?n { ?s sprov:run ?run ; sprov:points ?n . ?run sprov:study 'killed' }")
        == []
    )
    asked = ["measure=loss", "best=lowest", "study=killed"]
    assert [(row["run"], row["score"]) for row in ask(site, "best-runs", *asked)] == [
        ("killed", 0.25)
    ]
    assert ask(site, "best-runs", *asked, "of=last")[0]["score"] == 0.75
