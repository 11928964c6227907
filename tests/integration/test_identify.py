"""The file in one's hand: which recorded version it is, wherever it lies and whatever its name."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import TIMEOUT_S, Site

from pllib.project import Project
from query.engine import Engine
from query.files import Identity, identify, identify_all

TRAIN = """
import sys
import pllib
from pathlib import Path
text, name = sys.argv[1:]
with pllib.open(study=text) as session:
    with session.transformation("train", used={"data": pllib.File("data.csv")}) as train:
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(text * 5000)
        small = Path(name).with_suffix(".txt")
        small.write_text(text)
        train.generated(model=pllib.Model(name), small=pllib.File(small))
"""
STORE = """
import pllib
with pllib.open() as session, session.transformation("store") as store:
    x, y = pllib.Directory("x.zarr"), pllib.Directory("y.zarr", version="v1")
    store.generated(x=x, y=y)
"""


def program(site: Site, name: str, text: str) -> str:
    path = site.folder / name
    path.write_text(textwrap.dedent(text))
    return str(path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two runs have made a model.pt each, of data.csv, one of them in a folder; and directories."""
    site = Site(tmp_path_factory.mktemp("identify"))
    (site.folder / "data.csv").write_text("1,2\n" * 1000)
    train = program(site, "train.py", TRAIN)
    site.run(train, "first", "model.pt")
    site.run(train, "second", "runs/model.pt")
    for name in ("x.zarr", "y.zarr"):
        (site.folder / name / "0").mkdir(parents=True)
        (site.folder / name / "0" / "0").write_text(name * 1000)
    site.run(program(site, "store.py", STORE))
    site.sprov("ingest")
    yield site
    site.close()


