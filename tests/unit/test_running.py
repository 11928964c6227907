"""What `sprov run` makes of a command's words, and of what it sees of files."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from sprov.running import opened as opening
from sprov.running.described import describe, packages_in
from sprov.running.lines import Lines
from sprov.running.opened import Opened
from sprov.running.written import Written


def names(files: object) -> set[str]:
    return {Path(file.path).name for file in files}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("words", "script"),
    [
        (["python", "job.py", "other.py"], "job.py"),
        (["python", "-W", "error", "-u", "job.py"], "job.py"),
        (["python", "-m", "job.py"], ""),
        (["python", "-c", "job.py"], ""),
        (["python", "-uO", "job.py"], "job.py"),
        (["python", "-Wignore::SomeWarning", "job.py"], "job.py"),
        (["bash", "-e", "-o", "pipefail", "job.py"], "job.py"),
        (["bash", "-lc", "job.py"], ""),
        (["env", "A=b", "python", "job.py"], "job.py"),
        (["./program", "job.py"], "program"),
        (["cat", "data.txt"], ""),
        (["no-such-command", "job.py"], ""),
    ],
)
def test_the_script_of_a_command(tmp_path: Path, monkeypatch, words, script):
    for name in ("job.py", "other.py", "data.txt", "program"):
        (tmp_path / name).write_text("#!/bin/sh\n")
    (tmp_path / "program").chmod(0o755)
    (tmp_path / "python").symlink_to(sys.executable)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.defpath}")
    found = describe(words)
    assert Path(found.script).name == script
    module = "job.py" if "-m" in words else ""
    assert found.program == (found.script or module or words[0])


def test_packages_have_their_normal_names(tmp_path: Path):
    for name in ("Ruamel.Yaml_x-0.1.dist-info", "torch-2.1+cpu.dist-info", "torch", "x.egg-info"):
        (tmp_path / name).mkdir()
    assert packages_in([str(tmp_path), "/nowhere"]) == {
        "package.ruamel-yaml-x": "0.1", "package.torch": "2.1+cpu",
    }  # fmt: skip


def test_a_folder_that_is_renamed_takes_its_files_along(tmp_path: Path):
    found = Opened()
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "part").write_text("x")
    found.wrote(str(tmp_path / "part.tmp" / "part"))
    found.moved(str(tmp_path / "part.tmp"), str(tmp_path / "new"))
    assert [file.path for file in found.generated()] == [str(tmp_path / "new" / "part")]


def test_what_is_excluded_or_too_much_is_not_listed(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(opening, "MAX_FILES", 3)
    (tmp_path / "out").mkdir()
    (tmp_path / "outer").write_text("")
    found = Opened((str(tmp_path / "out"),))
    for nth in range(5):
        (tmp_path / "out" / str(nth)).write_text("")
        (tmp_path / str(nth)).write_text("")
        found.read(str(tmp_path / "out" / str(nth)))
    for name in ("outer", "0", "1", "2", "3"):
        found.read(str(tmp_path / name))
    assert names(found.used()) == {"outer", "0", "1"}
    assert found.n_unlisted == 2


def test_lines_of_one_who_was_killed_are_deleted_by_the_next():
    first = Lines(Opened())
    dead = Path(first.path).with_name("opened-of-the-dead")
    dead.touch()
    second = Lines(Opened())
    assert not dead.exists()
    assert Path(first.path).exists()
    for lines in (first, second):
        lines.close()
        assert not Path(lines.path).exists()


def test_half_a_line_is_taken_when_it_is_whole():
    found = Opened()
    lines = Lines(found)
    with open(lines.path, "ab", buffering=0) as file:
        for part in (b"R\t1\t2\t/a/b/", b"c\nnonsense\nR\tx\ty\t/d\n", b"+\n"):
            file.write(part)
            lines.take()
    lines.close()
    assert [(file.path, file.size, file.mtime_ns) for file in found.used()] == [("/a/b/c", 1, 2)]
    assert found.n_unlisted == 1


def test_the_kernel_tells_what_is_written_below_a_folder(tmp_path: Path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "changed").write_text("")
    written = Written(str(tmp_path))
    assert written.read() == set()
    (tmp_path / "made").write_text("x")
    (tmp_path / "new").mkdir()
    (tmp_path / "old" / "changed").write_text("x")
    assert written.read() == {str(tmp_path / "made"), str(tmp_path / "old" / "changed")}
    (tmp_path / "new" / "inside").write_text("x")
    (tmp_path / "made").rename(tmp_path / "moved")
    assert written.read() == {str(tmp_path / "new" / "inside"), str(tmp_path / "moved")}
    written.close()
