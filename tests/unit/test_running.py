"""What `sprov run` makes of a command's words, and of what it sees of files."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

import pytest
from harness import wait_until

from pllib.data import File, version_of
from pllib.hook import sprov_opened
from pllib.records import FileVersion
from sprov.running import lines as lines_module
from sprov.running import opened as opening
from sprov.running import written as watched
from sprov.running.claims import settle
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
        (
            ["python", "-m", "torch.distributed.run", "--nproc-per-node", "2", "job.py", "x"],
            "job.py",
        ),
        (["python", "-um", "torch.distributed.launch", "job.py", "other.py"], "job.py"),
        (["python", "-mcProfile", "-o", "out", "job.py"], "job.py"),
        (["python", "-m", "torch.distributed.run", "-m", "package.job"], "package/job.py"),
        (["python", "-m", "package.job"], "package/job.py"),
        (["python", "-m", "package"], "package/__main__.py"),
        (["python", "-m", "pytest", "job.py"], ""),
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
    (tmp_path / "package").mkdir()
    for name in ("job", "__main__"):
        (tmp_path / "package" / f"{name}.py").write_text("")
    found = describe(words)
    assert found.script == (str(tmp_path / script) if script else "")
    module = words[words.index("-m") + 1] if "-m" in words else ""
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
    assert written.descend() == {str(tmp_path / "old" / "changed")}  # after 1970
    assert written.read() == set()
    (tmp_path / "made").write_text("x")
    (tmp_path / "new").mkdir()
    (tmp_path / "old" / "changed").write_text("x")
    assert written.read() == {str(tmp_path / "made"), str(tmp_path / "old" / "changed")}
    (tmp_path / "new" / "inside").write_text("x")
    (tmp_path / "made").rename(tmp_path / "moved")
    assert written.read() == {str(tmp_path / "new" / "inside"), str(tmp_path / "moved")}
    written.close()


def test_what_is_in_a_new_folder_before_it_is_watched_is_found(tmp_path: Path):
    for folder in ("before", "before/deep", "excluded", ".hidden"):
        (tmp_path / folder).mkdir()
    (tmp_path / "before" / "old").write_text("")
    os.utime(tmp_path / "before", ns=(0, 0))
    since_ns = (tmp_path / "before").stat().st_ctime_ns + 1
    wait_until(lambda: touch(tmp_path / "before" / "deep" / "quick") >= since_ns)
    written = Written(str(tmp_path), since_ns=since_ns, excluded=[str(tmp_path / "excluded")])
    assert written.descend() == {str(tmp_path / "before" / "deep" / "quick")}
    (tmp_path / "new" / "part").mkdir(parents=True)
    (tmp_path / "new" / "part" / "model").write_text("x")
    (tmp_path / "excluded" / "spool").write_text("x")
    (tmp_path / ".hidden" / "cache").write_text("x")
    (tmp_path / "new").rename(tmp_path / "final")
    assert str(tmp_path / "final" / "part" / "model") in written.read()
    assert written.n_unwatched == 0
    for nth in range(watched.MAX_WATCHES + 5):
        (tmp_path / f"folder-{nth}").mkdir()
    written.read()
    assert written.n_unwatched > 0
    for nth in range(watched.MAX_WATCHES + 5):
        (tmp_path / f"folder-{nth}").rmdir()
    written.read()
    (tmp_path / "late").mkdir()
    written.read()
    (tmp_path / "late" / "file").write_text("x")
    assert written.read() == {str(tmp_path / "late" / "file")}
    written.close()


def test_folders_that_are_there_leave_room_for_those_that_come(tmp_path: Path):
    for nth in range(watched.MAX_FOLDERS + 50):
        (tmp_path / f"folder-{nth}").mkdir()
    written = Written(str(tmp_path))
    written.descend()
    assert written.n_unwatched == 51
    (tmp_path / "new" / "part").mkdir(parents=True)
    written.read()
    (tmp_path / "new" / "part" / "model").write_text("x")
    assert written.read() == {str(tmp_path / "new" / "part" / "model")}
    assert written.n_unwatched == 51
    written.close()


def touch(path: Path) -> int:
    path.unlink(missing_ok=True)
    path.write_text("x")
    return path.parent.stat().st_ctime_ns  # of the two the older


@pytest.mark.parametrize(
    ("path", "is_recorded"),
    [
        ("/dev/shm/staged/data.bin", True),
        ("/home/ada/work-packages/in.csv", True),
        ("/library/data.csv", True),
        ("/lib-data/data.csv", True),
        ("/usr/library/data.csv", True),
        ("/etcetera/data.csv", True),
        ("/home/ada/usr/lib/data.csv", True),
        ("/lib/x86_64-linux-gnu/libc.so.6", False),
        ("/lib64/ld-linux-x86-64.so.2", False),
        ("/usr/lib64/gconv/gconv-modules", False),
        ("/usr/share/zoneinfo/UTC", False),
        ("/etc/hosts", False),
        ("/dev/null", False),
        ("/proc/self/stat", False),
        ("/home/ada/venv/lib/python3.11/site-packages/torch/version.py", False),
        ("/usr/local/lib/python3/dist-packages/numpy/core.py", False),
        ("/home/ada/__pycache__/train.cpython-311.pyc", False),
    ],
)
def test_what_a_folder_of_the_system_is_says_one_definition(path: str, is_recorded: bool):
    found = Opened()
    found.wrote(path)
    hook = sprov_opened.Opened("/nowhere", ())
    assert found.is_written(path)
    assert (path in found._files, hook._name(path) is not None) == (is_recorded, is_recorded)


def test_a_library_that_is_read_is_code_and_one_that_is_written_is_a_result(tmp_path: Path):
    for name in ("read.so", "made.so.1"):
        (tmp_path / name).write_text("x")
    found = Opened()
    found.read(str(tmp_path / "read.so"))
    found.wrote(str(tmp_path / "made.so.1"))
    assert (names(found.used()), names(found.generated())) == (set(), {"made.so.1"})


def version(path: Path) -> FileVersion:
    found = version_of(File(path))
    assert isinstance(found, FileVersion)
    return found


def test_a_file_that_nobody_was_seen_to_write_is_one_commands_at_most(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(lines_module, "SHARED_MEMORY", str(tmp_path))
    for name in ("fast", "seen", "ended", "held"):
        (tmp_path / name).write_text(name)
    fast, seen, ended, held = (version(tmp_path / n) for n in ("fast", "seen", "ended", "held"))
    first, second, third = (Lines(Opened()) for _ in range(3))
    assert settle(third.path, [ended], [], set()) == []
    third.close()
    second.tell_written([seen.path])
    with (tmp_path / "held").open("a"):
        assert settle(first.path, [], [fast, seen, ended, held], set()) == [fast]
    assert settle(second.path, [seen], [fast, held], set()) == [held]
    first.close()
    assert settle(second.path, [], [], set()) == []
    assert (tmp_path / f"sprov-{os.getuid()}" / "written").read_text() == ""
    second.close()


def test_a_full_shared_memory_costs_no_file(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(lines_module, "SHARED_MEMORY", str(tmp_path))
    (tmp_path / "made").write_text("made")
    (tmp_path / "other").write_text("other")
    made, other = version(tmp_path / "made"), version(tmp_path / "other")
    first, second = (Lines(Opened()) for _ in range(2))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        first.tell_written([made.path])
        assert settle(first.path, [made], [other], set()) == [other]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    for each in (first, second):
        assert Path(each.path).read_bytes() == b""
        each.close()


def test_what_comes_and_goes_takes_no_room(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(opening, "MAX_FILES", 20)
    monkeypatch.setattr(opening, "FORGET_EVERY", 5)
    found = Opened()
    for nth in range(100):
        found.changed(str(tmp_path / f"gone-{nth}"))
    for nth in range(25):
        (tmp_path / str(nth)).write_text("x")
        found.changed(str(tmp_path / str(nth)))
    assert len(names(found.unexplained())) == 20
    assert 0 < found.n_unlisted <= 25 - 15


def test_links_and_files_that_went_are_nobodys_results(tmp_path: Path):
    (tmp_path / "target").write_text("x")
    (tmp_path / "link").symlink_to("target")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "made").write_text("x")
    found = Opened()
    for name in ("link", "gone", "pipe", "made"):
        found.changed(str(tmp_path / name))
    assert names(found.unexplained()) == {"made"}
    found.wrote(str(tmp_path / "made"))
    assert names(found.unexplained()) == set()
