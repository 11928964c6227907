"""Data is what is there at the moment when it is said; what is not there says so."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest

import pllib
from pllib.data import Checkpoint
from pllib.directory import MAX_ENTRIES
from pllib.pieces import in_pieces
from pllib.records import DatasetReference, Described, FileVersion, Reference, decode_values
from pllib.values import LONG_BYTES, encode_list

NOBODY = 65534


def keep(value: object) -> object:
    """Return a value as it comes out of a log, where one beside it is left whole."""
    found, beside = decode_values(encode_list([value, 1.5]))
    assert beside == 1.5
    return found


def version(path: Path) -> str:
    found = keep(pllib.Directory(path))
    assert isinstance(found, FileVersion)
    return found.version


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory of three files, 600 bytes, the newest of them of the second 3."""
    made = tmp_path / "data"
    (made / "inner").mkdir(parents=True)
    for nth, name in enumerate(("a", "b", "inner/c"), 1):
        (made / name).write_text("x" * 100 * nth)
        os.utime(made / name, ns=(0, nth * 10**9))
    return made


def test_a_directory_is_its_manifest(folder: Path):
    found = keep(pllib.Directory(folder))
    assert isinstance(found, FileVersion)
    assert (found.kind, found.path) == ("directory", str(folder))
    assert (found.size, found.mtime_ns) == (600, 3 * 10**9)
    assert len(bytes.fromhex(found.version)) == 16


def test_a_directorys_version_does_not_depend_on_the_order_in_which_it_was_filled(tmp_path: Path):
    versions = set()
    for nth, names in enumerate((["a", "b", "c/d"], ["c/d", "b", "a"])):
        for name in names:
            path = tmp_path / f"copy{nth}" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)
            os.utime(path, ns=(0, 5))
        versions.add(version(tmp_path / f"copy{nth}"))
    assert len(versions) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "inner" / "c").write_text("another"),
        lambda folder: os.utime(folder / "a", ns=(0, 7)),
        lambda folder: (folder / "b").rename(folder / "d"),
        lambda folder: (folder / "b").unlink(),
        lambda folder: (folder / "new").touch(),
    ],
    ids=["write", "touch", "rename", "delete", "create"],
)
def test_a_change_in_a_directory_is_another_version(folder: Path, change):
    before = version(folder)
    assert version(folder) == before
    change(folder)
    assert version(folder) != before


def test_links_in_a_directory_end(folder: Path):
    (folder / "loop").symlink_to(folder)
    (folder / "gone").symlink_to(folder / "nowhere")
    (folder / "itself").symlink_to("itself")
    outside = folder.parent / "shard"
    outside.write_text("one")
    (folder / "shard").symlink_to(outside)
    before = version(folder)
    outside.write_text("another")
    assert version(folder) != before


def test_a_directory_of_too_many_entries_needs_a_version(tmp_path: Path):
    for nth in range(2 * MAX_ENTRIES):
        os.close(os.open(tmp_path / str(nth), os.O_CREAT))
    found = keep(pllib.Directory(tmp_path))
    assert isinstance(found, Described)
    assert "version=" in found.reason
    named = keep(pllib.Directory(tmp_path, version="v1"))
    assert isinstance(named, FileVersion)
    assert (named.version, named.size, named.mtime_ns) == ("v1", 0, 0)


@pytest.mark.parametrize("inside", ["gone", "a"], ids=["gone", "a file"])
def test_what_is_no_directory_says_so(folder: Path, inside: str):
    found = keep(pllib.Directory(folder / inside))
    assert isinstance(found, Described)
    assert found.reason in ("No such file or directory", "Not a directory")


def test_a_directory_that_can_not_be_read_says_where(folder: Path):
    """Not by root, whom nothing keeps out: a forked child is somebody else."""
    (folder / "inner").chmod(0)
    for above in (folder, *folder.parents[:4]):
        above.chmod(0o755 | above.stat().st_mode)
    theirs, mine = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=_look, args=(folder, mine))
    child.start()
    assert theirs.poll(60)
    found = theirs.recv()
    child.join(60)
    (folder / "inner").chmod(0o700)
    assert found == ("Permission denied", str(folder / "inner"))


def _look(folder: Path, answer) -> None:
    if os.getuid() == 0:
        os.setuid(NOBODY)
    found = keep(pllib.Directory(folder))
    answer.send((found.reason, found.preview.rstrip("/")))


def test_a_model_may_be_a_directory_and_a_file_may_not(folder: Path):
    model, file = keep(pllib.Model(folder, layers=3)), keep(pllib.File(folder))
    assert isinstance(model, FileVersion)
    assert (model.kind, model.characteristics) == ("model", {"layers": 3})
    assert model.version == version(folder)
    assert isinstance(file, Described)
    assert "pllib.Directory" in file.reason


def test_a_checkpoint_says_its_step_and_score(folder: Path):
    found = keep(Checkpoint(folder / "a", 7, True, 0.5, {"f1": 0.25}))
    assert isinstance(found, FileVersion)
    assert (found.kind, found.step, found.best, found.score) == ("checkpoint", 7, True, 0.5)
    assert found.characteristics == {"f1": 0.25}


def test_a_metric_of_a_checkpoint_may_have_any_name(folder: Path):
    made = Checkpoint(folder, characteristics={"path": 0.5, "self": 1.0})
    assert made.characteristics() == {"path": 0.5, "self": 1.0}


