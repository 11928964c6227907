"""A kill at any step of archiving, forgetting or rebuilding loses nothing, and can be made good."""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import PROGRAMS, SCRIPT, Site, wait_until
from keeping import fill, n_records

from pllib.project import Project
from sprov.keeping.pieces import kept
from sprov.verify import check
from tracker.journal import segments


@pytest.fixture
def stored(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Site:
    return fill(site, tmp_path_factory.getbasetemp() / "stored")


def killed(site: Site, tmp_path: Path, *command: str) -> Iterator[Project]:
    """Yield projects in which a command was killed before one of its changes, each another."""
    place = tmp_path / "killed"
    place.mkdir()
    kill(str(site.project.root), str(place), *command)
    folders = sorted(place.iterdir())
    assert len(folders) > 5
    yield from map(Project, folders)


def kill(*arguments: str) -> None:
    program = [sys.executable, str(PROGRAMS / "killed_at.py"), *arguments]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_kill_at_any_step_of_archiving_loses_nothing(stored: Site, tmp_path: Path):
    """The next call finishes; `--free` deletes what is here and in an archive that a stub names."""
    whole = n_records(stored.project)
    command = ("gc", "--archive", "job")
    projects = list(killed(stored, tmp_path, *command))
    for project in projects:
        assert n_records(project) == whole, project.root
    shutil.copytree(tmp_path / "killed", tmp_path / "other", symlinks=True)
    kill("--again", str(tmp_path / "killed"), *command)
    kill("--again", str(tmp_path / "other"), "gc", "--free")
    for project in projects:
        assert n_records(project) == whole, project.root
        assert segments(project.journal / "job") == []
        assert len(list((project.root / "archive").iterdir())) == 1
    for root in (tmp_path / "other").iterdir():
        assert n_records(Project(root)) == whole, root
        here, told = segments(root / "journal/job"), (root / "journal/job/archived.json").exists()
        assert bool(here) != told, root
        assert not list(root.glob("archive/*.partial")), root


def test_a_kill_at_any_step_of_forgetting_can_be_finished(stored: Site, tmp_path: Path):
    whole = n_records(stored.project)
    stored.run("training.py")
    stored.sprov("ingest")
    stored.sprov("gc", "--archive", "ingest")
    both = n_records(stored.project)
    command = ("gc", "--forget", "job", "ingest", "--yes")
    projects = list(killed(stored, tmp_path, *command))
    for project in projects:
        told = sum(one.counts.n_records for _, one in kept(project).forgotten)
        assert told in (0, whole, both), project.root
        assert n_records(project) + told >= both, project.root
    kill("--again", str(projects[0].root.parent), *command)
    for project in projects:
        assert n_records(project) == 0
        assert sum(one.counts.n_records for _, one in kept(project).forgotten) == both


def test_a_kill_at_any_step_of_a_rebuild_leaves_a_store_that_agrees(stored: Site, tmp_path: Path):
    projects = list(killed(stored, tmp_path, "rebuild"))
    for project in projects:
        assert check(project)["problems"] == [], project.root
    kill("--again", str(projects[0].root.parent), "ingest")
    for project in projects:
        assert check(project)["problems"] == [], project.root
    kill("--again", str(projects[0].root.parent), "gc", "--free")
    for project in projects:
        assert check(project)["problems"] == [], project.root
        assert not (project.root / "rebuild").exists()


def test_random_kills_of_archiving_lose_nothing(stored: Site):
    """At any moment, not between steps alone: after so many bytes of all that it writes."""
    whole, pristine = n_records(stored.project), stored.folder / "pristine"
    shutil.copytree(stored.project.root, pristine, symlinks=True)
    stored.sprov("gc", "--archive", "job")
    n_bytes = written(stored.project)
    seed = random.randrange(1 << 32)
    draw = random.Random(seed)
    statuses = []
    for _ in range(8):
        shutil.rmtree(stored.project.root)
        shutil.copytree(pristine, stored.project.root, symlinks=True)
        statuses.append(archive_until(stored, draw.randint(1, n_bytes)))
        assert n_records(stored.project) == whole, f"seed {seed}"
        stored.sprov("gc", "--archive", "job")
        assert n_records(stored.project) == whole, f"seed {seed}"
        assert segments(stored.project.journal / "job") == []
    assert -signal.SIGKILL in statuses, f"seed {seed}"


def written(project: Project) -> int:
    """Return how many bytes the archive has, those of an unfinished one included."""
    n_bytes = 0
    for path in (project.root / "archive").glob("*/*"):
        with contextlib.suppress(FileNotFoundError):  # it was renamed meanwhile
            n_bytes += path.stat().st_size
    return n_bytes


def archive_until(site: Site, n_bytes: int) -> int:
    """Kill the command once it has written so many bytes; return its exit status."""
    process = subprocess.Popen(
        [SCRIPT, "gc", "--archive", "job"], env=site.environment(), stdout=subprocess.DEVNULL
    )
    wait_until(
        lambda: written(site.project) >= n_bytes or process.poll() is not None, every_s=0.001
    )
    process.kill()
    return process.wait()
