"""A session says with which software it ran, as `sprov run` says it of a command."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from pllib.gitindex import git_facts
from pllib.log import LogReader
from pllib.records import Closed, Context, Facts
from pllib.software import digest

PROGRAM = """\
import pllib, sys
import numpy, yaml, sklearn
with pllib.open(study="digits", rank=int(sys.argv[1]), size=2) as session:
    import msgspec.json
    pass
"""


def git(folder: Path, *words: str) -> None:
    names = {f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER") for what in
             ("NAME", "EMAIL")}  # fmt: skip
    environ = {**os.environ, **names, "GIT_CONFIG_GLOBAL": os.devnull}
    subprocess.run(["git", "-C", str(folder), *words], check=True, env=environ, capture_output=True)


@pytest.fixture
def tree(tmp_path) -> Path:
    """A repository with a program, all of it in a commit."""
    folder = tmp_path / "code"
    (folder / "lib").mkdir(parents=True)
    (folder / "train.py").write_text(PROGRAM)
    (folder / "lib" / "helper.py").write_text("x = 1\n")
    (folder / "link").symlink_to("train.py")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "one")
    return folder


def told(folder: Path, *words: str, **environ: str) -> dict[str, str]:
    """Run the program; return the facts that it told in records of their own."""
    project = folder.parent / ".sprov"
    done = subprocess.run(
        [sys.executable, "train.py", *words],
        cwd=folder, capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "SPROV_DIR": str(project), "SPROV_MODE": "offline",
             "SPROV_SOFTWARE": "loaded", **environ},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    found: dict[str, str] = {}
    (path,) = (project / "spool").glob("*.log")
    with LogReader(path) as reader:
        records = [r for located in reader.frames() for r in located.frame.records()]
    for record in records:
        if isinstance(record, Facts):
            assert not found.keys() & record.facts.keys()
            found.update(record.facts)
    assert [r.lost for r in records if isinstance(r, Closed)] == [{}]
    assert all(len(r.facts) < 40 for r in records if isinstance(r, Context))
    path.unlink()
    return found


def test_a_run_says_with_which_software_it_ran(tree):
    found = told(tree, "0", "--password", "hunter22hunter22", "--lr=0.1")
    assert "hunter22" not in str(found)
    words = found["command"].split()
    assert words[0] == sys.executable
    assert words[1:4] == ["train.py", "0", "--password"]
    assert words[-1] == "--lr=0.1"
    assert found["script"] == str(tree / "train.py")
    assert found["script_digest"] == digest(str(tree / "train.py"))
    assert found["git_dirty"] == "0"
    for package in ("numpy", "pyyaml", "scikit-learn", "msgspec"):
        assert found[f"package.{package}"] == version(package)
    assert "package.pytest" not in found


def test_one_rank_says_it(tree):
    assert told(tree, "1") == {}


def test_under_sprov_run_that_says_it(tree):
    assert told(tree, "0", SPROV_WRAPPED=f"{os.getpid()}:elsewhere") == {}


def facts_of(tree: Path, script: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for piece in git_facts(str(tree), script):
        found.update(piece)
    return found


CHANGES = {
    "nothing": (lambda tree: None, "0"),
    "touched": (lambda tree: (tree / "train.py").touch(), "0"),
    "longer": (lambda tree: (tree / "lib" / "helper.py").write_text("x = 100\n"), "1"),
    "as long": (lambda tree: (tree / "lib" / "helper.py").write_text("x = 2\n"), "1"),
    "gone": (lambda tree: (tree / "train.py").unlink(), "1"),
    "a link": (lambda tree: (tree / "link").unlink() or (tree / "link").symlink_to("lib"), "1"),
    "packed": (lambda tree: git(tree, "gc", "-q"), "0"),
    "untracked": (lambda tree: (tree / "new.py").touch(), "0"),
    "staged": (
        lambda tree: (tree / "train.py").write_text("") or git(tree, "add", "."),
        "unknown",
    ),
    "committed": (
        lambda tree: (tree / "train.py").write_text("") or git(tree, "commit", "-qam", "two"),
        "0",
    ),
    "another branch": (lambda tree: git(tree, "checkout", "-qb", "other"), "0"),
    "reset": (
        lambda tree: (tree / "train.py").write_text("") or git(tree, "reset", "-q", "--hard"),
        "0",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_tree_is_dirty_if_git_says_so_or_not_known(tree, change):
    make, expected = CHANGES[change]
    make(tree)
    found = facts_of(tree)
    assert found["git_dirty"] == expected
    assert ("git_unknown" in found) == (expected == "unknown")
    if expected != "unknown":
        asked = subprocess.run(
            ["git", "-C", str(tree), "status", "--porcelain", "-uno"],
            capture_output=True, check=True,
        )  # fmt: skip
        assert bool(asked.stdout) == (expected == "1")
    assert facts_of(tree / "lib") == found


def test_what_git_has_in_another_way_is_not_known(tree):
    git(tree, "update-index", "--index-version", "4")
    assert facts_of(tree) == {
        "git_dirty": "unknown", "git_unknown": "git's index has version 4",
    }  # fmt: skip


def test_a_script_in_no_commit_is_not_clean(tree, tmp_path):
    (tree / "new.py").touch()
    for script in (tree / "new.py", tmp_path / "outside.py"):
        found = facts_of(tree, str(script))
        assert found["git_dirty"] == "unknown"
        assert found["git_unknown"].startswith(f"{script} is in no commit")


def test_a_worktree_and_a_clone_have_their_own_index(tree, tmp_path):
    git(tree, "worktree", "add", "-q", str(tmp_path / "beside"))
    git(tmp_path, "clone", "-q", str(tree), "clone")
    for folder in (tmp_path / "beside", tmp_path / "clone"):
        assert facts_of(folder) == {"git_dirty": "0"}
        (folder / "train.py").write_text("")
        assert facts_of(folder) == {"git_dirty": "1"}


def test_where_there_is_no_repository_nothing_is_said(tmp_path):
    assert facts_of(tmp_path) == {}


def test_it_may_be_switched_off(tree):
    assert told(tree, "0", SPROV_SOFTWARE="off") == {}
