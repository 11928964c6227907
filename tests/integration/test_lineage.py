"""Lineage: what a file came from and what it led to, by the versions that there were."""

from __future__ import annotations

import json

import pytest
from harness import Site


@pytest.fixture
def lived(site: Site) -> Site:
    site.run("lifecycle.py")
    site.sprov("ingest")
    return site


def test_a_model_leads_back_to_the_raw_file(lived: Site):
    tree = json.loads(lived.sprov("lineage", "model.pt", "--format", "json"))
    (epoch,) = tree["activities"]
    (clean,) = epoch["files"]
    (curate,) = clean["activities"]
    (raw,) = curate["files"]
    assert (epoch["plan"], curate["plan"]) == ("epoch", "curate")
    names = [node["path"].rpartition("/")[2] for node in (tree, clean, raw)]
    assert names == ["model.pt", "clean.csv", "raw.csv"]
    assert raw["activities"] == []


def test_a_raw_file_leads_to_every_version_of_the_model(lived: Site):
    tree = json.loads(lived.sprov("lineage", "raw.csv", "--down", "--format", "json"))
    (curate,) = tree["activities"]
    (clean,) = curate["files"]
    models = {file["file"] for epoch in clean["activities"] for file in epoch["files"]}
    assert len(models) == 2


def test_a_file_joins_across_runs_when_it_is_unchanged(lived: Site):
    """Another run reads what the first wrote, from another folder."""
    other = lived.folder / "other.py"
    other.write_text(
        "import pllib\n"
        "with pllib.open() as s:\n"
        "    with s.transformation('plot', used={'m': pllib.File('model.pt')}) as plot:\n"
        "        open('plot.png', 'w').write('x' * 3000)\n"
        "        plot.generated(picture=pllib.File('plot.png'))\n"
    )
    lived.run(str(other))
    lived.sprov("ingest")
    text = lived.sprov("lineage", "plot.png")
    places = [text.index(name) for name in ("plot.png", "model.pt", "clean.csv", "raw.csv")]
    assert places == sorted(places)


def test_a_name_that_no_record_speaks_of_is_said(lived: Site):
    assert "no record speaks of" in lived.sprov("lineage", "nothing.txt", status=5)


@pytest.mark.parametrize("hostile", ['x" } ; DROP', "https://e/> ?p ?o", "a\\\nb", "?x"])
def test_a_hostile_name_is_a_name(lived: Site, hostile: str):
    lived.sprov("lineage", hostile, status=5)
