"""The key of a project goes with it, and a copy has another one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from harness import lack

from pllib import projectkey
from pllib.project import Project
from pllib.projectkey import NAME, ensure_key, path_key, read_key


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "here" / ".sprov").create()


def moved(project: Project, name: str = "there") -> Project:
    """Return a project in another folder beside its own."""
    return Project(project.root.parent.with_name(name) / ".sprov")


def test_a_renamed_project_keeps_its_key(project: Project):
    other = moved(project)
    project.root.parent.rename(other.root.parent)
    assert other.key == other.create().key == project.key
    assert other.copied_from == ""
    # And what is made where it was is another project, though it has the same path.
    assert Project(project.root).create().key != project.key


def test_a_mounted_project_keeps_its_key(project: Project, tmp_path: Path):
    """Under another path, on what is another device to whoever looks there."""
    point = tmp_path / "mounted"
    point.mkdir()
    mount = f"mount --bind {project.root.parent} {point}"
    show = (
        "import sys; from pathlib import Path; from pllib.project import Project\n"
        "print(Project(Path(sys.argv[1])).create().key)"
    )
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec"]
    if subprocess.run([*command, mount], capture_output=True).returncode:
        lack("no mount namespaces here")
    run = f'{mount}; {sys.executable} -c "$0" {point / ".sprov"}'
    assert subprocess.check_output([*command, run, show], text=True).strip() == project.key


@pytest.mark.parametrize("copy", [shutil.copy2, os.link])
def test_a_copy_takes_another_key_and_knows_whose_it_had(project: Project, copy):
    """A copy of hard links too, as backups are; the original keeps its own."""
    other = moved(project)
    shutil.copytree(project.root, other.root, copy_function=copy)
    seen = other.key
    assert seen != project.key
    made = other.create()
    assert (made.key, made.copied_from) == (seen, project.key)
    assert read_key(other.root).key == seen
    assert Project(project.root).create().key == project.key
    assert made.keys.isdisjoint(project.keys)
    # A copy of the copy, in whose folder the first one was.
    last = moved(project, "last")
    shutil.copytree(other.root, last.root)
    assert last.create().key not in (seen, project.key)


@pytest.mark.parametrize("is_copy", [False, True])
def test_all_who_are_first_at_once_come_to_one_key(project: Project, is_copy: bool):
    root = project.root
    if is_copy:
        root = moved(project).root
        shutil.copytree(project.root, root)
    else:
        (root / NAME).unlink()
    with ThreadPoolExecutor(16) as pool:
        found = {key.key for key in pool.map(ensure_key, [root] * 64)}
    assert found == {read_key(root).key}
    assert project.key not in found
    assert [path.name for path in root.iterdir() if NAME in path.name] == [NAME]


def test_a_project_of_an_earlier_version_gets_a_key_and_finds_its_spools(project: Project):
    (project.root / NAME).unlink()
    before = Project(project.root)
    assert before.key == path_key(project.root)
    made = before.create()
    assert made.key != path_key(project.root)
    assert path_key(project.root) in made.keys
    other = moved(project)
    project.root.parent.rename(other.root.parent)
    assert path_key(project.root) in other.create().keys


@pytest.mark.parametrize("text", ["", "{", '{"key": "../../x", "folder": 1, "file": 1}', "\xff"])
def test_a_damaged_file_is_written_anew(project: Project, text: str):
    (project.root / NAME).write_text(text, "latin-1")
    seen = Project(project.root).key
    assert len(seen) == 32
    assert Project(project.root).create().key == seen
    assert json.loads((project.root / NAME).read_text())["key"] == seen


def test_a_project_that_can_not_be_written_has_the_key_of_its_path(project: Project, monkeypatch):
    """And one of a copy is the one that it would take."""

    def fail(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    (project.root / NAME).unlink()
    monkeypatch.setattr("pllib.projectkey.open_file", fail)
    assert Project(project.root).create().key == path_key(project.root)


def test_the_file_is_of_whom_the_project_is(project: Project, tmp_path: Path):
    assert (project.root / NAME).stat().st_mode & 0o777 == 0o600
    root = tmp_path / "shared" / ".sprov"
    root.mkdir(parents=True)
    root.chmod(0o2770)
    Project(root).create()
    assert (root / NAME).stat().st_mode & 0o777 == 0o660


def test_a_file_that_is_another_at_each_look_is_of_a_copy(
    project: Project, monkeypatch: pytest.MonkeyPatch
):
    """As on file systems that number their files themselves; a rank must not look for ever."""
    look = projectkey._look

    def renumbered(path: Path) -> tuple[bytes, os.stat_result]:
        data, file = look(path)
        return data, os.stat_result([file.st_mode, file.st_ino + 1, *file[2:]])

    monkeypatch.setattr(projectkey, "_look", renumbered)
    assert Project(project.root).copied_from == project.key
