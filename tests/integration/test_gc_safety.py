"""What nobody expects while journals are moved or deleted costs no frame and deceives nobody."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from harness import SCRIPT, TRANSFORMATIONS, Site
from keeping import N_STEPS, fill, n_records

from pllib.log import COPY_AT, Frame, LogReader, LogWriter
from sprov.keeping.pieces import kept
from sprov.keeping.stubs import ARCHIVED, write_told
from sprov.verify import check
from tracker.journal import Journal, segments

INTERRUPTED = """
import subprocess, sys
from sprov.cli import cli

event_name, ending, command, *arguments = sys.argv[1:]
done = []

def hook(event, values):
    if event == event_name and not done and str(values[0]).endswith(ending):
        done.append(subprocess.run(command, shell=True, check=True))

sys.addaudithook(hook)
cli(arguments)
"""
"""Run a `sprov` command; before a file system call of it another command runs to its end."""


@pytest.fixture
def stored(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Site:
    return fill(site, tmp_path_factory.getbasetemp() / "stored")


def interrupted(
    site: Site, event: str, ending: str, between: str, *command: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", INTERRUPTED, event, ending, between, *command],
        env=site.environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip


def the_archive(site: Site) -> Path:
    (archive,) = (site.project.root / "archive").iterdir()
    return archive


@contextmanager
def full_after(n_bytes: int) -> Iterator[None]:
    """Let files grow to so many bytes: as on a full disk, a write that goes beyond stops there."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_stub_that_does_not_fit_leaves_the_one_before(tmp_path: Path):
    path = tmp_path / "stub.json"
    write_told(path, ["before"])
    with full_after(20), pytest.raises(OSError, match="too large"):
        write_told(path, ["x" * 100])
    assert json.loads(path.read_bytes()) == ["before"]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("at", [16, 8])
def test_what_cant_be_read_is_not_taken_for_what_was_forgotten(stored: Site, at: int):
    """A header that is damaged, or of a newer format; twice: the second stub has no identity."""
    folder = stored.project.journal / "job"
    for _ in range(2):
        shutil.copytree(folder, stored.folder / "before", dirs_exist_ok=True)
        stored.sprov("gc", "--forget", "job", "--yes")
        assert segments(folder) == []
        first = segments(stored.folder / "before")[0][1]
        data = bytearray(first.read_bytes())
        for copy in (0, COPY_AT):
            data[copy + at] = 99
        (folder / first.name).write_bytes(data)
        (stored.folder / "before" / first.name).write_bytes(data)
        stored.sprov("gc", "--free")
        assert (folder / first.name).exists()


def restore(site: Site, change: Callable[[], None]) -> None:
    """Archive, then put the segments back, as a kill before they are deleted would leave them."""
    folder, copy = site.project.journal / "job", site.folder / "copy"
    change()
    shutil.copytree(folder, copy)
    site.sprov("gc", "--archive", "job")
    for _, path in segments(copy):
        shutil.copy(path, folder)


def identity_of(path: Path) -> str:
    with LogReader(path) as reader:
        return reader.header.log_id.hex()


def rewrite(path: Path, frames: list[bytes]) -> None:
    """Give a segment other frames."""
    with LogReader(path) as reader:
        header = reader.header
    path.unlink()
    writer = LogWriter(path, header)
    writer.append(frames)
    writer.close()


def captured(site: Site) -> list[Frame]:
    """Take the frames of the one log that waits."""
    (log,) = site.project.spool.glob("*.log")
    with LogReader(log) as reader:
        frames = [located.frame for located in reader.frames()]
    log.unlink()
    return frames


def write(folder: Path, frames: list[Frame]) -> None:
    """Write to a journal as a tracker does."""
    journal = Journal(folder)
    journal.append([((frame.log_id, frame.number), frame.pack()) for frame in frames])
    journal.close()


def append(site: Site, folder: Path) -> None:
    """Write to a journal what is not in the store."""
    site.run("steps.py", "5")
    write(folder, captured(site))


