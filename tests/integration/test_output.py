"""`-o FILE` writes what the ending of the file says, or refuses."""

from __future__ import annotations

import csv
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
import rdflib
from harness import Site


def is_svg(path: Path) -> bool:
    return ElementTree.parse(path).getroot().tag.endswith("svg")


def is_json(path: Path) -> bool:
    return bool(json.loads(path.read_text()))


def is_graph(path: Path, form: str) -> bool:
    dataset = rdflib.Dataset(default_union=True)
    dataset.parse(path, format=form)  # returns one graph of several in rdflib 7.1
    return len(dataset) > 50


@pytest.mark.parametrize(
    ("command", "name", "holds"),
    [
        ("lineage out.txt", "x.svg", is_svg),
        ("lineage out.txt", "x.SVG", is_svg),
        ("lineage out.txt", "x.html", lambda path: "<html" in path.read_text()),
        ("lineage out.txt", "x.json", is_json),
        ("lineage out.txt", "x.dot", lambda path: path.read_text().startswith("digraph")),
        ("lineage out.txt", "x.txt", lambda path: "<- training fit" in path.read_text()),
        ("metrics @last loss", "y.svg", is_svg),
        ("metrics @last loss", "y.png", lambda path: path.read_bytes().startswith(b"\x89PNG")),
        ("metrics @last loss", "y.csv", lambda path: len(list(csv.reader(path.open()))) == 4),
        ("metrics @last loss", "y.json", is_json),
        ("export @last", "z.ttl", lambda path: is_graph(path, "turtle")),
        ("export @last", "z.nq", lambda path: is_graph(path, "nquads")),
        ("export @last", "z.json", is_json),
        ("export @last", "z.provn", lambda path: path.read_text().startswith("document")),
        ("export @last", "z.zip", zipfile.is_zipfile),
    ],
)
def test_the_ending_says_the_format(
    not_finite: Site, command: str, name: str, holds: Callable[[Path], bool]
):
    not_finite.sprov(*command.split(), "-o", name)
    assert holds(not_finite.folder / name)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (
            "lineage out.txt -o no.pdf",
            "no format has this ending, or it is not supported; there are .svg",
        ),
        ("lineage out.txt -o no", "no format has this ending"),
        ("lineage out.txt -o no.svg --format html", "is svg by its ending, and --format says html"),
        ("metrics @last -o no.svg --csv", "is picture by its ending, and --format says csv"),
        ("metrics @last -o no.parquet", "no format has this ending"),
        ("export @last -o no.svg", "there are .ttl .nq"),
        ("export @last -o no.ttl --format nquads", "is turtle by its ending"),
    ],
)
def test_an_ending_that_says_none_or_another_is_refused(not_finite: Site, command: str, said: str):
    assert said in not_finite.sprov(*command.split(), status=2)
    assert not list(not_finite.folder.glob("no*"))


def test_a_format_that_is_given_needs_no_ending(not_finite: Site):
    not_finite.sprov("lineage", "out.txt", "--format", "json", "-o", "given")
    assert is_json(not_finite.folder / "given")