def test_a_name_that_is_no_utf8_is_escaped(tmp_path: Path):
    path = os.fsencode(tmp_path) + b"/bad\xff"
    os.close(os.open(path, os.O_CREAT))
    found = keep(pllib.File(os.fsdecode(path)))
    assert isinstance(found, FileVersion)
    assert found.path.endswith("bad\\udcff")
    assert isinstance(keep(pllib.Directory(tmp_path)), FileVersion)


def test_a_reference_is_text():
    assert keep(pllib.Ref("db:runs", 4242)) == Reference("db:runs", "4242")
    assert keep(pllib.Ref("s3", "k\udcff", version=3)) == Reference("s3", "k\\udcff", "3")


def test_a_data_set_has_the_versions_of_its_files(folder: Path):
    files = [folder / "a", pllib.File(folder / "b"), folder / "inner"]
    found = keep(pllib.Dataset("train", version=2, split="fit", files=iter(files), n_rows=10))
    assert isinstance(found, DatasetReference)
    assert (found.name, found.version, found.split) == ("train", "2", "fit")
    assert [(file.kind, file.size) for file in found.files] == [
        ("file", 100),
        ("file", 200),
        ("directory", 300),
    ]
    assert (found.characteristics, found.features) == ({"n_rows": 10}, None)


def test_a_file_that_a_data_set_lacks_is_told_and_costs_the_rest_nothing(folder: Path):
    found = keep(pllib.Dataset("train", files=[folder / "gone", folder / "a"], odd=object()))
    assert isinstance(found, DatasetReference)
    assert [file.size for file in found.files] == [100]
    assert found.characteristics["n_files_unreadable"] == 1
    assert "gone: No such file" in found.characteristics["file_unreadable"]
    assert isinstance(found.characteristics["odd"], Described)


def test_a_data_set_of_many_files_is_known_by_all_of_them(tmp_path: Path):
    for nth in range(1000):
        (tmp_path / f"{nth:04}").touch()
    files = sorted(tmp_path.iterdir())
    found = keep(pllib.Dataset("shards", files=files))
    assert isinstance(found, DatasetReference)
    assert len(encode_list([pllib.Dataset("shards", files=files)])) <= LONG_BYTES
    assert 20 < len(found.files) < 1000
    assert found.characteristics["n_files"] == 1000
    assert found.fingerprint
    files[-1].write_text("changed")
    again = keep(pllib.Dataset("shards", files=files))
    assert isinstance(again, DatasetReference)
    assert again.fingerprint != found.fingerprint


@pytest.mark.parametrize("wrong", [None, "a\0b"])
def test_what_is_no_file_of_a_large_data_set_costs_other_values_nothing(folder: Path, wrong):
    data = pllib.Dataset("d", files=[*[folder] * 20, wrong])
    first, more = in_pieces({"lr": 1, "data": data})
    lr, said = decode_values(encode_list([*first.values()]))
    assert (lr, type(said), more) == (1, Described, [])


def test_a_data_set_is_the_same_however_it_is_said(folder: Path):
    files = [folder / "a", folder / "b", *[folder / "inner" / "c"] * 30]
    said = [keep(pllib.Dataset("d", files=files)), keep(pllib.Dataset("d", files=files[::-1]))]
    said += decode_values(encode_list([pllib.Dataset("d", files=files)] * 100))
    first, *pieces = in_pieces({"d": pllib.Dataset("d", files=files)})[1]
    said += [keep(piece["d"]) for piece in (first, *pieces)]
    marks = {found.fingerprint for found in said}
    assert len(marks) == 1
    (folder / "a").write_text("changed")
    assert keep(pllib.Dataset("d", files=files)).fingerprint not in marks
    assert keep(pllib.Dataset("d", version=1, files=files)).fingerprint is None
    assert keep(pllib.Dataset("d", fingerprint="mine", files=files)).fingerprint == "mine"


def test_a_feature_set_names_its_features():
    found = keep(pllib.FeatureSet("pixels", ["p0", 1], version="1"))
    assert isinstance(found, DatasetReference)
    assert found.features == ("p0", "1")
    assert keep(pllib.FeatureSet("one", "age")).features == ("age",)
    wide = keep(pllib.FeatureSet("wide", [f"feature {nth}" for nth in range(5000)]))
    assert isinstance(wide, DatasetReference)
    assert wide.characteristics["n_features"] == 5000
    assert len(wide.features) > 100


def test_data_sets_in_a_record_with_many_values_fit_in_it(folder: Path):
    data = [pllib.Dataset(f"d{nth}", files=[folder / "a"] * 200) for nth in range(40)]
    found = decode_values(encode_list(data))
    assert all(isinstance(item, DatasetReference) for item in found)
    assert all(item.characteristics["n_files"] == 200 for item in found)


def test_all_that_is_exported_can_be_imported_and_nothing_else_is_public():
    public = {name for name, value in vars(pllib).items() if not name.startswith("_")}
    modules = {name for name in public if type(vars(pllib)[name]) is type(pllib)}
    imported = {"annotations", "Mapping", "Any", "innermost", "latest", "enter", "OFF"}
    assert set(pllib.__all__) == public - modules - imported
