"""Lineage: what things came from and led to, across runs that never knew of each other."""

from __future__ import annotations

import json
import os
import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from harness import Site

MAKE = """
import pllib
from pathlib import Path
Path("raw.csv").write_text("1,2\\n" * 500)
with pllib.open() as session:
    with session.transformation("curate", used={"raw": pllib.File("raw.csv")}) as curate:
        Path("clean.csv").write_text("3,4\\n" * 500)
        curate.generated(clean=pllib.File("clean.csv"))
"""

READ = """
import sys
import pllib
from pathlib import Path
source, product = sys.argv[1:]
with pllib.open() as session:
    with session.transformation("plot", used={"source": pllib.File(source)}) as plot:
        Path(product).write_text(product * 500)
        plot.generated(picture=pllib.File(product))
"""


def program(site: Site, name: str, text: str) -> str:
    path = site.folder / name
    path.write_text(textwrap.dedent(text))
    return str(path)


@pytest.fixture
def made(site: Site) -> Site:
    """A program has made clean.csv of raw.csv; its files are digested."""
    site.run(program(site, "make.py", MAKE))
    site.sprov("ingest")
    program(site, "read.py", READ)
    return site


def read(site: Site, source: str, product: str, *, digest: bool = True) -> None:
    """Have another program read `source`, and write `product`."""
    site.run(str(site.folder / "read.py"), source, product)
    site.sprov("ingest", **({} if digest else {"SPROV_DIGEST_LIMIT_BYTES": "0"}))


def lineage(site: Site, *arguments: str) -> dict[str, Any]:
    return dict(json.loads(site.sprov("lineage", *arguments, "--format", "json")))


def names(found: dict[str, Any]) -> set[str]:
    return {Path(entity["path"]).name for entity in found["entities"]}


def copies(found: dict[str, Any]) -> set[tuple[str, str]]:
    """Return (copy, original) of all that is known by content."""
    path = {entity["id"]: Path(entity["path"]).name for entity in found["entities"]}
    edges = [edge for edge in found["edges"] if edge["how"] == "content"]
    assert {edge["relation"] for edge in edges} <= {"sameContent"}
    return {(path[edge["subject"]], path[edge["object"]]) for edge in edges}


def test_what_another_program_wrote_joins_exactly(made: Site):
    read(made, "clean.csv", "plot.png")
    found = lineage(made, "plot.png")
    assert names(found) == {"plot.png", "clean.csv", "raw.csv"}
    assert {edge["how"] for edge in found["edges"]} == {"exact"}
    assert {activity["plan"] for activity in found["activities"]} == {"plot", "curate"}
    assert len({activity["run"] for activity in found["activities"]}) == 2


def test_a_copy_joins_by_content(made: Site):
    shutil.copy(made.folder / "clean.csv", made.folder / "other.csv")
    read(made, "other.csv", "plot.png")
    found = lineage(made, "plot.png")
    assert copies(found) == {("other.csv", "clean.csv")}
    assert "raw.csv" in names(found)
    down = lineage(made, "raw.csv", "--down")
    assert copies(down) == {("other.csv", "clean.csv")}
    assert "plot.png" in names(down)


def test_a_moved_file_joins_by_content(made: Site):
    (made.folder / "clean.csv").rename(made.folder / "moved.csv")
    read(made, "moved.csv", "plot.png")
    assert copies(lineage(made, "plot.png")) == {("moved.csv", "clean.csv")}


def test_a_touched_file_joins_by_content(made: Site):
    os.utime(made.folder / "clean.csv")
    read(made, "clean.csv", "plot.png")
    assert copies(lineage(made, "plot.png")) == {("clean.csv", "clean.csv")}


def test_a_rewrite_after_the_read_is_not_what_was_read(made: Site):
    shutil.copy(made.folder / "clean.csv", made.folder / "other.csv")
    read(made, "other.csv", "plot.png")
    made.run(str(made.folder / "make.py"))
    made.sprov("ingest")
    found = lineage(made, "plot.png")
    (first, second) = made.select(
        "SELECT ?f { ?f rdfs:label 'clean.csv' ; sprov:modified ?m } ORDER BY ?m"
    )
    assert first["f"] in {entity["id"] for entity in found["entities"]}
    assert second["f"] not in {entity["id"] for entity in found["entities"]}


