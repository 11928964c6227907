"""SIGKILL of a manager that compacts series: no point is lost, none is there twice."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

from harness import PROGRAMS

from manager.store.snapshots import open_snapshot
from pllib.project import Project
from query.engine import Engine
from query.series import read_series

RUN = f"https://w3id.org/sprov/id/run/{'1' * 32}"
N_KILLS = 8


def start(project: Project, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, str(PROGRAMS / "compacting.py"), str(project.root), str(count)]
    environment = {"PYTHONPATH": f"{PROGRAMS.parent}:{PROGRAMS.parents[1]}"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def steps(project: Project) -> list[int]:
    """Return what a reader gets from the newest snapshot."""
    found: list[int] = read_series(Engine(project, None), RUN)["step"].to_pylist()
    return found


def named(project: Project, predicate: str) -> set[str]:
    rows = open_snapshot(project.snapshots).query(
        f"SELECT ?f {{ <{RUN}> <https://w3id.org/sprov/ns#{predicate}> ?f }}"
    )
    return {row["f"].value for row in rows}


def on_disk(project: Project) -> set[str]:
    return {str(path.relative_to(project.series)) for path in project.series.glob("*/*")}


def test_a_manager_killed_in_the_middle_of_compactions(tmp_path: Path):
    """After a random number of commits each time; compactions have a thread of their own."""
    project = Project(tmp_path / ".sprov").create()
    draw = random.Random(0)
    durable = 0
    for _ in range(N_KILLS):
        process = start(project, sys.maxsize)
        assert process.stdout is not None
        before = durable
        for _ in range(draw.randint(1, 50)):
            durable = int(process.stdout.readline())
            assert durable > before
        process.kill()
        process.wait()
        durable = max([durable, *map(int, process.stdout.read().split())])
        seen = steps(project)
        assert seen == list(range(len(seen)))
    last = start(project, durable + 100)
    out, _ = last.communicate()
    assert last.returncode == 0
    assert int(out.split()[0]) > durable
    assert steps(project) == list(range(int(out.split()[-1])))
    superseded = named(project, "supersededFile")
    assert len(superseded) > 16
    assert on_disk(project) <= named(project, "seriesFile")
    assert len(on_disk(project)) < len(superseded)