@pytest.mark.parametrize("option", ["--free", "--archive"])
def test_frames_in_a_segment_that_was_empty_when_archived_stay(stored: Site, option: str):
    folder = stored.project.journal / "job"

    def leave_empty() -> None:
        with_frames = Journal(folder)
        path = with_frames.segment(with_frames.durable)
        data = path.read_bytes()
        with_frames.close()
        path.write_bytes(data)

    restore(stored, leave_empty)
    before = n_records(stored.project)
    append(stored, folder)
    whole = n_records(stored.project)
    assert whole > before
    subprocess.run(
        [SCRIPT, "gc", option, *(["job"] if option == "--archive" else [])],
        env=stored.environment(), capture_output=True, check=False,
    )  # fmt: skip
    assert n_records(stored.project) == whole


@pytest.mark.parametrize("option", ["--free", "--archive"])
def test_what_the_archive_has_otherwise_stays(stored: Site, option: str):
    folder = stored.project.journal / "job"
    restore(stored, lambda: None)
    last = segments(folder)[-1][1]
    rewrite(last, [])
    before = n_records(stored.project)
    append(stored, folder)
    whole = n_records(stored.project)
    assert whole > before
    if option == "--free":
        stored.sprov("gc", option)
    else:
        said = stored.sprov("gc", option, "job", status=3)
        assert f"has not what is in {segments(folder)[0][1].parent}" in said
    assert n_records(stored.project) == whole


@pytest.mark.parametrize("fuller", [False, True])
def test_an_archive_that_no_stub_tells_of_is_taken_or_left(stored: Site, fuller: bool):
    """A backup came back from before the journal was archived, or even written to its end."""
    folder, whole = stored.project.journal / "job", n_records(stored.project)
    restore(stored, lambda: None)
    (folder / ARCHIVED).unlink()
    archive = the_archive(stored)
    files = {path: path.read_bytes() for path in archive.iterdir()}
    if fuller:
        last = segments(folder)[-1][1]
        with LogReader(last) as reader:
            frames = [located.frame.pack() for located in reader.frames()]
        rewrite(last, frames[:-1])
    stored.sprov("gc", "--free")
    assert {path: path.read_bytes() for path in archive.iterdir()} == files
    said = stored.sprov("gc", "--archive", "job", status=3 if fuller else 0)
    assert {path: path.read_bytes() for path in archive.iterdir()} == files
    if fuller:
        assert f"{archive} is an archive that is not what is here" in said
        assert segments(folder)
    else:
        assert segments(folder) == []
        assert n_records(stored.project) == whole
        stored.verify()


def test_half_a_copy_of_another_project_stays(stored: Site, tmp_path: Path):
    identity = identity_of(segments(stored.project.journal / "job")[0][1])
    cold = tmp_path / "cold"
    ours, theirs = (cold / f"job-{of}-000000000000.partial" for of in (identity, "0" * 32))
    for path in (ours, theirs):
        path.mkdir(parents=True)
        (path / "000000000000.log").write_text("x")
    stored.sprov("gc", "--free", SPROV_RETENTION_ARCHIVE=str(cold))
    assert not ours.exists()
    assert theirs.exists()


def test_an_archive_from_which_somebody_takes_files_is_not_counted_on(stored: Site):
    whole = n_records(stored.project)
    root = stored.project.root
    done = interrupted(
        stored, "os.rename", ".partial", f"rm {root}/archive/*.partial/000000000000.log",
        "gc", "--archive", "job",
    )  # fmt: skip
    assert done.returncode == 3
    assert "can't be read: No such file" in done.stderr
    assert n_records(stored.project) == whole


@pytest.mark.parametrize("option", ["--archive", "--forget --yes"])
def test_a_rebuild_sees_that_a_journal_went_meanwhile(stored: Site, option: str):
    done = interrupted(stored, "os.mkdir", "/rebuild", f"{SCRIPT} gc {option} job", "rebuild")
    assert done.returncode != 0
    assert "job: archived or forgotten while it was read" in done.stderr
    assert stored.count(TRANSFORMATIONS) == N_STEPS