def test_of_equal_files_the_one_with_the_same_name_is_the_origin(made: Site):
    """A second file with the content of clean.csv is written; a copy of clean.csv is read."""
    shutil.copy(made.folder / "clean.csv", made.folder / "same.csv")
    made.run(
        program(
            made,
            "same.py",
            """
            import pllib
            with pllib.open() as s, s.transformation("same") as t:
                t.generated(same=pllib.File("same.csv"))
            """,
        )
    )
    (made.folder / "there").mkdir()
    shutil.copy(made.folder / "clean.csv", made.folder / "there" / "clean.csv")
    read(made, "there/clean.csv", "plot.png")
    assert copies(lineage(made, "plot.png")) == {("clean.csv", "clean.csv")}


def test_a_digest_known_on_one_side_only_joins_nothing(made: Site):
    shutil.copy(made.folder / "clean.csv", made.folder / "other.csv")
    read(made, "other.csv", "plot.png", digest=False)
    found = lineage(made, "plot.png")
    assert copies(found) == set()
    assert names(found) == {"plot.png", "other.csv"}


def test_tiny_files_join_nothing(made: Site):
    for name in ("flag.txt", "also.txt"):
        (made.folder / name).write_text("done")
    made.run(
        program(
            made,
            "flag.py",
            """
            import pllib
            with pllib.open() as s, s.transformation("flag") as t:
                t.generated(flag=pllib.File("flag.txt"))
            """,
        )
    )
    read(made, "also.txt", "plot.png")
    assert copies(lineage(made, "plot.png")) == set()


