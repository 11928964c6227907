"""Where a job's tracker goes, and which job of its number a job is."""

from __future__ import annotations

import os

import pytest

from pllib.errors import SettingsError, UnavailableError
from slurm import instances, steps
from slurm.placement import Placement, place

HET = {
    "SLURM_JOB_ID": "7",
    "SLURM_HET_SIZE": "3",
    "SLURM_JOB_NODELIST_HET_GROUP_0": "node[0-1]",
    "SLURM_JOB_NODELIST_HET_GROUP_1": "node2",
    "SLURM_JOB_NODELIST_HET_GROUP_2": "node[3-4]",
    "SLURMD_NODENAME": "node0",
}


def job(nodelist: str, here: str = "node0") -> dict[str, str]:
    return {"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": nodelist, "SLURMD_NODENAME": here}


@pytest.mark.parametrize(
    ("nodelist", "wanted", "node", "compute"),
    [
        ("node[0-3]", "auto", "node0", "node[1-3]"),
        ("node[0-1]", "auto", "node0", "node[0-1]"),
        ("node[0-1]", "dedicated", "node0", "node1"),
        ("node[0-3]", "shared", "node0", "node[0-3]"),
        ("node0", "auto", "node0", "node0"),
    ],
)
def test_three_nodes_or_more_give_one_to_the_tracker(nodelist, wanted, node, compute):
    placement = place(job(nodelist), wanted)
    assert placement.node == node
    assert placement.hints()["SPROV_COMPUTE_NODES"] == compute
    assert placement.hints()["SPROV_COMPUTE_NNODES"] == str(len(placement.compute))


def test_beside_the_ranks_it_is_where_the_script_is_if_that_is_in_the_job():
    assert place(job("node[0-1]", here="node1")).node == "node1"
    assert place(job("node[0-1]", here="login")).node == "node0"


def test_a_het_job_gives_it_the_component_of_one_node():
    compute = ["node0", "node1", "node3", "node4"]
    assert place(HET) == Placement("node2", compute, 1, (0, 2))
    assert place(HET, het_group=2) == Placement("node3", ["node0", "node1", "node2"], 2, (0, 1))
    assert place(HET, "shared").node == "node0"
    assert place(HET).hints()["SPROV_COMPUTE_HET_GROUPS"] == "0,2"


@pytest.mark.parametrize(
    ("environ", "arguments", "error", "says"),
    [
        ({}, {}, UnavailableError, "no Slurm job"),
        ({"SLURM_JOB_ID": "7"}, {}, UnavailableError, "which nodes"),
        (job("node0"), {"wanted": "dedicated"}, SettingsError, "none to spare"),
        (HET, {"het_group": 3}, SettingsError, "no component 3"),
        (job("node0"), {"het_group": 1}, SettingsError, "no component 1"),
    ],
)
def test_what_can_not_be_is_said(environ, arguments, error, says):
    with pytest.raises(error, match=says):
        place(environ, **arguments)


def test_our_steps_have_no_options_of_the_jobs():
    environ = {**HET, "SLURM_NTASKS": "8", "SLURM_MEM_PER_CPU": "4G", "SLURM_GPUS": "4", "A": "b"}
    kept = steps.environment(environ)
    assert kept["A"] == "b"
    assert kept["SLURM_JOB_NODELIST_HET_GROUP_1"] == "node2"
    assert not {"SLURM_NTASKS", "SLURM_MEM_PER_CPU", "SLURM_GPUS"} & set(kept)


def test_a_job_number_that_came_back_is_another_job(tmp_path):
    def begin(pid: int | str, restart: int | None = None) -> int:
        environ = {"SLURM_TASK_PID": str(pid)}
        if restart is not None:
            environ["SLURM_RESTART_COUNT"] = str(restart)
        return instances.note(tmp_path / "7", environ).nth

    script, other = os.getpid(), os.getppid()
    assert begin(script) == 1
    assert begin(script) == 1
    assert begin(other, restart=1) == 1  # a requeue
    assert begin(other) == 2
    assert begin(script, restart=1) == 2
    assert instances.read(tmp_path / "7") == instances.Instance(
        2, 1, str(instances.batch_process({"SLURM_TASK_PID": str(script)}))
    )


def test_a_note_that_can_not_be_read_is_no_obstacle(tmp_path):
    (tmp_path / "job.json").write_text("{")
    assert instances.note(tmp_path, {}).nth == 1
