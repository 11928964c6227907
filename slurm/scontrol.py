"""What ``scontrol show job -o`` tells, for a Slurm whose `squeue` has no ``--json``.

A line is ``Key=Value`` pairs in an order that is always the same.  Values are not quoted: a job's
name, command, folder and comment may hold spaces and ``=``, so a key is looked for after the one
before it, and a free text ends at the key that follows it.

Source: scontrol(1), and `slurm_sprint_job_info` of 22.05.8; it has no ``--json`` before 23.02.
"""

from __future__ import annotations

import re

from pllib.records import FINAL_STATES, Accounted

from .units import (
    exit_code,
    exit_numbers,
    gpus,
    moment_ns,
    resources,
    size_bytes,
    span_seconds,
    text,
    whole,
    word,
)

_KEYS = (
    "JobId", "ArrayJobId", "ArrayTaskId", "HetJobId", "HetJobOffset", "JobName", "UserId",
    "Account", "QOS", "JobState", "Reason", "Dependency", "Restarts", "ExitCode", "RunTime",
    "TimeLimit", "StartTime", "EndTime", "Partition", "NodeList", "NumNodes", "NumCPUs",
    "NumTasks", "TRES", "ReqTRES", "AllocTRES", "MinMemoryCPU", "MinMemoryNode", "Command",
    "WorkDir", "Comment", "StdErr",
)  # fmt: skip
_FREE = {
    "JobName": ("HetJobIdSet", "UserId"),
    "Command": ("WorkDir",),
    "WorkDir": ("Comment", "StdErr"),
    "Comment": ("StdErr",),
}
"""Free texts, and the keys that they may be followed by."""
_NEXT = re.compile(r" [A-Z][A-Za-z/:&_]*=| ?$")
_TEXTS = {
    "partition": "Partition", "account": "Account", "qos": "QOS", "job_name": "JobName",
    "nodelist": "NodeList", "reason": "Reason", "comment": "Comment", "working_folder": "WorkDir",
    "command": "Command", "dependency": "Dependency",
}  # fmt: skip


def parse(output: str, at_ns: int, cluster: str) -> list[Accounted]:
    """Return a record for each job and array task; an array's tasks to come are left out."""
    jobs = (fields(line) for line in output.splitlines() if line.startswith("JobId="))
    return [_record(job, at_ns, cluster) for job in jobs if _name(job)]


def fields(line: str) -> dict[str, str]:
    """Return the values of a line by the keys that are read."""
    found: dict[str, str] = {}
    line, at = f" {line}", 0
    for key in _KEYS:
        start = line.find(f" {key}=", at)
        if start < 0:
            continue
        at = start + len(key) + 2
        found[key] = line[at : _end(line, at, key)]
    return found


def _end(line: str, at: int, key: str) -> int:
    ends = [line.find(f" {follower}=", at) for follower in _FREE.get(key, ())]
    if known := [end for end in ends if end >= 0]:
        return min(known)
    if key in _FREE:
        return len(line)
    following = _NEXT.search(line, at)
    return following.start() if following else len(line)


def _name(job: dict[str, str]) -> str:
    array, task = job.get("ArrayJobId"), job.get("ArrayTaskId", "")
    if array:
        return f"{array}_{task}" if task.isdigit() else ""
    leader, offset = job.get("HetJobId"), job.get("HetJobOffset", "0")
    if leader:
        return f"{leader}+{offset}" if offset != "0" else leader
    return job.get("JobId", "")


def _record(job: dict[str, str], at_ns: int, cluster: str) -> Accounted:
    state = word(job.get("JobState"))
    final = state in FINAL_STATES
    numbers = {
        **_requested(job),
        **(exit_numbers(exit_code(job.get("ExitCode", "")), state) if final else {}),
    }
    started = moment_ns(job.get("StartTime")) if final or state != "PENDING" else None
    elapsed = span_seconds(job.get("RunTime", ""))
    if started is not None and elapsed is not None:
        numbers["elapsed_seconds"] = elapsed
    texts = {name: found for name, key in _TEXTS.items() if (found := text(job.get(key)))}
    texts |= {
        "user": job.get("UserId", "").partition("(")[0],
        "requested_tres": text(job.get("ReqTRES", None if started else job.get("TRES"))),
        "allocated_tres": text(job.get("AllocTRES", job.get("TRES") if started else None)),
    }
    return Accounted(
        0, cluster, _name(job), "", whole(job.get("Restarts")) or 0, "scontrol", state, at_ns,
        started, moment_ns(job.get("EndTime")) if final else None, numbers,
        {name: found for name, found in texts.items() if found},
    )  # fmt: skip


def _requested(job: dict[str, str]) -> dict[str, float]:
    asked = resources(job.get("ReqTRES", job.get("TRES", "")))
    found = {
        "nodes": _nodes(job),
        "tasks": whole(job.get("NumTasks")),
        "requested_cpus": whole(asked.get("cpu")) or whole(job.get("NumCPUs")),
        "requested_memory_bytes": _requested_memory(job, asked),
        "requested_gpus": gpus(asked),
        "requested_seconds": span_seconds(job.get("TimeLimit", "")),
    }
    return {name: number for name, number in found.items() if number is not None}


def _nodes(job: dict[str, str]) -> int | None:
    return whole(job.get("NumNodes", "").partition("-")[0])


def _requested_memory(job: dict[str, str], asked: dict[str, str]) -> int | None:
    """Return bytes of the whole job; in 22.05 TRES has no memory once it is allocated."""
    if "mem" in asked:
        return size_bytes(asked["mem"], "M")
    for key, count in (("MinMemoryCPU", whole(job.get("NumCPUs"))), ("MinMemoryNode", _nodes(job))):
        if size := size_bytes(job.get(key, ""), "M"):
            return size * (count or 1)
    return None
