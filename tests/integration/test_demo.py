"""`sprov demo` writes over nothing but what it made, and deletes nothing."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import SCRIPT, TIMEOUT_S, Site, lack

from pllib.errors import SettingsError
from sprov.demo.folder import MARKER, prepare, prepare_default


def listing(folder: Path) -> dict[str, bytes]:
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def with_a_project(folder: Path) -> None:
    site = Site(folder)
    site.run("steps.py", "2", SPROV_MODE="offline")
    site.sprov("ingest")


def with_its_names(folder: Path) -> None:
    (folder / "model.npz").write_text("years of work")


def with_a_link_for_a_marker(folder: Path) -> None:
    prepare(folder / "demo")
    (folder / MARKER).symlink_to("demo/" + MARKER)


def with_a_marker_of_another(folder: Path) -> None:
    if os.geteuid():
        lack("only root can be two users")
    prepare(folder)
    os.chown(folder / MARKER, 5009, 5009)


@pytest.mark.parametrize(
    "fill", [with_a_project, with_its_names, with_a_link_for_a_marker, with_a_marker_of_another]
)
def test_a_folder_that_no_demo_made_is_refused(tmp_path: Path, fill: Callable[[Path], None]):
    work = tmp_path / "work"
    work.mkdir()
    fill(work)
    before = listing(work)
    done = subprocess.run(
        [SCRIPT, "demo", "work"],
        cwd=tmp_path, capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stdout + done.stderr
    assert "did not make it" in done.stderr
    assert listing(work) == before


def test_a_link_is_not_the_folder_of_a_demo(tmp_path: Path):
    prepare(tmp_path / "demo")
    (tmp_path / "link").symlink_to("demo")
    with pytest.raises(SettingsError, match="did not make it"):
        prepare(tmp_path / "link")


def test_a_demos_folder_is_used_again_and_keeps_its_records(tmp_path: Path):
    first = prepare_default(tmp_path)
    assert first.name == "sprov-demo"
    with_a_project(first)
    before = listing(first)
    assert prepare_default(tmp_path) == prepare(first) == first
    assert listing(first) == before


def test_without_a_name_a_folder_of_somebodys_own_is_left(tmp_path: Path):
    """Also one that a version made that left no marker."""
    for name in ("sprov-demo", "sprov-demo-2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.npz").write_text("mine")
    assert prepare_default(tmp_path).name == "sprov-demo-3"
    assert prepare_default(tmp_path).name == "sprov-demo-3"
    assert listing(tmp_path / "sprov-demo") == {"model.npz": b"mine"}
