"""A project that was moved after a rank was killed finds what that left on its node; a copy of it
does not take it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from harness import Site, wait_until

from pllib.project import Project


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for spools outside of any project, as in memory."""
    folder = tmp_path / "elsewhere"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("SPROV_SPOOL_DIR", str(folder))
    return folder


def test_what_a_killed_rank_left_is_found_by_its_project_alone(tmp_path: Path, elsewhere: Path):
    folder = tmp_path / "here"
    folder.mkdir()
    with Site(folder) as site:
        hang = folder / "hang"
        rank = site.start("steps.py", "30", "--hang", str(hang), SPROV_MODE="offline")
        wait_until(lambda: hang.exists() or rank.poll() is not None)
        rank.kill()
        rank.communicate()
        (spool,) = elsewhere.iterdir()
        copy = tmp_path / "copy"
        shutil.copytree(folder, copy)
        site.folder = tmp_path / "there"
        folder.rename(site.folder)
        site.project = Project(site.folder / ".sprov")

        copied = Site(copy)
        told = f"{spool}: of the project that this one was copied from"
        assert told in copied.attempt("ingest").stderr
        assert told in copied.sprov("status")
        assert spool.exists()

        assert "log(s) wait for `sprov ingest`" in site.sprov("status")
        site.sprov("ingest")
        assert not spool.exists()
        assert [run["state"] for run in site.read_json("runs")] == ["killed"]
