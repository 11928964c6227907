"""What git tells of the code that runs, and what is said where it does not."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from sprov.running import git
from sprov.running.git import difference

GIT = (
    "git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main",
    "-c", "protocol.file.allow=always",
)  # fmt: skip
NOBODY = 65534


def run(folder: Path, *words: str) -> None:
    subprocess.run([*GIT, *words], cwd=folder, check=True, capture_output=True)


def commit(folder: Path, **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    run(folder, "init", "-q")
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    run(folder, "add", ".")
    run(folder, "commit", "-qm", "first", "--allow-empty")
    return folder


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with train.py in it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    return commit(tmp_path / "tree", train="print(1)\n")


def facts(folder: Path, script: str = "train.py", *others: Path) -> dict[str, str]:
    path = os.path.realpath(folder / script) if script else ""
    found = difference(str(folder), path, lambda: False, [str(other) for other in others])
    return {name: text for name, text in found.facts("").items() if text}


def test_a_clean_tree_is_clean_and_a_changed_one_dirty(tree: Path):
    assert facts(tree) == {"git_dirty": "0"}
    (tree / "train.py").write_text("print(2)\n")
    found = difference(str(tree), str(tree / "train.py"), lambda: False)
    assert (found.is_dirty, found.unknown) == (True, ())
    assert found.data is not None
    assert b"+print(2)" in found.data


def test_a_script_in_no_commit_is_dirty(tree: Path):
    (tree / "new.py").write_text("print(3)\n")
    (tree / "helper.py").write_text("")
    (tree / "notes.txt").write_text("")
    script = tree / "new.py"
    assert facts(tree, "new.py") == {
        "git_dirty": "1", "git_diff": "empty", "git_unknown": f"{script} is in no commit",
        "git_untracked": "helper.py, new.py",
    }  # fmt: skip
    assert facts(tree) == {"git_dirty": "0", "git_untracked": "helper.py, new.py"}
    (tree / ".git" / "info" / "exclude").write_text("new.py\n")
    assert facts(tree, "new.py")["git_dirty"] == "1"
    run(tree, "add", "-f", "new.py")
    assert facts(tree, "new.py")["git_dirty"] == "1"
    run(tree, "commit", "-qm", "second")
    assert facts(tree, "new.py") == {"git_dirty": "0", "git_untracked": "helper.py"}


def test_a_script_outside_of_the_tree_is_unknown(tree: Path, tmp_path: Path):
    (tmp_path / "out.py").write_text("")
    assert facts(tree, "../out.py") == {
        "git_dirty": "unknown",
        "git_unknown": f"{tmp_path / 'out.py'} is in no commit: it lies outside of {tree}",
    }


def test_a_difference_beyond_the_limit_is_dirty_and_said(tree: Path, monkeypatch):
    monkeypatch.setattr(git, "MAX_BYTES", 1 << 20)
    (tree / "train.py").write_text("x = 1\n" * 500_000)
    found = facts(tree)
    assert found == {"git_dirty": "1", "git_unknown": "the difference is over 1 MiB"}


def test_a_repository_that_git_refuses_is_unknown(tree: Path, monkeypatch):
    if os.geteuid():
        monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    else:
        os.chown(tree, NOBODY, NOBODY)
    found = facts(tree)
    assert found["git_dirty"] == "unknown"
    assert "git refuses: detected dubious ownership" in found["git_unknown"]
    assert "git_diff" not in found


def test_a_dirty_submodule_is_said(tree: Path, tmp_path: Path):
    part = commit(tmp_path / "part", model="x = 1\n")
    run(tree, "submodule", "add", "-q", str(part), "lib/part")
    run(tree, "commit", "-qm", "with a part")
    assert facts(tree) == {"git_dirty": "0"}
    (tree / "lib" / "part" / "model.py").write_text("x = 2\n")
    assert facts(tree) == {
        "git_dirty": "1", "git_unknown": "what differs in the submodule lib/part is not kept",
    }  # fmt: skip


def test_a_second_repository_is_said(tree: Path, tmp_path: Path):
    other = commit(tmp_path / "other", work="")
    (other / "below").mkdir()
    found = facts(tree, "train.py", other / "below", tree)
    assert found["git_dirty"] == "0"
    assert found["git_unknown"].startswith(f"{other}, at commit ")
    assert found["git_unknown"].endswith(" was not compared")


def test_without_git_or_time_it_is_unknown(tree: Path, monkeypatch):
    found = difference(str(tree), "", lambda: True)
    assert (found.is_dirty, found.unknown) == (
        None, ("the command ended before git had answered",),
    )  # fmt: skip
    assert shutil.which("git")
    monkeypatch.setenv("PATH", "/nowhere")
    assert facts(tree)["git_unknown"].startswith("git can't be run")
