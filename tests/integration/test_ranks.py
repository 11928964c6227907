"""Which run and rank a process is: under launchers, or with the variables that they set."""

from __future__ import annotations

import json
import shlex
import socket
import subprocess
import sys
from collections import Counter
from typing import NamedTuple

import pytest
from harness import MPIRUN, PROGRAMS, SCRIPT, TIMEOUT_S, Site, lack

RANKS = f"{shlex.quote(sys.executable)} {shlex.quote(str(PROGRAMS / 'ranks.py'))}"
TORCHRUN = f"{shlex.quote(sys.executable)} -m torch.distributed.run --standalone"


class Opened(NamedTuple):
    study: str
    run: str
    rank: int
    size: int


def opened(output: str) -> list[Opened]:
    return [Opened(*json.loads(line)) for line in output.splitlines() if line.startswith("[")]


def shell(site: Site, script: str, **extra: str) -> list[Opened]:
    """Run a script; return the sessions that its programs opened."""
    done = subprocess.run(
        ["bash", "-c", script], cwd=site.folder, env=site.environment(**extra), text=True,
        capture_output=True, timeout=TIMEOUT_S, check=True,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return opened(done.stdout)


def step(site: Site, script: str, tasks: int, restart: int = 0, step: int = 0) -> list[Opened]:
    """Run a script as the tasks of a job step, with srun's variables."""
    common = {
        "SLURM_JOB_ID": "7", "SLURM_CLUSTER_NAME": "c", "SLURM_STEP_ID": str(step),
        "SLURM_STEP_NUM_TASKS": str(tasks), "SLURM_NTASKS": str(tasks), "SLURMD_NODENAME": "n0",
        "SLURM_RESTART_COUNT": str(restart),
    }  # fmt: skip
    started = [
        subprocess.Popen(
            ["bash", "-c", script], cwd=site.folder, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=site.environment(**common, SLURM_PROCID=str(rank)),
        )
        for rank in range(tasks)
    ]  # fmt: skip
    found = []
    for task in started:
        output, errors = task.communicate(timeout=TIMEOUT_S)
        assert task.returncode == 0, errors
        found += opened(output)
    return found


def ranks_of_runs(found: list[Opened]) -> Counter[tuple[str, tuple[int, ...]]]:
    """Return how many runs of each study there are with which ranks."""
    runs: dict[tuple[str, str], list[int]] = {}
    for each in found:
        runs.setdefault((each.study, each.run), []).append(each.rank)
    return Counter((study, tuple(sorted(ranks))) for (study, _), ranks in runs.items())


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def needs_torch() -> None:
    try:
        import torch  # noqa: F401
    except ImportError:
        lack("the lifecycle extra is not installed")


def test_what_rank_0_opened_before_changes_nothing(site: Site):
    found = step(site, f"{RANKS} --rank0 prep train", 3)
    assert ranks_of_runs(found) == {("prep", (0,)): 1, ("train", (0, 1, 2)): 1}


def test_an_open_that_failed_changes_nothing(site: Site):
    found = step(site, f"{RANKS} --fail-first train", 2)
    assert ranks_of_runs(found) == {("train", (0, 1)): 1}


def test_sessions_of_one_description_are_runs_each_of_all_ranks(site: Site):
    found = step(site, f"{RANKS} fold fold", 2)
    assert ranks_of_runs(found) == {("fold", (0, 1)): 2}


def test_programs_one_after_the_other_are_runs_of_all_ranks(site: Site):
    found = step(site, f"{RANKS} prep; {RANKS} train", 2)
    assert ranks_of_runs(found) == {("prep", (0, 1)): 1, ("train", (0, 1)): 1}
    twice = step(site, f"{RANKS} train; {RANKS} train", 2, step=1)
    assert ranks_of_runs(twice) == {("train", (0, 1)): 2}


def test_a_program_of_rank_0_alone_does_not_part_the_next(site: Site):
    script = f"[ $SLURM_PROCID = 0 ] && cp {PROGRAMS}/ranks.py prep.py && "
    script += f"{sys.executable} prep.py same; {RANKS} same"
    assert ranks_of_runs(step(site, script, 4)) == {("same", (0,)): 1, ("same", (0, 1, 2, 3)): 1}


def test_a_second_try_is_another_run_the_same_on_all_ranks(site: Site):
    found = step(site, f"{RANKS} --crash train 2>/dev/null || {RANKS} train", 3)
    assert ranks_of_runs(found) == {("train", (0, 1, 2)): 2}


def test_a_requeue_goes_on_with_the_runs_of_all_ranks(site: Site):
    script = f"{RANKS} --rank0 prep train; {RANKS} test"
    first = step(site, script, 2)
    again = step(site, script, 2, restart=1)
    assert {each.run for each in first} == {each.run for each in again}
    assert len({each.run for each in first}) == 3


def test_two_programs_in_a_shell_of_one_task_are_two_runs(site: Site):
    environ = {
        "SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "4",
        "SLURM_PROCID": "0", "SLURM_PTY_PORT": "1",
    }  # fmt: skip
    found = shell(site, f"{RANKS} train; {RANKS} train", **environ)
    assert ranks_of_runs(found) == {("train", (0,)): 2}


@pytest.mark.parametrize("pool", ["--pool 2", "joblib"])
def test_workers_of_a_pool_are_no_ranks(site: Site, pool: str):
    if pool == "joblib":
        (site.folder / "trials.py").write_text(
            f"import sys; sys.path.insert(0, {str(PROGRAMS)!r})\n"
            "from joblib import Parallel, delayed\nfrom ranks import show\n"
            "Parallel(n_jobs=2)(delayed(show)(study) for study in sys.argv[1:])\n"
        )
        program = f"{sys.executable} trials.py"
    else:
        program = f"{RANKS} {pool}"
    found = step(site, f"{program} t1 t2 t2 t3", 2)
    assert len({each.run for each in found}) == len(found) == 8
    assert {(each.rank, each.size) for each in found} == {(0, 1)}


def test_ranks_of_deepspeed_are_one_run(site: Site):
    common = "WORLD_SIZE=2 LOCAL_SIZE=2 CROSS_RANK=0 CROSS_SIZE=1 MASTER_PORT=29500"
    launch = f"for r in 0 1; do RANK=$r LOCAL_RANK=$r {common} {RANKS} train & done; wait"
    found = shell(site, f"{launch}; {launch}")
    assert ranks_of_runs(found) == {("train", (0, 1)): 2}


@pytest.mark.parametrize("job", [{}, {"SLURM_JOB_ID": "9"}])
def test_ranks_of_lightning_are_one_run(site: Site, job: dict[str, str]):
    found = shell(site, f"{RANKS} --lightning 3 train; {RANKS} --lightning 3 train", **job)
    assert ranks_of_runs(found) == {("train", (0, 1, 2)): 2}


@pytest.mark.parametrize("wrapper", ["", f"{SCRIPT} run -- "])
def test_torchrun_in_each_task_is_a_launch_each(site: Site, wrapper: str):
    needs_torch()
    found = step(site, f"{wrapper}{TORCHRUN} --nproc-per-node 2 {PROGRAMS}/ranks.py train", 2)
    assert ranks_of_runs(found) == {("train", (0, 1)): 2}


@pytest.mark.parametrize("tasks", [0, 1, 2])
@pytest.mark.parametrize("how", ["torch", "given"])
def test_spawned_ranks_are_those_of_their_process_group(site: Site, tasks: int, how: str):
    needs_torch()
    options = {"torch": "--fork" * (tasks > 0), "given": "--given"}  # PyTorch takes long to load
    script = f"{RANKS} --spawn 2 --torch {free_port()} {options[how]} train"
    found = step(site, script, tasks) if tasks else shell(site, script)
    ranks = tuple(range(2 * max(tasks, 1)))
    assert ranks_of_runs(found) == {("train", ranks): 1}
    assert {each.size for each in found} == {len(ranks)}


def test_ranks_that_are_known_only_after_open_are_runs_each_and_say_so(site: Site):
    needs_torch()
    command = [sys.executable, str(PROGRAMS / "ranks.py"), "--spawn", "2", "--late", "--torch"]
    done = subprocess.run(
        [*command, str(free_port())], cwd=site.folder, env=site.environment(), text=True,
        capture_output=True, timeout=TIMEOUT_S, check=True,
    )  # fmt: skip
    assert done.stderr.count("was initialised after `open`") == 1
    site.sprov("ingest")
    rows = json.loads(site.sprov("runs", "--format", "json"))
    assert [(row["ranks"], row["state"]) for row in rows] == [(1, "completed")] * 2
    shown = [site.sprov("show", row["run"]) for row in rows]
    for rank in range(2):
        assert sum(f"rank {rank} of 2 was initialised after" in text for text in shown) == 1


def test_process_groups_one_after_the_other_at_one_port_are_runs_each(site: Site):
    needs_torch()
    script = f"{RANKS} --spawn 2 --fork --torch {free_port()} train"
    for job in ({}, {"SLURM_JOB_ID": "8"}):
        found = shell(site, f"{script}; {script}", **job)
        assert ranks_of_runs(found) == {("train", (0, 1)): 2}


def test_spawned_workers_that_tell_no_rank_are_runs_each(site: Site):
    found = shell(site, f"{RANKS} --pool 2 train train")
    assert ranks_of_runs(found) == {("train", (0,)): 2}


@pytest.mark.parametrize("given", [{"rank": 2, "size": 2}, {"rank": 0}, {"rank": "0", "size": 1}])
def test_a_rank_that_can_not_be_is_refused(site: Site, given: dict[str, object]):
    program = f"import pllib; pllib.open(**{given!r})"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=site.folder, env=site.environment(), text=True,
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "0 <= rank < size" in done.stderr


def test_one_rank_of_four_that_opens_a_session_is_what_is_seen(site: Site):
    step(site, f"[ $SLURM_PROCID != 0 ] || {RANKS} train", 4)
    site.sprov("ingest")
    (row,) = json.loads(site.sprov("runs", "--format", "json"))
    assert (row["state"], row["ranks"], row["ranks_seen"]) == ("completed", 4, 1)
    assert "1 of 4" in site.sprov("runs")
    assert "1 of 4 seen; Slurm not asked yet of the others" in site.sprov("show", "@last")
    for question in ("unfinished", "running", "failed-attempts"):
        assert json.loads(site.sprov("ask", question, "--format", "json")) == [], question


def test_two_processes_of_one_rank_are_told(site: Site):
    (site.folder / "program.py").write_text(
        "import pllib, subprocess, sys\n"
        "with pllib.open(study='s', rank=0, size=2, mode='offline') as session:\n"
        "    session.metric('loss', float(len(sys.argv)), step=0)\n"
        "    if len(sys.argv) == 1:\n"
        "        subprocess.run([sys.executable, *sys.argv, 'second'], check=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=site.folder, text=True, capture_output=True, check=True,
        env=site.environment(SPROV_RUN="both"),
    )  # fmt: skip
    assert "has rank 0 of 2 too" in done.stderr
    site.sprov("ingest")
    rivals = json.loads(site.sprov("show", "@last", "--format", "json"))["rivals"]
    assert [(row["restart"], row["rank"]) for row in rivals] == [(0, 0)] * 2
    assert len({row["pid"] for row in rivals}) == 2
    assert "same rank twice" in site.sprov("show", "@last")
    assert "1.5" not in site.sprov("metrics", "@last", "loss")


@pytest.mark.skipif(not MPIRUN.exists(), reason="the mpi extra is not installed")
def test_what_sprov_run_wraps_is_of_its_run(site: Site):
    """The first command below the wrapper; what it starts after that has runs of its own."""
    script = f"{MPIRUN} -n 2 {RANKS} train; {RANKS} test"
    (site.folder / "job.sh").write_text(script)
    found = shell(site, f"{SCRIPT} run -- bash job.sh")
    assert ranks_of_runs(found) == {("train", (0, 1)): 1, ("test", (0,)): 1}
    site.sprov("ingest")
    rows = json.loads(site.sprov("runs", "--format", "json"))
    assert len(rows) == 2
    train = next(each.run for each in found if each.study == "train")
    shown = json.loads(site.sprov("show", train, "--format", "json"))
    assert "job.sh" in shown["facts"]["command"]
    assert shown["rivals"] == []


def test_a_wrapper_around_wrappers_has_one_run_with_them(site: Site):
    needs_torch()
    inner = f"{SCRIPT} run -- {TORCHRUN} --nproc-per-node 2 {PROGRAMS}/ranks.py train"
    (site.folder / "job.sh").write_text(inner)
    found = shell(site, f"{SCRIPT} run -- bash job.sh", SLURM_JOB_ID="11", OMP_NUM_THREADS="1")
    assert ranks_of_runs(found) == {("train", (0, 1)): 1}
    site.sprov("ingest")
    (row,) = json.loads(site.sprov("runs", "--format", "json"))
    assert (row["ranks"], row["state"], row["study"]) == (2, "completed", "train")
    assert row["run"].endswith(found[0].run)
