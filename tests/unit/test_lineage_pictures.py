"""Pictures of lineage: laid out from left to right, merged, and safe whatever names hold."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from manager.store.described import Activity, Entity, Lineage, Link
from query.layout import layered
from query.lineage import view
from query.picture import dot, html, svg
from query.tree import Tree

HOSTILE = '</title><script>alert("1")</script>\\" ]; evil [label="\n\x00\x1b[31m\ud83d'
SVG = "{http://www.w3.org/2000/svg}"


def chain(name: str = "clean.csv", *, ranks: int = 1) -> Lineage:
    """Return a lineage: a plot of a file, written by an activity of each rank alike, of a copy."""
    entities = [
        Entity("urn:plot", "file", 0, "plot.png", "/data/plot.png"),
        Entity("urn:clean", "file", 1, name, f"/data/{name}", size=2000, digest="blake2b:00"),
        Entity("urn:copied", "file", 1, name, f"/other/{name}"),
    ]
    activities = [
        Activity(f"urn:a{rank}", "transformation", 1, "plot", rank=rank, run="urn:run", job="42")
        for rank in range(ranks)
    ]
    edges = [Link("urn:clean", "sameContent", "urn:copied", "content")]
    for activity in activities:
        edges.append(Link("urn:plot", "wasGeneratedBy", activity.id, "exact", "picture"))
        edges.append(Link(activity.id, "used", "urn:clean", "exact", "source"))
    return Lineage("urn:plot", "up", 7, ranks, entities, activities, edges)


def places(picture: str) -> dict[str, tuple[float, float]]:
    """Return the place of each box by its text."""
    found = {}
    for group in ElementTree.fromstring(picture).iter(f"{SVG}g"):
        box = group.find(f"{SVG}rect")
        text = group.find(f"{SVG}text")
        assert box is not None
        assert text is not None
        found[text.text or ""] = float(box.get("x", "")), float(box.get("y", ""))
    return found


def test_causes_are_left_of_effects():
    found = places(svg(view([chain()])))
    assert found["clean.csv"][0] < found["plot"][0] < found["plot.png"][0]


def test_what_is_known_by_content_is_dashed():
    root = ElementTree.fromstring(svg(view([chain()])))
    dashed = [path for path in root.iter(f"{SVG}path") if path.get("stroke-dasharray")]
    assert [path.findtext(f"{SVG}title") for path in dashed] == ["same content"]
    assert dot(view([chain()])).count("style=dashed") == 1


def test_ranks_that_did_the_same_are_one():
    shown = view([chain(ranks=8)])
    (step,) = shown.steps.values()
    assert step.where == "8 ranks, job 42"
    assert len(shown.edges) == 3


def test_what_is_left_out_is_said():
    for picture in (svg, dot, html):
        assert "and 4 more" in picture(view([chain()]))


def test_names_are_escaped():
    shown = view([chain(HOSTILE)])
    ElementTree.fromstring(svg(shown))
    assert "<script" not in svg(shown)
    assert "<script" not in html(shown)
    lines = list(Tree(shown, "up", Path("/data"), settings=True).lines())
    assert len(lines) > 2
    assert all(line.isprintable() for line in lines)


@given(st.text())
def test_any_name_is_one_string_in_dot(name: str):
    """Whatever a name holds, quotes pair up and each statement stays on its line."""
    for line in dot(view([chain(name)])).splitlines():
        bare = re.sub(r'"(?:[^"\\]|\\.)*"', "", line)
        assert '"' not in bare
        assert "evil" not in bare
        assert bare.strip() in ("digraph lineage {", "}") or bare.endswith(";")


@given(st.text())
def test_any_name_is_well_formed_xml(name: str):
    ElementTree.fromstring(svg(view([chain(name)])))


@given(st.sets(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=40))
def test_every_layout_has_room_for_all(arrows: set[tuple[int, int]]):
    """Cycles too: each node has a place of its own, and each arrow joins its ends."""
    nodes = [str(n) for n in range(13)]
    found = layered(nodes, [(str(a), str(b)) for a, b in arrows])
    assert set(found.place) == set(nodes)
    assert len(set(found.place.values())) == len(nodes)
    for (cause, effect), route in found.routes.items():
        assert (route[0], route[-1]) == (found.place[cause], found.place[effect])
        assert all(abs(a[0] - b[0]) <= 1 for a, b in itertools.pairwise(route))
