"""A requeue of a command is another attempt of its run; equal commands of one job are not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness import MPIRUN, require_mpi

from pllib import launch
from pllib.launches import COMPLETED, Owner, claim, take_turn

JOB = {"SLURM_JOB_ID": "4242", "SLURM_CLUSTER_NAME": "c"}
PROGRAM = """
import functools, json, sys
from pathlib import Path
from pllib import launch, launches
found = launch.find(claim=functools.partial(launches.claim, Path(sys.argv[1])))
sys.stdout.write(json.dumps([found.scope, found.launch, found.restart, found.rank]) + "\\n")
"""


def started(folder: Path, *arguments: str, ranks: int = 0, restart: int = 0, **more: str) -> list:
    """Return what each rank of a program found."""
    command = [sys.executable, "-c", PROGRAM, str(folder), *arguments]
    if ranks:
        command = [str(MPIRUN), "-launcher", "fork", "-n", str(ranks), *command]
    environ = {**os.environ, **JOB, "SLURM_RESTART_COUNT": str(restart), **more}
    done = subprocess.run(command, env=environ, text=True, capture_output=True, check=True)
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def launches_of(found: list) -> set[str]:
    return {name for _, name, _, _ in found}


def test_claims_of_one_command_count_and_an_owner_keeps_its_own(tmp_path):
    numbers = [claim(tmp_path / "4242", "train", 0, owner) for owner in ("a", "b", "a", "c")]
    assert numbers == [0, 1, 0, 2]
    assert claim(tmp_path / "4242", "train", 1, "d") == 0
    assert claim(tmp_path / "4242", "test", 0, "e") == 0


def test_claims_that_come_at_once_differ(tmp_path):
    with ThreadPoolExecutor(16) as pool:
        numbers = list(pool.map(lambda n: claim(tmp_path, "train", 0, str(n)), range(64)))
    assert sorted(numbers) == list(range(64))  # type: ignore[type-var]


def test_where_no_claim_can_be_made_there_is_none(tmp_path):
    (tmp_path / "file").touch()
    assert claim(tmp_path / "file" / "4242", "train", 0, "a") is None


def test_a_requeued_command_goes_on_with_its_run_and_equal_commands_keep_apart(tmp_path):
    first = [started(tmp_path, "fit") for _ in range(2)]
    again = [started(tmp_path, "fit", restart=1) for _ in range(2)]
    other = started(tmp_path, "test")
    assert [launches_of(f) for f in first] == [launches_of(f) for f in again]
    assert len(launches_of([*first[0], *first[1], *other])) == 3
    assert {restart for found in again for _, _, restart, _ in found} == {1}


def take(folder: Path, rank: int, name: str, size: int = 4):
    """Take a turn as a process of another boot, which nobody can see to have ended."""
    return take_turn(folder, "train-0", rank, size, Owner("n", name, 1, 0.0))


def test_each_rank_counts_its_own_processes(tmp_path):
    for _ in range(2):  # who asks again has the turn that it had
        first = [take(tmp_path, rank, f"first {rank}".replace(" ", "-")) for rank in range(4)]
        assert [turn.nth for turn in first] == [0] * 4
    assert [take(tmp_path, rank, f"second-{rank}").nth for rank in range(4)] == [1] * 4


def test_a_rank_that_crashed_before_it_opened_joins_the_others_second_try(tmp_path):
    for name in ("first", "second"):
        for rank in range(3):
            take(tmp_path, rank, f"{name}-{rank}")
    assert take(tmp_path, 3, "second-3").nth == 1
    assert [take(tmp_path, rank, f"third-{rank}").nth for rank in range(4)] == [2] * 4


def test_a_rank_that_is_slow_keeps_its_count_where_the_others_completed(tmp_path):
    for rank in range(3):
        take(tmp_path, rank, f"first-{rank}")
        with (tmp_path / f"train-0-rank{rank}-0").open("a") as file:
            file.write(f"\n{COMPLETED}")
        take(tmp_path, rank, f"second-{rank}")
    assert [take(tmp_path, 3, name).nth for name in ("first-3", "second-3")] == [0, 1]


def test_a_rank_that_somebody_else_has_is_told_and_one_that_ended_is_not(tmp_path):
    mine = launch.process()
    living = Owner("here", mine.boot_id, mine.pid, mine.started)
    ended = Owner("here", mine.boot_id, mine.pid, mine.started - 1)
    another = Owner("here", mine.boot_id, 1, 0.0)
    take_turn(tmp_path, "a", 0, 2, living)
    assert take_turn(tmp_path, "a", 0, 2, another) == (1, f"process {mine.pid} on here")
    take_turn(tmp_path, "b", 0, 2, ended)
    assert take_turn(tmp_path, "b", 0, 2, another) == (1, "")


def test_ranks_under_mpirun_share_a_claim_that_a_requeue_has_again(tmp_path):
    require_mpi()
    first, second = (started(tmp_path, "fit", ranks=3) for _ in range(2))
    again = started(tmp_path, "fit", ranks=3, restart=1)
    assert sorted(rank for _, _, _, rank in first) == [0, 1, 2]
    assert len(launches_of(first)) == len(launches_of(second)) == 1
    assert launches_of(first) == launches_of(again) != launches_of(second)


def test_an_id_that_the_user_gave_torchrun_names_the_launch_and_one_that_it_made_does_not():
    def claim(command: str, restart: int, owner: str) -> int:
        return 0

    ranks = {**JOB, "RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1"}
    given = launch.find({**ranks, "TORCHELASTIC_RUN_ID": "4242"}, claim)
    assert given.launch == "TORCHELASTIC_RUN_ID:4242"
    made = "c0ffee00-0000-4000-8000-00000000cafe"
    alone = launch.find({**ranks, "TORCHELASTIC_RUN_ID": made}, claim)
    assert alone.launch.startswith("command:")


def test_a_job_number_that_came_back_is_of_another_cluster():
    again = launch.find({**JOB, "SPROV_JOB_NTH": "2"})
    assert again.scope == "c~2/4242" != launch.find(JOB).scope
    assert again.facts["cluster"] == "c~2"
