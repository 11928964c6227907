"""Series as tables and curves."""

from __future__ import annotations

import csv
import io
from xml.etree import ElementTree

import pyarrow as pa
import pytest
from harness import Site, fill_once

from pllib.errors import QueryError
from query.engine import ask_json
from query.plot import curves

TRAIN = """
import pllib
with pllib.open(name="noisy") as session:
    with session.stage("training", "fit") as fit:
        for epoch in fit.sections("epoch", 6):
            epoch.metrics({"loss": float("nan") if epoch.index == 2 else 1 / (epoch.index + 1),
                           "<b>&$x$": epoch.index})
"""


@pytest.fixture
def trained(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Site:
    return fill_once(site, tmp_path_factory.getbasetemp() / "metrics", train)


def train(site: Site) -> None:
    (site.folder / "train.py").write_text(TRAIN)
    site.run(str(site.folder / "train.py"))
    site.sprov("ingest")


def test_curves_in_the_terminal_count_what_is_not_finite(trained: Site):
    text = trained.sprov("metrics", "@last", "loss", "--plot")
    assert "loss, 1 not finite" in text


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_curves_in_a_file(trained: Site, ending: str):
    trained.sprov("metrics", "@last", "-o", f"curves.{ending}")
    data = (trained.folder / f"curves.{ending}").read_bytes()
    if ending == "png":
        assert data.startswith(b"\x89PNG")
    else:
        ElementTree.fromstring(data)


def test_an_unknown_kind_of_file_is_refused(trained: Site):
    assert "not supported" in trained.sprov("metrics", "@last", "-o", "curves.xyz", status=2)


@pytest.mark.parametrize("option", ["--plot", "--csv", "--format=json", "--format=table"])
def test_series_that_are_not_there_are_said(trained: Site, option: str):
    said = trained.sprov("metrics", "@last", "colour", option, status=5)
    assert "no such series: colour. There are: <b>&$x$, loss" in said


def test_telemetry_stands_beside_series_with_steps_only_when_it_is_named(site: Site):
    (site.folder / "train.py").write_text(TRAIN)
    site.run(str(site.folder / "train.py"), SPROV_TELEMETRY_S="0.05")
    site.sprov("ingest")
    assert "rss_memory" not in site.sprov("metrics", "@last")
    assert "rss_memory" in site.sprov("metrics", "@last", "loss", "rss_memory")
    alone = site.sprov("metrics", "@last", "rss_memory")
    assert "mean" in alone and "step" not in alone


def test_points_as_csv(trained: Site):
    rows = list(csv.DictReader(io.StringIO(trained.sprov("metrics", "@last", "loss", "--csv"))))
    assert [row["step"] for row in rows] == [str(n) for n in range(6)]
    assert rows[2]["value"] == "nan"


def test_a_missing_extra_is_named(trained: Site):
    """Python is told to find no matplotlib."""
    blocker = trained.folder / "site"
    blocker.mkdir()
    (blocker / "sitecustomize.py").write_text(
        "import sys\nsys.modules['matplotlib'] = None\nsys.modules['plotext'] = None\n"
    )
    for option in ("--plot", "-o=x.png"):
        said = trained.sprov(
            "metrics", "@last", *option.split("="), status=1, PYTHONPATH=str(blocker)
        )
        assert "pip install 'sprov[plot]'" in said


def test_a_curve_is_the_mean_over_ranks_with_gaps():
    nan = float("nan")
    points = pa.table(
        {
            "name": ["loss"] * 6,
            "rank": [0, 1, 0, 1, 0, 1],
            "step": [0, 0, 1, 1, 2, 2],
            "value": [1.0, 3.0, nan, 5.0, 4.0, 4.0],
        }
    )
    (curve,) = curves(points)
    assert (curve.steps, curve.n_ranks, curve.n_gaps) == ([0, 1, 2], 2, 1)
    assert (curve.mean[0], curve.least[0], curve.most[0]) == (2.0, 1.0, 3.0)
    assert curve.mean[1] != curve.mean[1]
    assert curve.mean[2] == 4.0


def test_the_manager_gives_points_with_nulls_for_what_is_not_finite(trained: Site):
    trained.serve()
    run = trained.select("SELECT ?r { ?r a provml:LearningExperimentExecution }")[0]["r"]
    where = f"/v1/runs/{run.rpartition('/')[2]}/series"
    found = ask_json(trained.endpoint, f"{where}/loss")
    assert found["step"] == list(range(6))
    assert found["rank"] == [0] * 6
    assert found["value"][:3] == [1.0, 0.5, None]
    with pytest.raises(QueryError, match="no series colour"):
        ask_json(trained.endpoint, f"{where}/colour")
    with pytest.raises(QueryError, match="no run is"):
        ask_json(trained.endpoint, f"/v1/runs/{'0' * 32}")
