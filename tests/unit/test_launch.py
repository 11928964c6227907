"""Rank, size and run come from the launcher's variables, in the order in which launchers nest."""

from __future__ import annotations

import pytest

from pllib import launch
from pllib.launchers import Ranks

TORCHRUN = {"RANK": "5", "WORLD_SIZE": "8", "TORCHELASTIC_RUN_ID": "rdzv-1"}
PMI = {"PMI_RANK": "3", "PMI_SIZE": "4", "PMI_JOBID": "7.0"}
OPEN_MPI = {
    "OMPI_COMM_WORLD_RANK": "2", "OMPI_COMM_WORLD_SIZE": "6", "PMIX_NAMESPACE": "prterun-1@1",
}  # fmt: skip
DEEPSPEED = {
    "RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "LOCAL_SIZE": "2", "CROSS_RANK": "0",
    "CROSS_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500",
}  # fmt: skip
LIGHTNING = {
    "LOCAL_RANK": "0", "NODE_RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "40000",
}  # fmt: skip
SLURM_JOB = {"SLURM_JOB_ID": "4242", "SLURM_CLUSTER_NAME": "c", "SLURM_PROCID": "0"}
SLURM_STEP = {
    **SLURM_JOB, "SLURM_STEP_ID": "0", "SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2",
}  # fmt: skip


@pytest.mark.parametrize(
    ("environ", "rank", "size"),
    [
        ({}, 0, 1),
        (SLURM_JOB, 0, 1),
        (SLURM_STEP, 1, 2),
        (OPEN_MPI, 2, 6),
        (PMI, 3, 4),
        (TORCHRUN, 5, 8),
        ({**SLURM_STEP, **OPEN_MPI, **PMI, **TORCHRUN}, 5, 8),
        ({**SLURM_STEP, **OPEN_MPI, **PMI}, 3, 4),
        ({**SLURM_STEP, **PMI}, 3, 4),
        ({"RANK": "5", "WORLD_SIZE": "8"}, 0, 1),
        ({"PMI_RANK": "x", "PMI_SIZE": "4"}, 0, 1),
        (DEEPSPEED, 1, 2),
        ({**LIGHTNING, "LOCAL_RANK": "1"}, 1, 2),
        ({**LIGHTNING, "NODE_RANK": "1"}, 0, 1),
        ({**LIGHTNING, "RANK": "1"}, 0, 1),
        ({**SLURM_STEP, **DEEPSPEED}, 1, 2),
    ],
)
def test_the_innermost_launcher_tells_rank_and_size(environ, rank, size):
    found = launch.find(environ)
    assert (found.rank, found.size) == (rank, size)


@pytest.mark.parametrize("environ", [SLURM_STEP, PMI, OPEN_MPI, TORCHRUN])
def test_ranks_of_one_launch_agree_and_two_launches_do_not(environ):
    other_rank = {**environ, **{key: "0" for key in environ if key.endswith(("RANK", "PROCID"))}}
    other_launch = {
        **environ,
        "SLURM_STEP_ID": "9",
        **{key: "other" for key in ("PMI_JOBID", "PMIX_NAMESPACE", "TORCHELASTIC_RUN_ID")
           if key in environ},
    }  # fmt: skip
    first, same, another = (launch.find(env) for env in (environ, other_rank, other_launch))
    assert (first.scope, first.launch) == (same.scope, same.launch)
    assert first.launch != another.launch


def test_a_name_that_the_user_gave_comes_first():
    assert launch.find({**SLURM_STEP, "SPROV_RUN": "mine"}).launch == "named:mine"


def test_a_launcher_id_of_none_is_no_id():
    environ = {"RANK": "0", "WORLD_SIZE": "1", "TORCHELASTIC_RUN_ID": "none"}
    assert "process:" in launch.find(environ).launch


def test_ranks_with_nothing_in_common_are_runs_of_their_own_and_say_why():
    found = launch.find({"PMI_RANK": "3", "PMI_SIZE": "4", "MPI_LOCALNRANKS": "2"})
    assert (found.rank, found.size, found.launch) == (3, 4, f"process:{launch.process()}")
    assert (
        found.alone
        == found.facts["alone"]
        == ("the launcher (mpirun of MPICH) gives its 4 ranks nothing in common")
    )


def test_an_array_task_is_named_as_squeue_names_it():
    environ = {**SLURM_JOB, "SLURM_ARRAY_JOB_ID": "4240", "SLURM_ARRAY_TASK_ID": "7"}
    assert launch.find(environ).scope == "c/4240_7"


def test_a_requeued_job_is_another_attempt():
    assert launch.find({**SLURM_STEP, "SLURM_RESTART_COUNT": "2"}).restart == 2


@pytest.mark.parametrize(
    ("of_job", "of_workers", "most", "restart"),
    [("", "", "", 0), ("2", "", "", 2), ("2", "0", "0", 2), ("0", "1", "3", 1), ("1", "2", "3", 6)],
)
def test_restarts_of_the_job_and_of_torchrun_are_attempts_of_their_own(
    of_job, of_workers, most, restart
):
    environ = {
        "SLURM_JOB_ID": "1",
        "SLURM_RESTART_COUNT": of_job,
        "TORCHELASTIC_RESTART_COUNT": of_workers,
        "TORCHELASTIC_MAX_RESTARTS": most,
    }
    assert launch.find(environ).restart == restart


ODD = ("", " ", "x", "-1", "1.5", "\N{SUPERSCRIPT TWO}", "9" * 400, "1(x2)", "\udcff")


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("environ", [SLURM_STEP, PMI, OPEN_MPI, TORCHRUN, DEEPSPEED, LIGHTNING])
def test_odd_variables_are_as_none(environ, odd):
    for name in (*environ, "SLURM_RESTART_COUNT", "TORCHELASTIC_MAX_RESTARTS", "LOCAL_WORLD_SIZE"):
        found = launch.find({**environ, name: odd})
        assert 0 <= found.rank < found.size
        assert found.restart == 0
        assert found.launch.encode()


@pytest.mark.parametrize(
    ("more", "launched"),
    [
        ({"TORCHELASTIC_RUN_ID": "given"}, "step:0/TORCHELASTIC_RUN_ID:given"),
        ({"TORCHELASTIC_RUN_ID": "none"}, "step:0"),
        ({"TORCHELASTIC_RUN_ID": "none", "LOCAL_WORLD_SIZE": "8"}, "step:0/task:1"),
    ],
)
def test_torchrun_in_a_step_is_one_over_its_tasks_or_one_in_each(more, launched):
    assert launch.find({**SLURM_STEP, **TORCHRUN, **more}).launch == launched


def test_a_program_may_say_its_rank():
    found = launch.find(SLURM_STEP, given=Ranks(3, 4))
    assert (found.rank, found.size, found.launch) == (3, 4, "step:0")
    first, second = (launch.find({}, given=Ranks(rank, 2)) for rank in range(2))
    assert first.launch == second.launch != launch.find({}).launch
