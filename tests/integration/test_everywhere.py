"""`sprov status --all`: all projects of a user, what runs in them, and what is gone."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
from harness import Site, wait_until

from pllib import registry
from pllib.launch import host
from pllib.project import Project, update_endpoint
from pllib.registry import note_project, noted_projects

KEYS = ("server_public_key", "client_public_key", "client_secret_key")


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this test's projects are noted."""
    monkeypatch.setenv(registry.VARIABLE, str(tmp_path / "state"))
    return tmp_path / "state/sprov/projects"


def make_project(folder: Path) -> Project:
    project = Project(folder / ".sprov").create()
    note_project(project)
    return project


def test_every_project_is_listed_with_what_runs_and_what_is_gone(state: Path, tmp_path: Path):
    folder = tmp_path / "runs"
    folder.mkdir()
    with Site(folder) as site:
        site.serve()
        site.run("training.py")
        removed, idle, killed = (make_project(tmp_path / n) for n in ("removed", "idle", "killed"))
        shutil.rmtree(removed.root.parent)
        keys = dict.fromkeys(KEYS, "0" * 40)
        update_endpoint(
            killed.endpoint("local"), host=host(), tracker="tcp://127.0.0.1:9",
            tracker_pid=2**22 + 1, **keys,
        )  # fmt: skip
        with socket.create_server(("127.0.0.1", 0)) as nobody:
            port = nobody.getsockname()[1]
            update_endpoint(
                killed.endpoint("4242"), host="node\x1b[2J", tracker=f"tcp://127.0.0.1:{port}",
                tracker_pid=1, **keys,
            )  # fmt: skip
            rows = json.loads(site.sprov("status", "--all", "--format", "json"))
            shown = site.sprov("status", "--all")
        by_name = {(Path(row["project"]).name, row.get("name")): row for row in rows}
        running = by_name.pop(("runs", "local"))
        assert (running["state"], running["host"]) == ("running", host())
        assert running["frames"] >= 1
        assert {key: row["state"] for key, row in by_name.items()} == {
            ("removed", None): "is not there",
            ("idle", None): "no daemon",
            ("killed", "local"): "gone without a word",
            ("killed", "4242"): "does not answer: gone, or out of reach from here",
        }
        assert "\x1b" not in shown
        assert str(idle.root.parent) in shown.splitlines()
        os.kill(site.endpoint.serve_pid, signal.SIGKILL)
        assert site.server is not None
        site.server.wait()
        wait_until(lambda: not site.left())
        assert state_of(site) == "ended", "both ended in order when `sprov serve` was killed"


def state_of(site: Site) -> str:
    rows: list[dict[str, Any]] = json.loads(site.sprov("status", "--all", "--format", "json"))
    return str(next(row["state"] for row in rows if row["project"] == str(site.folder)))


def test_the_list_is_this_users_alone(state: Path, tmp_path: Path):
    project = make_project(tmp_path)
    assert noted_projects() == [project.root]
    assert state.stat().st_mode & 0o777 == 0o700
    assert [path.stat().st_mode & 0o777 for path in state.iterdir()] == [0o600]
    state.chmod(0o770)
    assert noted_projects() == [], "others may have written it"
    make_project(tmp_path / "other")
    assert len(list(state.iterdir())) == 1


def test_what_is_no_entry_is_passed_over(state: Path, tmp_path: Path):
    project = make_project(tmp_path)
    for nth, text in enumerate(("", "[]", '{"root": 1}', '{"root": "relative"}', "[" * 5000)):
        (state / f"{nth}.json").write_text(text)
    (state / "link.json").symlink_to(state / "0.json")
    os.mkfifo(state / "fifo.json")
    assert noted_projects() == [project.root]


def test_a_project_that_is_gone_is_forgotten_after_a_month_and_others_never(
    state: Path, tmp_path: Path
):
    gone, there = make_project(tmp_path / "gone"), make_project(tmp_path / "there")
    shutil.rmtree(gone.root)
    make_project(tmp_path / "new")
    assert gone.root in noted_projects()
    for path in state.iterdir():
        os.utime(path, (0, 0))
    note_project(Project(tmp_path / "new/.sprov"))
    assert noted_projects() == [tmp_path / "new/.sprov", there.root]


def test_where_nothing_can_be_noted_daemons_do_without(tmp_path: Path, monkeypatch):
    for base in ("/dev/null/state", "/proc/state"):
        monkeypatch.setenv(registry.VARIABLE, base)
        make_project(tmp_path)
        assert noted_projects() == []
