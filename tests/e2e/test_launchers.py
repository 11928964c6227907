"""`sprov run` above and below launchers that know nothing of it: ranks find each other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from harness import MPIRUN, SCRIPT, TIMEOUT_S, Site, require_module

RUN = (SCRIPT, "run", "--")
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
OF_MPI = """
from mpi4py import MPI
world = MPI.COMM_WORLD
total = world.allreduce(world.rank + 1)
open(f"rank.{world.rank}", "w").write(f"{world.size} {total}")
"""
OF_TORCH = """
import torch
import torch.distributed as dist
dist.init_process_group("gloo")
total = torch.tensor([dist.get_rank() + 1])
dist.all_reduce(total)
with open(f"rank.{dist.get_rank()}", "w") as file:
    file.write(f"{dist.get_world_size()} {total.item()}")
dist.destroy_process_group()
"""


def check(site: Site, command: list[str], ranks: int, runs: int) -> None:
    environ = site.environment(OMP_NUM_THREADS="1")
    done = subprocess.run(
        command, cwd=site.folder, env=environ, capture_output=True, text=True, check=False,
        timeout=TIMEOUT_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = {path.read_text() for path in site.folder.glob("rank.*")}
    assert said == {f"{ranks} {sum(range(1, ranks + 1))}"}
    site.sprov("ingest")
    assert site.count("?run a provml:LearningExperimentExecution") == 1
    assert site.count('?a a provml:WorkflowExecution ; sprov:outcome "completed"') == runs
    rows = site.select("SELECT DISTINCT ?path { ?f prov:wasGeneratedBy ?a ; sprov:path ?path }")
    written = {Path(row["path"]).name for row in rows}
    assert {f"rank.{rank}" for rank in range(ranks)} <= written


def test_each_rank_of_mpirun(site: Site):
    (site.folder / "program.py").write_text(OF_MPI)
    check(site, [str(MPIRUN), "-n", "3", *RUN, sys.executable, "program.py"], ranks=3, runs=3)


@pytest.mark.parametrize("place", ["around", "each worker"])
def test_torchrun(site: Site, place: str):
    require_module("torch", "lifecycle")
    (site.folder / "program.py").write_text(OF_TORCH)
    if place == "around":
        check(site, [*RUN, *TORCHRUN, "program.py"], ranks=2, runs=1)
    else:
        command = [*TORCHRUN, "--no-python", *RUN, sys.executable, "program.py"]
        check(site, command, ranks=2, runs=2)
