"""A copy of a project has its endpoint file, too, and does not talk to the original's daemons."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from harness import TRANSFORMATIONS, Site

from pllib.listening import is_daemon
from pllib.project import Endpoint, Project, is_foreign, read_endpoint, update_endpoint

IGNORED = "of which this is a copy: it is ignored"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A project that is served, and has a run in its store."""
    with Site(tmp_path_factory.mktemp("original")) as site:
        site.serve()
        site.run("steps.py", "2")
        assert site.count(TRANSFORMATIONS) == 2
        yield site


@pytest.fixture
def copy(original: Site, tmp_path: Path) -> Iterator[Site]:
    shutil.copytree(original.project.root, tmp_path / ".sprov", symlinks=True)
    with Site(tmp_path) as site:
        yield site


def test_a_copy_is_read_from_its_own_store(original: Site, copy: Site):
    for command in (("query", "ASK {}"), ("runs",), ("show",), ("ingest",)):
        done = copy.attempt(*command)
        assert done.returncode == 0, done
        (line,) = [line for line in done.stderr.splitlines() if IGNORED in line]
        assert str(original.project.root) in line
    assert IGNORED in copy.sprov("status")
    assert IGNORED in copy.sprov("query", "ASK {}", "--live", status=4)


def test_a_copys_ranks_do_not_send_to_the_originals_tracker(original: Site, copy: Site):
    (line,) = copy.run("steps.py", "3").splitlines()
    assert IGNORED in line
    assert original.count(TRANSFORMATIONS) == 2
    copy.sprov("ingest")
    found = copy.sprov(
        "query", f"SELECT (COUNT(*) AS ?n) {{ {TRANSFORMATIONS} }}", "--format", "csv"
    )
    assert found.split() == ["n", "5"]


def test_a_copy_has_daemons_and_keys_of_its_own_and_leaves_the_originals(
    original: Site, copy: Site
):
    assert IGNORED in copy.sprov("stop", status=4)
    before = original.endpoint
    copy.serve()
    mine = copy.endpoint
    for name in ("token", "server_public_key", "client_secret_key", "tracker", "manager"):
        assert getattr(mine, name) != getattr(before, name), name
    copy.run("steps.py", "3")
    assert copy.count(TRANSFORMATIONS) == 5
    assert copy.sprov("stop") == "stopped\n"
    assert is_daemon(before.tracker_pid) and is_daemon(before.manager_pid)
    assert original.endpoint == before
    assert list(copy.project.endpoints.iterdir()) == []


def test_stop_removes_the_endpoint_file_and_its_keys(site: Site):
    site.serve()
    kept = {path.suffix for path in site.project.endpoints.iterdir()}
    assert kept == {".json", ".key", ".lock"}
    site.sprov("stop")
    assert list(site.project.endpoints.iterdir()) == []
    # Of daemons that were killed, too, and then no other's.
    update_endpoint(site.project.endpoint("local"), manager="http://127.0.0.1:9", token="t")
    update_endpoint(site.project.endpoint("far"), manager="http://h:9", manager_host="h")
    assert "local.json, which was left behind, is removed" in site.sprov("stop", status=4)
    assert "is removed" not in site.sprov("stop", "--name", "far", status=4)
    assert [path.name for path in site.project.endpoints.glob("*.json")] == ["far.json"]


def test_a_project_that_was_renamed_or_is_seen_from_another_node_keeps_its_endpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    project = Project(tmp_path / "here" / ".sprov").create()
    update_endpoint(project.endpoint("local"), manager="http://127.0.0.1:9", host="elsewhere")
    other = Project(tmp_path / "there" / ".sprov")
    project.root.parent.rename(other.root.parent)
    assert read_endpoint(other.endpoint("local")).manager
    (tmp_path / "link").symlink_to(other.root.parent)
    assert read_endpoint(tmp_path / "link/.sprov/endpoints/local.json").manager
    # One that is made where it was is another, and has no endpoint of it.
    shutil.copytree(other.root.parent, project.root.parent)
    assert is_foreign(project.endpoint("local"))
    # Unless it is on a file system that numbers inodes as it likes, at the path that it was at.
    monkeypatch.setattr(
        "pllib.mounts.mount_of", lambda _: type("Mount", (), {"kind": "fuse.sshfs"})
    )
    assert not is_foreign(project.endpoint("local"))


def test_an_endpoint_of_an_earlier_version_or_elsewhere_is_read(tmp_path: Path):
    project = Project(tmp_path / ".sprov").create()
    path = project.endpoint("local")
    path.write_bytes(msgspec.json.encode(Endpoint(manager="http://127.0.0.1:9")))
    assert read_endpoint(path).manager
    apart = tmp_path / "site.json"
    update_endpoint(apart, manager="http://127.0.0.1:9")
    assert read_endpoint(apart).manager


def test_a_project_without_a_key_is_known_by_its_folder(tmp_path: Path):
    """As where its file can't be made."""
    project = Project(tmp_path / "here" / ".sprov").create()
    (project.root / "project.json").unlink()
    update_endpoint(project.endpoint("local"), manager="http://127.0.0.1:9")
    other = Project(tmp_path / "there" / ".sprov")
    project.root.parent.rename(other.root.parent)
    assert not is_foreign(other.endpoint("local"))
    shutil.copytree(other.root.parent, project.root.parent)
    assert is_foreign(
        other.endpoint("local").parents[2].parent / "here/.sprov/endpoints/local.json"
    )


def test_an_own_endpoint_comes_before_a_foreign_one(original: Site, copy: Site):
    update_endpoint(copy.project.endpoint("mine"), manager="http://127.0.0.1:9", token="t")
    done = copy.attempt("query", "ASK {}")
    assert "mine.json is stale" in done.stderr
    assert IGNORED not in done.stderr
