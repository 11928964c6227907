"""What squeue, scontrol and sacct of Slurm 22.05.8 printed, and other versions do, as records.

The recorded jobs: 1 failed with 3; 3 an array of three, task 2 failed; 4 a het job of two; 6 killed
by signal 9; 7 requeued once; 8 cancelled; 9 pending; 12 ran out of time; 13 lost its node and has
marks and line ends in its name and comment; 14 suspended.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm import sacct, scontrol, squeue
from slurm.commands import SlurmError

DATA = Path(__file__).parents[1] / "data" / "slurm"
AT_NS = 1795522240 * 10**9
STATES = {
    "1": "FAILED", "2": "FAILED", "3_1": "COMPLETED", "3_2": "FAILED", "3_3": "COMPLETED",
    "4": "COMPLETED", "4+1": "COMPLETED", "6": "FAILED", "7": "COMPLETED", "8": "CANCELLED",
    "9": "PENDING", "12": "TIMEOUT", "13": "NODE_FAIL", "14": "SUSPENDED",
}  # fmt: skip
NAMES = sacct.fields((DATA / "sacct-helpformat-22.05.8.txt").read_text().split())


@pytest.fixture(scope="module")
def queued():
    return {r.job: r for r in squeue.parse((DATA / "squeue-22.05.8.json").read_text(), AT_NS)}


@pytest.fixture(scope="module")
def shown():
    output = (DATA / "scontrol-22.05.8.txt").read_text()
    return {r.job: r for r in scontrol.parse(output, AT_NS, "virt")}


@pytest.fixture(scope="module")
def recorded():
    output = (DATA / "sacct-22.05.8.txt").read_text()
    return {(r.job, r.step, r.restart): r for r in sacct.parse(output, NAMES, AT_NS)}


def test_the_queue_tells_each_job_by_the_name_that_it_prints(queued):
    assert {job: record.state for job, record in queued.items()} == STATES
    assert {record.cluster for record in queued.values()} == {"virt"}


def test_how_a_job_ended(queued):
    ends = {
        job: {name: queued[job].numbers.get(name) for name in ("exit_status", "signal")}
        for job in ("1", "3_1", "6", "9")
    }
    assert ends == {
        "1": {"exit_status": 3, "signal": None},
        "3_1": {"exit_status": 0, "signal": None},
        "6": {"exit_status": None, "signal": 9},
        "9": {"exit_status": None, "signal": None},
    }


def test_what_a_job_asked_for(queued):
    asked = queued["6"]
    assert asked.numbers["requested_gpus"] == 1
    assert asked.numbers["requested_memory_bytes"] == 4000 << 20
    assert queued["1"].numbers["requested_seconds"] == 300
    assert queued["1"].texts["comment"] == "a=b c"
    assert queued["7"].restart == 1


def test_only_what_is_over_has_an_end(queued):
    assert queued["12"].ended_ns is not None
    assert queued["12"].numbers["elapsed_seconds"] == 118
    assert queued["9"].started_ns is queued["9"].ended_ns is None
    assert queued["14"].ended_ns is None
    assert "elapsed_seconds" not in queued["9"].numbers


def test_a_suspended_job_runs_no_time(queued):
    assert queued["14"].numbers["elapsed_seconds"] < 10


def test_both_commands_tell_the_same(queued, shown):
    for job, record in queued.items():
        other = shown[job]
        same = ("state", "restart", "started_ns", "ended_ns", "cluster")
        assert [getattr(record, n) for n in same] == [getattr(other, n) for n in same]
        for name in ("partition", "user", "nodelist", "working_folder", "allocated_tres"):
            assert record.texts.get(name) == other.texts.get(name), (job, name)
        for name in ("exit_status", "signal", "nodes", "tasks", "requested_cpus"):
            assert record.numbers.get(name) == other.numbers.get(name), (job, name)


def test_a_name_may_hold_what_looks_like_keys(shown):
    assert shown["13"].texts["job_name"] == "A B=c Partition=x"
    assert shown["13"].texts["partition"] == "main"
    assert shown["1"].texts["job_name"] == "odd name=x|y"


@given(name=st.text("aZ =_|:()", max_size=30), comment=st.text("bY =_|:()", max_size=30))
def test_free_texts_are_whole(name, comment):
    line = (
        f"JobId=5 JobName={name} UserId=ada(5) GroupId=a(5) MCS_label=N/A JobState=RUNNING "
        f"Reason=None Restarts=2 ExitCode=0:0 RunTime=00:01:00 TimeLimit=UNLIMITED StartTime=17 "
        f"EndTime=Unknown Partition=main NodeList=node1 Command=/a b/c WorkDir=/w x "
        f"Comment={comment} StdErr=/e StdIn=/dev/null"
    )
    found = scontrol.fields(line)
    kept = ("JobName", "Restarts", "Partition", "Command", "WorkDir", "Comment")
    assert [found[key] for key in kept] == [name, "2", "main", "/a b/c", "/w x", comment]


@given(st.text(max_size=300))
def test_no_output_of_scontrol_is_an_error(text):
    scontrol.parse(f"JobId=1 {text}", AT_NS, "")


def test_the_database_has_each_time_that_a_job_ran(recorded):
    assert {key: recorded[key].state for key in recorded if key[0] == "7"} == {
        ("7", "", 0): "REQUEUED", ("7", "batch", 0): "FAILED", ("7", "", 1): "COMPLETED",
        ("7", "batch", 1): "COMPLETED", ("7", "0", 1): "COMPLETED",
    }  # fmt: skip


def test_steps_of_a_het_job_are_the_leaders(recorded):
    steps = {key[:2]: record for key, record in recorded.items() if key[0].startswith("4")}
    assert set(steps) == {
        ("4", ""), ("4", "batch"), ("4", "0"), ("4", "1"), ("4", "2"), ("4+1", ""),
    }  # fmt: skip
    both = steps["4", "2"]
    assert (both.numbers["tasks"], both.numbers["nodes"]) == (3, 2)
    assert both.texts["nodelist"] == "node2,node3"


def test_a_job_has_the_largest_resident_set_of_its_steps(recorded):
    assert recorded["12", "", 0].numbers["max_rss_bytes"] == 11182080
    assert "max_rss_bytes" not in recorded["1", "", 0].numbers


def test_what_a_value_holds_does_not_break_a_row(recorded):
    odd = recorded["13", "", 0]
    assert odd.texts["comment"] == "line one\nReason=none | two"
    assert (odd.texts["job_name"], odd.state) == ("A B=c Partition=x", "NODE_FAIL")


def test_a_step_whose_tasks_died_was_not_cancelled(recorded):
    assert (recorded["12", "0", 0].state, recorded["12", "0", 0].numbers["signal"]) == (
        "FAILED",
        15,
    )
    step = {"JobID": "5.0", "State": "CANCELLED by 0", "ExitCode": "0:15"}
    job = {"JobID": "5", "State": "CANCELLED by 0", "ExitCode": "0:0"}
    assert [r.state for r in sacct.parse(rows(job, step), NAMES, AT_NS)] == ["CANCELLED"] * 2


VALUES = st.text(st.characters(codec="utf-8", exclude_characters=sacct.MARK), max_size=20)


@given(st.lists(st.lists(VALUES, min_size=len(NAMES) - 1, max_size=len(NAMES) - 1), max_size=4))
def test_rows_are_what_was_printed(printed):
    printed = [[f"{n}", *row[1:], str(n)] for n, row in enumerate(printed)]
    names = [*NAMES[: len(NAMES) - 1], NAMES[-1]]
    output = "".join(sacct.MARK.join(row) + "\n" for row in printed)
    assert [list(row.values()) for row in sacct.rows(output, names)] == [
        row[: len(names)] for row in printed
    ]


def rows(*given_rows: dict[str, str]) -> str:
    lines = [sacct.MARK.join({**dict.fromkeys(NAMES, ""), **row}.values()) for row in given_rows]
    return "".join(f"{line}\n" for line in lines)


def test_an_id_that_came_back_with_another_job_begins_anew():
    before = {"JobID": "5", "JobName": "old", "State": "COMPLETED", "Submit": "100", "Start": "101"}
    again = {"JobID": "5", "JobName": "new", "State": "NODE_FAIL", "Submit": "900", "Start": "901"}
    last = {**again, "State": "COMPLETED", "Submit": "950", "Start": "951"}
    found = sacct.parse(rows(before, again, last), NAMES, AT_NS)
    assert [(r.restart, r.state, r.texts["job_name"]) for r in found] == [
        (0, "NODE_FAIL", "new"), (1, "COMPLETED", "new"),
    ]  # fmt: skip


def test_a_version_that_counts_restarts_is_believed():
    names = [*NAMES[:-1], "Restarts", NAMES[-1]]
    row = {**dict.fromkeys(names, ""), "JobID": "5", "State": "COMPLETED", "Restarts": "3"}
    output = sacct.MARK.join(row.values()) + "\n"
    assert [r.restart for r in sacct.parse(output, names, AT_NS)] == [3]


def test_memory_was_of_a_node_or_a_cpu_before_21_08():
    row = {"JobID": "5", "State": "COMPLETED", "ReqMem": "4Gn", "NNodes": "3", "ReqCPUS": "6"}
    of_cpu = {**row, "JobID": "6", "ReqMem": "1Gc"}
    found = [r.numbers["requested_memory_bytes"] >> 30
             for r in sacct.parse(rows(row, of_cpu), NAMES, AT_NS)]  # fmt: skip
    assert found == [12, 6]


def test_a_field_that_a_version_lacks_is_not_asked_for():
    assert "Restarts" not in NAMES
    assert "SubmitLine" in NAMES
    assert "ConsumedEnergyRaw" not in sacct.fields([n for n in NAMES if n != "ConsumedEnergyRaw"])


NEW = {
    "job_id": 4250, "job_state": ["RUNNING", "COMPLETING"], "cluster": "c",
    "array_job_id": {"set": True, "infinite": False, "number": 4242},
    "array_task_id": {"set": True, "infinite": False, "number": 7},
    "restart_cnt": 1, "start_time": {"set": True, "infinite": False, "number": 1795521803},
    "end_time": {"set": True, "infinite": False, "number": 1795521903},
    "time_limit": {"set": False, "infinite": True, "number": 0},
    "exit_code": {"status": ["SIGNALED"], "return_code": {"set": False, "number": 0},
                  "signal": {"id": {"set": True, "infinite": False, "number": 9}}},
    "node_count": {"set": True, "infinite": False, "number": 2},
}  # fmt: skip
"""A job as data_parser v0.0.40 (Slurm 23.11) writes it."""


def test_json_of_newer_versions():
    ended = {**NEW, "job_state": ["FAILED"]}
    running, over = squeue.parse(json.dumps({"jobs": [NEW, ended]}), AT_NS)
    assert (running.job, running.state, running.restart) == ("4242_7", "COMPLETING", 1)
    assert running.ended_ns is None
    assert (over.state, over.numbers["signal"]) == ("FAILED", 9)
    assert "exit_status" not in over.numbers
    assert over.numbers["elapsed_seconds"] == 100
    assert "requested_seconds" not in over.numbers


def test_tasks_of_an_array_that_are_to_come_have_no_record():
    waiting = {"job_id": 3, "array_job_id": 3, "array_task_id": None, "array_task_string": "1-9"}
    assert squeue.parse(json.dumps({"jobs": [{**waiting, "job_state": "PENDING"}]}), AT_NS) == []


@pytest.mark.parametrize("output", ["", "{", "[]", '{"jobs": 3}', '{"jobs": [3]}', "\udcff"])
def test_what_is_no_json_of_jobs_is_said_in_one_line(output):
    with pytest.raises(SlurmError, match="can't be read"):
        squeue.parse(output, AT_NS)