def test_a_directory_joins_where_it_is_and_as_a_copy(made: Site):
    zarr = made.folder / "x.zarr"
    zarr.mkdir()
    for name in "abc":
        (zarr / name).write_text(name * 3000)
    write = program(
        made,
        "write.py",
        """
        import pllib
        with pllib.open() as s, s.transformation("store") as t:
            t.generated(x=pllib.Directory("x.zarr"))
        """,
    )
    use = program(
        made,
        "use.py",
        """
        import sys
        import pllib
        from pathlib import Path
        x = pllib.Directory(sys.argv[1])
        with pllib.open() as s, s.transformation("use", used={"x": x}) as t:
            Path(sys.argv[2]).write_text(sys.argv[2] * 500)
            t.generated(y=pllib.File(sys.argv[2]))
        """,
    )
    made.run(write)
    made.run(use, "x.zarr", "one.csv")
    made.sprov("ingest")
    found = lineage(made, "one.csv")
    assert {activity["plan"] for activity in found["activities"]} == {"use", "store"}
    assert copies(found) == set()


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The runs of a small lifecycle, for tests that only ask."""
    with Site(tmp_path_factory.mktemp("lived")) as site:
        site.run("lifecycle.py")
        site.sprov("ingest")
        yield site


def test_an_epochs_checkpoint_comes_from_the_trainings_data(lived: Site):
    """The model is overwritten in each epoch: each version has its own epoch."""
    found = lineage(lived, "model.pt")
    assert names(found) == {"model.pt", "clean.csv", "raw.csv"}
    epochs = [each for each in found["activities"] if each["kind"] == "epoch"]
    assert [each["index"] for each in epochs] == [1]
    tree = lived.sprov("lineage", "model.pt", "--settings")
    assert "lr=0.1" in tree
    places = [tree.index(name) for name in ("model.pt", "epoch 1", "clean.csv", "raw.csv")]
    assert places == sorted(places)


def test_a_raw_file_leads_to_every_version_of_the_model(lived: Site):
    found = lineage(lived, "raw.csv", "--down")
    assert sum(entity["label"] == "model.pt" for entity in found["entities"]) == 2


def test_a_value_that_a_run_generated_leads_back_to_raw_files(site: Site):
    site.run(
        program(
            site,
            "values.py",
            """
            import pllib
            from pathlib import Path
            Path("raw.csv").write_text("1,2\\n" * 500)
            with pllib.open() as s:
                with s.transformation("count", used={"raw": pllib.File("raw.csv")}) as count:
                    made = count.generated(rows=500, columns=2)
                with s.transformation("mean", used={"n": made["rows"], "scale": 2}) as mean:
                    mean.generated(mean=1.5)
            """,
        )
    )
    site.sprov("ingest")
    found = lineage(site, "@last:mean")
    assert [each.get("value") or Path(each["path"]).name for each in found["entities"]] == [
        "1.5", "500", "raw.csv",
    ]  # fmt: skip
    assert "generated no colour" in site.sprov("lineage", "@last:colour", status=5)


def test_what_other_ranks_of_a_training_read_is_its_data(site: Site):
    """Each rank reads a shard; rank 0 alone writes the model."""
    site.run(
        program(
            site,
            "shards.py",
            """
            import pllib
            from pathlib import Path
            from mpi4py import MPI
            rank = MPI.COMM_WORLD.rank
            Path(f"shard{rank}.csv").write_text(f"{rank},2\\n" * 500)
            with pllib.open() as s:
                with s.stage("training", "fit", used={"d": pllib.File(f"shard{rank}.csv")}) as fit:
                    for epoch in fit.sections("epoch", 1):
                        if rank == 0:
                            Path("model.pt").write_text("w" * 2000)
                            epoch.generated(model=pllib.Model("model.pt"))
            """,
        ),
        ranks=2,
    )
    site.sprov("ingest")
    assert names(lineage(site, "model.pt")) == {"model.pt", "shard0.csv", "shard1.csv"}
    assert "training fit  (2 ranks" in site.sprov("lineage", "model.pt")
    assert "model.pt" in names(lineage(site, "shard1.csv", "--down"))


def test_a_data_set_stands_for_its_files(site: Site):
    site.run(
        program(
            site,
            "sets.py",
            """
            import pllib
            from pathlib import Path
            with pllib.open() as s:
                with s.transformation("split") as split:
                    for name in "ab":
                        Path(name + ".csv").write_text(name * 2000)
                    files = [pllib.File("a.csv"), pllib.File("b.csv")]
                    split.generated(train=pllib.Dataset("digits", version="1", files=files))
                data = pllib.Dataset("digits", version="1", files=files)
                with s.stage("training", "fit", used={"train": data}) as fit:
                    Path("model.pt").write_text("w" * 2000)
                    fit.generated(model=pllib.Model("model.pt"))
            """,
        )
    )
    site.sprov("ingest")
    found = lineage(site, "model.pt")
    assert {each["label"] for each in found["entities"]} == {"model.pt", "digits", "a.csv", "b.csv"}
    assert {each["plan"] for each in found["activities"]} == {"fit", "split"}
    assert {each["label"] for each in lineage(site, "digits", "--down")["entities"]} >= {"model.pt"}


def test_a_cycle_ends(made: Site):
    """A program says that it read and wrote one version."""
    made.run(
        program(
            made,
            "cycle.py",
            """
            import pllib
            with pllib.open() as s, s.transformation("a", used={"x": pllib.File("clean.csv")}) as t:
                t.generated(y=pllib.File("clean.csv"))
            """,
        )
    )
    made.sprov("ingest")
    for direction in ("--up", "--down", "--both"):
        assert "clean.csv" in made.sprov("lineage", "clean.csv", direction)
        picture = made.sprov("lineage", "clean.csv", direction, "--format", "svg")
        ElementTree.fromstring(picture)


def test_depth_and_limit_say_that_there_is_more(made: Site):
    read(made, "clean.csv", "plot.png")
    tree = made.sprov("lineage", "plot.png", "--depth", "1")
    assert "clean.csv ..." in tree
    assert "raw.csv" not in tree
    assert "and 2 more files and values" in made.sprov("lineage", "plot.png", "--limit", "1")
    assert "and 2 more" in made.sprov("lineage", "plot.png", "--limit", "1", "--format", "svg")


def test_a_run_stands_for_all_files_that_it_generated(lived: Site):
    found = lineage(lived, "@last")
    assert names(found) == {"model.pt", "clean.csv", "raw.csv"}
    assert found["n_entities"] == 4


def test_a_running_manager_answers_the_same(made: Site):
    read(made, "clean.csv", "plot.png")
    without = lineage(made, "plot.png", "--settings")
    shown = json.loads(made.sprov("show", "@last", "--format", "json"))
    shown.pop("as_of")
    made.serve()
    assert lineage(made, "plot.png", "--settings", "--live") == without
    again = json.loads(made.sprov("show", "@last", "--format", "json"))
    again.pop("as_of")
    assert again == shown


def test_a_name_that_no_record_speaks_of_is_said(lived: Site):
    assert "no record speaks of" in lived.sprov("lineage", "nothing.txt", status=5)


@pytest.mark.parametrize("hostile", ['x" } ; DROP', "https://e/> ?p ?o", "a\\\nb", "?x", ":", "a:"])
def test_a_hostile_name_is_a_name(lived: Site, hostile: str):
    lived.sprov("lineage", hostile, status=5)
