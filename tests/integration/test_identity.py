"""Which file is which: by version where it lies, by content where it was copied or moved."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from harness import Site, wait_until

BIG = "1,2,3\n" * 500
VERSIONS = """
SELECT ?file ?path ?version ?content ?overwritten ?made ?used {
  ?file sprov:path ?path .
  OPTIONAL { ?file sprov:version ?version }
  OPTIONAL { ?file prov:specializationOf ?content }
  OPTIONAL { ?file sprov:overwritten ?overwritten }
  OPTIONAL { ?file prov:wasGeneratedBy/prov:qualifiedAssociation/prov:hadPlan/rdfs:label ?made }
  OPTIONAL { ?a prov:used ?file . ?a prov:qualifiedAssociation/prov:hadPlan/rdfs:label ?used }
}"""


@pytest.fixture
def folder(site: Site) -> Path:
    return site.folder


def versions(site: Site, name: str) -> list[dict[str, str]]:
    """Return the versions of the file or folder `name`, as VERSIONS has them."""
    return [row for row in site.select(VERSIONS) if Path(row["path"]).name == name]


def transform(site: Site, name: str, *arguments: str, **extra: str) -> None:
    site.run("transform.py", name, *arguments, **extra)


def test_a_file_read_where_it_was_written_is_one_version(site: Site, folder: Path):
    (folder / "clean.csv").write_text(BIG)
    transform(site, "curate", "--made", "clean.csv")
    transform(site, "train", "--used", "clean.csv")
    site.sprov("ingest")
    (version,) = versions(site, "clean.csv")
    assert (version["made"], version["used"]) == ("curate", "train")
    assert "content" in version


@pytest.mark.parametrize("how", [shutil.copyfile, shutil.copy2, Path.rename])
def test_a_copied_or_moved_file_has_the_same_content(site: Site, folder: Path, how):
    (folder / "clean.csv").write_text(BIG)
    transform(site, "curate", "--made", "clean.csv")
    site.sprov("ingest")
    how(folder / "clean.csv", folder / "copy.csv")
    transform(site, "train", "--used", "copy.csv")
    site.sprov("ingest")
    (written,), (read,) = versions(site, "clean.csv"), versions(site, "copy.csv")
    assert written["file"] != read["file"]
    assert written["content"] == read["content"]


def test_a_touched_file_is_another_version_of_the_same_content(site: Site, folder: Path):
    (folder / "clean.csv").write_text(BIG)
    transform(site, "curate", "--made", "clean.csv")
    site.sprov("ingest")
    os.utime(folder / "clean.csv", ns=(1, 1))
    transform(site, "train", "--used", "clean.csv")
    site.sprov("ingest")
    first, second = versions(site, "clean.csv")
    assert first["file"] != second["file"]
    assert first["content"] == second["content"]


def test_a_checkpoint_that_is_overwritten_is_a_version_each_epoch(site: Site):
    site.run("overwriting.py")
    site.sprov("ingest")
    found = versions(site, "last.pt")
    assert len({row["file"] for row in found}) == 3
    assert sorted("content" in row for row in found) == [False, False, True]
    assert [row.get("overwritten") for row in found if "content" not in row] == ["true", "true"]


def test_what_was_read_before_a_rewrite_has_no_content_of_the_rewrite(site: Site, folder: Path):
    (folder / "raw.csv").write_text(BIG)
    transform(site, "read", "--used", "raw.csv")
    (folder / "raw.csv").write_text(BIG.upper() + "4,5,6\n")
    site.sprov("ingest")
    (version,) = versions(site, "raw.csv")
    assert version["overwritten"] == "true"
    assert "content" not in version


def test_a_file_that_is_gone_before_it_is_read_is_not_said_to_be_anything(site: Site, folder: Path):
    (folder / "clean.csv").write_text(BIG)
    transform(site, "curate", "--made", "clean.csv")
    (folder / "clean.csv").rename(folder / "moved.csv")
    transform(site, "train", "--used", "moved.csv")
    site.sprov("ingest")
    (gone,), (read,) = versions(site, "clean.csv"), versions(site, "moved.csv")
    assert "content" not in gone and "overwritten" not in gone
    assert "content" in read
    (folder / "moved.csv").rename(folder / "clean.csv")
    site.sprov("ingest")
    assert versions(site, "clean.csv")[0]["content"] == read["content"]


def test_a_directory_is_its_manifest_and_a_copy_has_its_content(site: Site, folder: Path):
    store = folder / "parts.zarr"
    for name in ("0/0", "0/1", "meta"):
        (store / name).parent.mkdir(parents=True, exist_ok=True)
        (store / name).write_text(name + BIG)
    transform(site, "write", "--made", f"dir:{store}")
    transform(site, "read", "--used", f"dir:{store}")
    shutil.copytree(store, folder / "copy.zarr", copy_function=shutil.copyfile)
    transform(site, "read_copy", "--used", f"dir:{folder / 'copy.zarr'}")
    site.sprov("ingest")
    (whole,), (copy,) = versions(site, "parts.zarr"), versions(site, "copy.zarr")
    assert (whole["made"], whole["used"]) == ("write", "read")
    assert whole["content"] == copy["content"]
    (store / "0/1").write_text("changed" + BIG)
    transform(site, "read_again", "--used", f"dir:{store}")
    site.sprov("ingest")
    assert len({row["version"] for row in versions(site, "parts.zarr")}) == 2
    assert len({row["content"] for row in versions(site, "parts.zarr")}) == 2


def test_small_files_and_those_over_the_limit_are_not_read(site: Site, folder: Path):
    (folder / "small.csv").write_text("1,2\n")
    (folder / "large.csv").write_text(BIG)
    transform(site, "look", "--used", "small.csv", "large.csv")
    site.sprov("ingest", SPROV_DIGEST_LIMIT_BYTES="2000")
    assert not any("content" in row for row in site.select(VERSIONS))
    site.sprov("ingest")
    assert [row["path"] for row in site.select(VERSIONS) if "content" in row] == [
        str(folder / "large.csv")
    ]


def test_a_record_of_a_database_is_known_by_store_key_and_version(site: Site):
    transform(site, "write", "--made", "ref:pg:table/1", "ref:h5:run.h5#/a:7")
    transform(site, "read", "--used", "ref:pg:table/1", "ref:h5:run.h5#/a:8")
    site.sprov("ingest")
    rows = {(row["path"], row.get("version")): row for row in site.select(VERSIONS)}
    assert set(rows) == {("table/1", None), ("run.h5#/a", "7"), ("run.h5#/a", "8")}
    shared = rows["table/1", None]
    assert (shared["made"], shared["used"]) == ("write", "read")
    assert site.count("?r a provml:DataReference ; provml:isStoredIn/a provml:DataStore") == 3


def test_a_running_tracker_reads_files_by_itself(served: Site):
    (served.folder / "clean.csv").write_text(BIG)
    shutil.copyfile(served.folder / "clean.csv", served.folder / "copy.csv")
    transform(served, "curate", "--made", "clean.csv")
    transform(served, "train", "--used", "copy.csv")
    wait_until(lambda: served.count("?file prov:specializationOf ?content") == 2)
    contents = {row["content"] for row in served.select(VERSIONS)}
    assert len(contents) == 1
    assert served.verify()["agree"]


def test_digests_are_in_the_log_and_come_back_with_a_rebuild(site: Site, folder: Path):
    (folder / "clean.csv").write_text(BIG)
    transform(site, "curate", "--made", "clean.csv")
    site.sprov("ingest")
    (folder / "clean.csv").unlink()
    before = versions(site, "clean.csv")
    site.sprov("rebuild")
    assert versions(site, "clean.csv") == before
    assert "content" in before[0]


def test_a_handle_to_a_file_data_set_or_reference_is_that_very_thing(site: Site):
    site.run("handles.py")
    site.sprov("ingest")
    rows = site.select("""
        SELECT DISTINCT ?thing ?class {
          ?use prov:used ?thing ; prov:qualifiedAssociation/prov:hadPlan/rdfs:label "use" .
          ?thing prov:wasGeneratedBy ?make OPTIONAL { ?thing a ?class }
        }""")
    classes = {row["class"].rpartition("#")[2] for row in rows if "class" in row}
    assert {"File", "LearningDataSetReference", "DataReference"} <= classes
    assert len({row["thing"] for row in rows}) == 5  # those, another reference, and the number
    assert site.count("?thing prov:value 2 ; prov:wasGeneratedBy ?make") == 1
    assert "problems  0" in site.sprov("verify", "--shapes")
