"""What the controller knows of jobs: ``squeue --json`` as plain records.

Source: squeue(1) 22.05.8 (openapi v0.0.38), where ``-j`` does not select from JSON, and the JSON of
data_parser v0.0.39 to v0.0.43 (23.02 to 25.05).
"""

from __future__ import annotations

from typing import Any

import msgspec

from pllib.records import FINAL_STATES, Accounted

from .commands import SlurmError
from .units import exit_numbers, gpus, moment_ns, resources, size_bytes, text, whole, word

SECOND_NS = 1_000_000_000


class _Job(msgspec.Struct):
    """What is read of a job; the other fields, three in four, are skipped undecoded."""

    job_id: Any = None
    job_state: Any = None
    cluster: Any = None
    array_job_id: Any = None
    array_task_id: Any = None
    array_task_string: Any = None
    het_job_id: Any = None
    het_job_offset: Any = None
    restart_cnt: Any = None
    exit_code: Any = None
    start_time: Any = None
    end_time: Any = None
    time_limit: Any = None
    suspend_time: Any = None
    pre_sus_time: Any = None
    nodes: Any = None
    node_count: Any = None
    tasks: Any = None
    cpus: Any = None
    tres_req_str: Any = None
    tres_alloc_str: Any = None
    partition: Any = None
    account: Any = None
    qos: Any = None
    user_name: Any = None
    name: Any = None
    state_reason: Any = None
    comment: Any = None
    current_working_directory: Any = None
    command: Any = None
    dependency: Any = None


class _Queue(msgspec.Struct):
    jobs: list[_Job] = []


_TEXTS = {
    "partition": "partition", "account": "account", "qos": "qos", "user": "user_name",
    "job_name": "name", "nodelist": "nodes", "reason": "state_reason", "comment": "comment",
    "requested_tres": "tres_req_str", "allocated_tres": "tres_alloc_str",
    "working_folder": "current_working_directory", "command": "command",
    "dependency": "dependency",
}  # fmt: skip
_decode = msgspec.json.Decoder(_Queue).decode


def parse(output: str, at_ns: int, cluster: str = "") -> list[Accounted]:
    """Return a record for each job and array task; an array's tasks to come are left out.

    Args:
        at_ns: When Slurm was asked, nanoseconds since 1970.
        cluster: Its name where the output has none.

    Raises:
        SlurmError: It is no such JSON.
    """
    try:
        jobs = _decode(output).jobs
    except (msgspec.DecodeError, UnicodeError) as exc:
        raise SlurmError(f"squeue --json printed what can't be read: {exc}") from None
    return [_record(job, at_ns, cluster) for job in jobs if _name(job)]


def _name(job: _Job) -> str:
    """Return the job as squeue prints it; a later component of a het job as 4242+1."""
    array, task = whole(job.array_job_id), whole(job.array_task_id)
    if array:
        return "" if task is None else f"{array}_{task}"
    leader, offset = whole(job.het_job_id), whole(job.het_job_offset)
    if leader:
        return f"{leader}+{offset}" if offset else str(leader)
    job_id = whole(job.job_id)
    return "" if job_id is None else str(job_id)


def _record(job: _Job, at_ns: int, cluster: str) -> Accounted:
    state = word(job.job_state)
    final = state in FINAL_STATES
    started = moment_ns(job.start_time) if final or state != "PENDING" else None
    ended = moment_ns(job.end_time) if final else None
    numbers = {
        **_requested(job),
        **(exit_numbers(_exit_code(job.exit_code), state) if final else {}),
    }
    if started is not None and (until := ended or (None if final else at_ns)):
        numbers["elapsed_seconds"] = max(_elapsed_ns(job, state, started, until), 0) / SECOND_NS
    return Accounted(
        0, text(job.cluster) or cluster, _name(job), "", whole(job.restart_cnt) or 0, "squeue",
        state, at_ns, started, ended, numbers,
        {name: found for name, key in _TEXTS.items() if (found := text(getattr(job, key)))},
    )  # fmt: skip


def _elapsed_ns(job: _Job, state: str, started: int, until: int) -> int:
    """Return how long a job ran, without the time that it was suspended for."""
    ran_before, turned = whole(job.pre_sus_time) or 0, moment_ns(job.suspend_time)
    if turned is None:
        return until - started
    return ran_before * SECOND_NS + (0 if state == "SUSPENDED" else until - turned)


def _requested(job: _Job) -> dict[str, float]:
    asked = resources(text(job.tres_req_str))
    minutes = whole(job.time_limit)
    found = {
        "nodes": whole(job.node_count),
        "tasks": whole(job.tasks),
        "requested_cpus": whole(asked.get("cpu")) or whole(job.cpus),
        "requested_memory_bytes": size_bytes(asked.get("mem", ""), "M"),
        "requested_gpus": gpus(asked),
        "requested_seconds": minutes and minutes * 60,
    }
    return {name: number for name, number in found.items() if number is not None}


def _exit_code(value: Any) -> tuple[int, int] | None:
    """Read a wait status, or the object that it became with v0.0.39."""
    if isinstance(value, dict) and "return_code" in value:
        signal = value.get("signal") or {}
        number = signal.get("id", signal.get("signal_id")) if isinstance(signal, dict) else None
        return whole(value["return_code"]) or 0, whole(number) or 0
    status = whole(value)
    return None if status is None else (status >> 8 & 0xFF, status & 0x7F)