def test_frames_behind_damage_are_looked_up(site: Site):
    """There a watermark covers frames that nobody stored."""
    site.run("steps.py", "300", SPROV_FLUSH_BYTES="4096")
    frames = captured(site)
    late = frames.pop(2)
    folder = site.project.journal / "job"
    write(folder, frames)
    site.sprov("ingest")
    first, second, *rest = [frame.pack() for frame in frames]
    assert len(rest) > 1
    damaged = second[:-1] + bytes([second[-1] ^ 1])
    ((_, path),) = segments(folder)
    rewrite(path, [first, damaged, late.pack(), *rest[1:]])
    assert "not in the store yet" in site.sprov("gc", "--archive", "job", status=4)
    rewrite(path, [first, damaged, *rest])
    site.sprov("gc", "--archive", "job")


def test_what_comes_before_the_lock_is_taken_is_checked(stored: Site):
    stray, folder = stored.folder / "stray", stored.project.journal / "job"
    append(stored, stray)
    append_py = (
        "import sys; from pathlib import Path; from tracker.journal import Journal, read_journal\n"
        "frames = [frame for _, frame in read_journal(Path(sys.argv[1]))]\n"
        "journal = Journal(Path(sys.argv[2]))\n"
        "journal.append([((f.log_id, f.number), f.pack()) for f in frames]); journal.close()"
    )
    program = stored.folder / "append.py"
    program.write_text(append_py)
    done = interrupted(
        stored, "open", "job/lock", f"{sys.executable} {program} {stray} {folder}",
        "gc", "--archive", "job",
    )  # fmt: skip
    assert done.returncode == 4
    assert "not in the store yet" in done.stderr
    assert kept(stored.project).pieces[0].is_archived is False


@pytest.mark.parametrize("option", ["--archive", "--forget --yes"])
def test_verify_says_that_a_journal_went_meanwhile(stored: Site, option: str):
    """Before it opens the snapshot, for which it sets the number of files that it may open."""
    done = interrupted(
        stored, "resource.setrlimit", str(resource.RLIMIT_NOFILE), f"{SCRIPT} gc {option} job",
        "verify",
    )  # fmt: skip
    assert done.returncode == 1
    assert "job was archived or forgotten while it was compared" in done.stdout
    stored.verify()


def test_what_is_forgotten_excuses_no_other_frame(stored: Site):
    """One journal is forgotten; of the other that has frames of the same log, some are lost."""
    folder, project = stored.project.journal / "job", stored.project
    known = segments(folder)
    other = project.journal / "other"
    other.mkdir()
    for _, path in known[2:]:
        path.rename(other / path.name)
    stored.sprov("gc", "--forget", "job", "--yes")
    assert check(project)["agree"]
    (other / known[2][1].name).unlink()
    assert any("records captured" in line for line in check(project)["problems"])


def test_what_is_forgotten_excuses_no_points_of_other_frames(site: Site):
    site.run("points.py", "200", SPROV_FLUSH_BYTES="4096")
    first, *rest = captured(site)
    folder, other = site.project.journal / "job", site.project.journal / "rest"
    write(folder, [first])
    write(folder, rest)
    site.sprov("ingest")
    other.mkdir()
    _, (_, path) = segments(folder)
    path.rename(other / path.name)
    site.sprov("gc", "--forget", "job", "--yes")
    assert check(site.project)["agree"]
    for path in site.project.series.glob("run=*/*.parquet"):
        footer = pq.read_metadata(path).metadata
        points = pq.read_table(path, partitioning=None)[:1].replace_schema_metadata(footer)
        pq.write_table(points, path)
    assert any("has 1 points" in line for line in check(site.project)["problems"])


def test_an_archive_that_is_not_mounted_is_to_be_mounted(stored: Site):
    stored.sprov("gc", "--archive", "job")
    archive = the_archive(stored)
    archive.rename(stored.folder / "unmounted")
    said = stored.sprov("rebuild", status=4)
    assert len(said.splitlines()) == 1
    assert said.index(f"Mount the disk of {archive}") < said.index("--forget job")
