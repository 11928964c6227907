"""How two runs differ, and what one run was."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest
from harness import TIMEOUT_S, Site

TRAIN = """
import sys
import pllib
from pathlib import Path
lr, data, accuracy = float(sys.argv[1]), sys.argv[2], float(sys.argv[3])
with pllib.open(study="digits", name=sys.argv[4]) as session:
    with session.stage(
        "training", "fit", hyperparameters={"lr": lr, "batch": 32}, used={"data": pllib.File(data)}
    ) as fit:
        for epoch in fit.sections("epoch", 3):
            epoch.metric("loss", lr / (epoch.index + 1))
            if epoch.index == 1:
                fit.hyperparameter("lr", lr / 10, step=1)
            Path("model.pt").write_text(f"{lr}{epoch.index}" * 999)
            fit.checkpoint("model.pt", step=epoch.index, metric=accuracy, best=epoch.index == 2)
    with session.stage("evaluation", "test") as test:
        test.generated(accuracy=accuracy)
    if len(sys.argv) > 5:
        with session.transformation("extra"):
            raise ValueError("no extra")
"""


@pytest.fixture
def trained(site: Site) -> Site:
    """Two runs: another learning rate and result, the same data from elsewhere, one more step."""
    (site.folder / "train.py").write_text(TRAIN)
    (site.folder / "data.csv").write_text("1,2\n" * 500)
    shutil.copy(site.folder / "data.csv", site.folder / "same.csv")
    program = str(site.folder / "train.py")
    site.run(program, "0.1", "data.csv", "0.9", "first")
    failed = site.start(program, "0.2", "same.csv", "0.95", "second", "extra")
    assert "no extra" in failed.communicate(timeout=TIMEOUT_S)[1]
    site.sprov("ingest")
    return site


def rows(site: Site, *arguments: str) -> dict[tuple[str, str], dict[str, Any]]:
    found = json.loads(site.sprov("diff", *arguments, "--format", "json"))
    return {(row["aspect"], row["name"]): row for row in found}


def test_only_what_differs_is_told(trained: Site):
    found = rows(trained, "first", "second")
    assert found["settings", "fit.lr"]["how"] == "other"
    assert found["settings", "fit.lr"]["first"] == "0.1 → 0.01 at 1"
    assert ("settings", "fit.batch") not in found
    assert found["data", "data"]["how"] == "same content"
    assert found["results", "test.accuracy"] == {
        "aspect": "results",
        "name": "test.accuracy",
        "first": "0.9",
        "second": "0.95",
        "how": "other",
    }
    assert found["structure", "transformation extra"]["how"] == "only second"
    assert "code" not in {aspect for aspect, _ in found}


def test_all_tells_what_is_the_same_too(trained: Site):
    found = rows(trained, "first", "second", "--all")
    assert found["settings", "fit.batch"]["how"] == "same"
    assert found["code", "program"]["how"] == "same"
    assert found["structure", "training fit"]["first"] == 1


def test_a_run_does_not_differ_from_itself(trained: Site):
    assert trained.sprov("diff", "first", "first") == "no difference\n"


def test_show_tells_settings_models_results_and_failures(trained: Site):
    found = json.loads(trained.sprov("show", "second", "--format", "json"))
    lr = next(row for row in found["settings"] if row["name"] == "lr")
    assert (lr["value"], [(c["step"], c["value"]) for c in lr["adapted"]]) == ("0.2", [(1, "0.02")])
    assert [(row["step"], row["best"]) for row in found["models"]] == [
        (0, False), (1, False), (2, True),
    ]  # fmt: skip
    assert {row["name"]: row["last"] for row in found["results"]}["accuracy"] == "0.95"
    (loss,) = found["series"]
    assert (loss["points"], loss["max"]) == (3, 0.2)
    failed = {row["kind"]: row["error"] for row in found["failures"]}
    assert failed.keys() == {"transformation", "workflow"}
    assert failed["transformation"].startswith("ValueError")
    stages = {(row["kind"], row["name"]): row for row in found["stages"]}
    assert stages["training", "fit"]["state"] == "completed"
    assert stages["transformation", "extra"]["state"] == "failed"
    assert stages["epoch", "epoch"]["executions"] == 3


def test_show_fits_a_terminal(trained: Site):
    text = trained.sprov("show", "second", COLUMNS="100")
    assert "0.2 → 0.02 at 1" in text
    assert "best" in text
    assert max(map(len, text.splitlines())) <= 200


def test_show_tells_deviations_from_what_was_declared(site: Site):
    program = site.folder / "plan.py"
    program.write_text(
        "import pllib\n"
        "pllib.declare({'workflow': 'flow', 'transformations': [{'name': 'curate',\n"
        "    'used': {'threshold': 'double'}, 'generated': {\n"
        "        'kept': 'integer', 'note': {'type': 'string', 'required': True}}}]})\n"
        "with pllib.open(workflow='flow') as session:\n"
        "    with session.transformation('curate', used={'threshold': 'high'}) as curate:\n"
        "        curate.generated(kept=3, surprise=1)\n"
    )
    site.run(str(program))
    site.sprov("ingest")
    found = json.loads(site.sprov("show", "@last", "--format", "json"))["deviations"]
    assert {(row["name"], row["deviation"]) for row in found} == {
        ("threshold", "type"), ("note", "missing"), ("surprise", "undeclared"),
    }  # fmt: skip