@pytest.fixture
def here(trained: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.chdir(trained.folder)
    return trained


def ask(site: Site, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        site.command(*words), cwd=site.folder, env=site.environment(), text=True,
        capture_output=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip


def found(name: str) -> Identity:
    return identify(Engine(Project(Path.cwd() / ".sprov"), None), name)


def paths(one: Identity) -> list[str]:
    return [str(Path(version.path).relative_to(Path.cwd())) for version in one.versions]


def test_a_file_is_known_by_its_path_in_whichever_way_it_is_written(here: Site):
    ways = ["model.pt", "./model.pt", "runs/../model.pt", str(here.folder / "model.pt"), "link"]
    (here.folder / "link").symlink_to("model.pt")
    for name in ways:
        one = found(name)
        assert (one.state, paths(one), one.is_known) == ("unchanged", ["model.pt"], True), name
        (version,) = one.versions
        assert (version.how, version.plan) == ("made", "train")
    assert paths(found("./runs/model.pt")) == ["runs/model.pt"]


def test_an_empty_name_is_said_to_be_none(here: Site):
    one = found("")
    assert (one.state, one.reason) == ("not comparable", "an empty name is no file's")
    assert ask(here, "identify", "").returncode == 1


def test_a_copy_is_known_by_what_it_holds_and_not_by_its_name(here: Site):
    (here.folder / "elsewhere").mkdir()
    shutil.copy("model.pt", "elsewhere/other.bin")
    shutil.copy("runs/model.pt", "elsewhere/model.pt")
    for name, original in (("other.bin", "model.pt"), ("model.pt", "runs/model.pt")):
        one = found(f"elsewhere/{name}")
        assert (one.state, paths(one), one.is_known) == ("copy", [original], True)
    done = ask(here, "lineage", "elsewhere/model.pt")
    assert done.returncode == 0, done.stderr
    assert "elsewhere/model.pt is a copy of" in done.stderr
    assert done.stdout.startswith("runs/model.pt")
    assert "data.csv" in done.stdout


def test_a_file_that_was_changed_or_touched_is_said_to_be_that(here: Site):
    kept = Path("model.pt").stat()
    Path("model.pt").touch()
    assert (found("model.pt").state, paths(found("model.pt"))) == ("same content", ["model.pt"])
    Path("model.pt").write_text("x" * kept.st_size)
    assert (found("model.pt").state, found("model.pt").reason) == (
        "changed", "its content is not what was recorded",
    )  # fmt: skip
    Path("model.pt").write_text("changed")
    one = found("model.pt")
    assert (one.state, one.is_known) == ("changed", False)
    assert one.reason == f"{kept.st_size:,} bytes then, 7 now"
    done = ask(here, "lineage", "model.pt")
    assert (done.returncode, done.stdout) == (1, "")
    assert "model.pt was changed since it was recorded" in done.stderr
    assert one.versions[0].id in done.stderr
    assert ask(here, "lineage", one.versions[0].id).returncode == 0
    Path("model.pt").write_text("first" * 5000)
    assert found("model.pt").state == "same content"
    os.utime("model.pt", ns=(kept.st_atime_ns, kept.st_mtime_ns))
    assert found("model.pt").state == "unchanged"


def test_an_unknown_file_is_not_taken_for_another_of_its_name(here: Site):
    Path("new").mkdir()
    Path("new/model.pt").write_text("of nobody" * 1000)
    one = found("new/model.pt")
    assert (one.state, one.versions, one.is_known) == ("unknown", [], False)
    done = ask(here, "lineage", "new/model.pt")
    assert (done.returncode, done.stdout) == (1, "")
    assert "new/model.pt is unknown" in done.stderr
    assert str(here.folder / "runs" / "model.pt") in done.stderr


def test_several_that_may_be_meant_are_listed(here: Site):
    done = ask(here, "lineage", "gone/../../model.pt")
    assert done.returncode == 5
    Path("runs/model.pt").rename("runs/kept")
    Path("model.pt").rename("kept")
    try:
        done = ask(here, "lineage", "model.pt")
        assert done.returncode == 0
        assert done.stdout.startswith("model.pt")  # what was at that very path
        (here.folder / "below").mkdir()
        from_below = subprocess.run(
            here.command("lineage", "model.pt"), cwd=here.folder / "below", text=True,
            env=here.environment(), capture_output=True, timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
        assert from_below.returncode == 0, from_below.stderr
        listed = [line for line in from_below.stderr.splitlines() if "model.pt" in line]
        assert len(listed) == 2
        assert all("made by train in run" in line for line in listed)
    finally:
        Path("runs/kept").rename("runs/model.pt")
        Path("kept").rename("model.pt")


def test_of_equal_files_all_are_listed(here: Site):
    here.run(str(here.folder / "train.py"), "first", "same.pt")
    here.sprov("ingest")
    shutil.copy("model.pt", "copy.pt")
    one = found("copy.pt")
    assert (one.state, paths(one)) == ("copy", ["same.pt", "model.pt"])
    done = ask(here, "identify", "copy.pt")
    assert done.returncode == 0
    assert done.stdout.count("made by train") == 2
    done = ask(here, "lineage", "copy.pt")
    assert "another is <" in done.stderr


def test_what_can_not_be_compared_says_why(here: Site):
    os.mkfifo("pipe")
    assert found("pipe").state == "not comparable"
    assert "a FIFO" in found("pipe").reason
    assert found("nowhere").reason == "No such file or directory"
    shutil.copy("model.txt", "small.txt")
    assert found("model.txt").state == "unchanged"
    small = found("small.txt")
    assert small.state == "unknown"
    assert "under 1,024 bytes" in small.reason


def test_a_directory_is_known_as_a_file_is(here: Site):
    assert found("x.zarr/").state == "unchanged"
    shutil.copytree("x.zarr", "copy.zarr")
    copied = found("copy.zarr")
    assert (copied.state, paths(copied)) == ("copy", ["x.zarr"])
    Path("copy.zarr/0/1").write_text("more")
    assert found("copy.zarr").state == "unknown"
    named = found("y.zarr")
    assert (named.state, paths(named)) == ("not comparable", ["y.zarr"])
    done = ask(here, "lineage", "y.zarr")
    assert done.returncode == 0
    assert "may have changed since" in done.stderr
    shutil.rmtree("copy.zarr")


def test_only_what_may_match_is_read(here: Site, monkeypatch: pytest.MonkeyPatch):
    from query import files

    n_read: list[str] = []
    read = files.digest_of
    monkeypatch.setattr(files, "digest_of", lambda *a, **k: n_read.append(a[0]) or read(*a, **k))
    with Path("huge.bin").open("wb") as file:
        file.truncate(1 << 40)  # a sparse file: to read it would take hours
    assert found("huge.bin").state == "unknown"
    assert found("runs/model.pt").state == "unchanged"
    assert n_read == []
    Path("huge.bin").unlink()


def test_identify_is_a_table_and_json_and_its_status_says_whether_all_are_known(here: Site):
    done = ask(here, "identify", "runs/model.pt", "data.csv", "--format", "json")
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    assert [(row["file"], row["state"]) for row in rows] == [
        ("runs/model.pt", "unchanged"), ("data.csv", "unchanged"),
    ]  # fmt: skip
    assert [row["versions"][0]["how"] for row in rows] == ["made", "used"]
    Path("unknown.bin").write_bytes(b"x" * 3000)
    done = ask(here, "identify", "runs/model.pt", "unknown.bin")
    assert done.returncode == 1
    assert "unknown" in done.stdout
    assert str(here.folder / "runs" / "model.pt") in "".join(done.stdout.split())


def test_a_data_set_is_meant_where_a_folder_of_its_name_is_not_known(here: Site):
    here.run(program(here, "sets.py", """
        import pllib
        with pllib.open() as session, session.transformation("split") as split:
            split.generated(d=pllib.Dataset("digits", files=["data.csv"]))
    """))  # fmt: skip
    here.sprov("ingest")
    Path("digits").mkdir()
    done = ask(here, "lineage", "digits")
    assert done.returncode == 0, done.stderr
    assert "split" in done.stdout


def test_a_question_about_a_file_is_about_the_one_in_hand(here: Site):
    shutil.copy("runs/model.pt", "renamed.bin")
    readers = ["ask", "lineage-of-file", "--format", "json", "-p"]
    done = ask(here, *readers, "file=./renamed.bin")
    assert done.returncode == 0, done.stderr
    assert "renamed.bin is a copy of" in done.stderr
    assert json.loads(done.stdout) == json.loads(ask(here, *readers, "file=runs/model.pt").stdout)
    Path("renamed.bin").write_text("x" * 4000)
    assert ask(here, *readers, "file=renamed.bin").returncode == 5
    changed = Path("data.csv").read_text()
    Path("data.csv").write_text("corrected")
    done = ask(here, *readers, "file=data.csv")
    assert done.returncode == 0
    assert "data.csv is changed" in done.stderr
    Path("data.csv").write_text(changed)


def test_an_old_version_is_found_however_many_are_newer(here: Site, monkeypatch):
    from query import files

    train = str(here.folder / "train.py")
    here.run(train, "older", "epochs.pt")
    shutil.copy2("epochs.pt", "kept.pt")
    here.sprov("ingest")
    here.run(train, "newer", "epochs.pt")
    here.sprov("ingest")
    monkeypatch.setattr(files, "MAX_VERSIONS", 1)
    copied = found("kept.pt")
    assert (copied.state, paths(copied)) == ("copy", ["epochs.pt"])
    Path("kept.pt").rename("epochs.pt")
    restored = found("epochs.pt")
    assert restored.state == "unchanged"
    assert [one.id for one in restored.versions] == [one.id for one in copied.versions]


def test_many_files_are_identified_by_a_few_queries(here: Site, monkeypatch: pytest.MonkeyPatch):
    """And each as it is alone: unchanged, a copy, changed, unknown, not there, a directory."""
    asked: list[str] = []
    select = Engine.select
    monkeypatch.setattr(
        Engine, "select", lambda self, query: asked.append(query) or select(self, query)
    )
    shutil.copy2("model.pt", "many.pt")
    Path("strange.txt").write_text("nobody made this")
    names = [
        "model.pt",
        "runs/model.pt",
        "many.pt",
        "data.csv",
        "strange.txt",
        "none",
        "",
        "x.zarr",
    ]
    alone = [found(name) for name in names]
    n_alone = len(asked)
    asked.clear()
    together = identify_all(Engine(Project(Path.cwd() / ".sprov"), None), names * 4)
    assert together == alone * 4
    assert {one.state for one in alone} >= {"unchanged", "copy", "unknown", "not comparable"}
    assert len(asked) < n_alone
    Path("many.pt").unlink()
    Path("strange.txt").unlink()
