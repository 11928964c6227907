"""What the accounting database holds of jobs and their steps: ``sacct -P`` as plain records.

``-P`` has had one form through all versions, which ``--json`` has not.  A row is what is between
two marks that no value holds, since a job's name may hold ``|`` and a comment a line's end.

A job that was requeued has a row for each time it ran (``--duplicates``), and before 24.05 none
says which: the rows are in order, and an id that came back with another job begins anew.

Source: sacct(1); Slurm 22.05.8.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec

from pllib.records import FINAL_STATES, Accounted

from .units import (
    exit_code,
    exit_numbers,
    gpus,
    moment_ns,
    resources,
    size_bytes,
    size_per,
    span_seconds,
    text,
    whole,
    word,
)

MARK = "\x1f"
FIELDS = (
    "JobID", "Cluster", "State", "ExitCode", "Submit", "Start", "End", "ElapsedRaw", "TotalCPU",
    "MaxRSS", "ConsumedEnergyRaw", "NNodes", "NTasks", "ReqCPUS", "ReqMem", "ReqTRES", "AllocTRES",
    "TimelimitRaw", "Restarts", "Partition", "Account", "QOS", "User", "NodeList", "Reason",
    "WorkDir", "Comment", "SubmitLine", "JobName", "JobIDRaw",
)  # fmt: skip
"""The last one is never text, so that the end of a row is a line's end after it."""
_TEXTS = {
    "partition": "Partition", "account": "Account", "qos": "QOS", "user": "User",
    "job_name": "JobName", "nodelist": "NodeList", "reason": "Reason", "comment": "Comment",
    "requested_tres": "ReqTRES", "allocated_tres": "AllocTRES", "working_folder": "WorkDir",
    "submit_line": "SubmitLine",
}  # fmt: skip
_AGAIN = {"REQUEUED", "PREEMPTED", "NODE_FAIL", "BOOT_FAIL", "SPECIAL_EXIT"}
"""After these a row of the same id is the same job, run again."""

Row = dict[str, str]


def arguments(jobs: Iterable[str], known: Collection[str]) -> list[str]:
    """Return sacct's arguments for jobs.

    Args:
        known: Fields that this version has, as ``sacct --helpformat`` prints them.
    """
    return [
        "-P", "-n", "-D", "-a", "--noconvert", f"--delimiter={MARK}",
        f"--format={','.join(fields(known))}", f"--jobs={','.join(jobs)}",
    ]  # fmt: skip


def fields(known: Collection[str]) -> list[str]:
    """Return the fields to ask for: a version that lacks one refuses the whole call."""
    names = {name.lower() for name in known}
    return [name for name in FIELDS if name.lower() in names]


def rows(output: str, names: list[str]) -> list[Row]:
    """Return the rows of an output by the names of their fields."""
    found: list[Row] = []
    pending = ""
    for line in output.split("\n"):
        pending += line
        values = pending.split(MARK)
        if len(values) < len(names):
            pending += "\n"
        else:
            found.append(dict(zip(names, values, strict=False)))
            pending = ""
    return found


def parse(output: str, names: list[str], at_ns: int) -> list[Accounted]:
    """Return a record for each job and each of its steps, in every restart that is known.

    A step over several components of a het job is one record, of the leader.
    """
    found: dict[tuple[str, str, int], Accounted] = {}
    blank = dict.fromkeys(FIELDS, "")
    for job, restart, parts in _attempts([{**blank, **row} for row in rows(output, names)]):
        whole_job, steps = _record(job, restart, at_ns), [_record(s, restart, at_ns) for s in parts]
        for record in [_with_peaks(whole_job, steps), *steps]:
            key = record.job, record.step, restart
            found[key] = _merged(found[key], record) if key in found else record
    return list(found.values())


def _attempts(found: list[Row]) -> list[tuple[Row, int, list[Row]]]:
    """Group rows to a job's row, its restart and its steps' rows; the last of each id's jobs."""
    jobs: dict[str, list[tuple[Row, list[Row]]]] = {}
    latest: list[Row] = []
    for row in found:
        if "." not in row["JobID"]:
            latest = []
            jobs.setdefault(row["JobID"], []).append((row, latest))
        else:
            latest.append(row)
    grouped = []
    for name, runs in jobs.items():
        if "[" not in name:  # an array's tasks to come
            grouped += _numbered(runs)
    return grouped


def _numbered(runs: list[tuple[Row, list[Row]]]) -> list[tuple[Row, int, list[Row]]]:
    """Number the times that a job ran; a resized one has a row for each size, and ran once."""
    runs = [run for run in runs if word(run[0]["State"]) != "RESIZING"]
    runs.sort(key=lambda run: (moment_ns(run[0]["Submit"]) or 0, moment_ns(run[0]["Start"]) or 0))
    first = 0
    for n in range(1, len(runs)):
        if not _goes_on(runs[n - 1][0], runs[n][0]):
            first = n
    kept = runs[first:]
    return [
        (job, said if (said := whole(job["Restarts"])) is not None else n, steps)
        for n, (job, steps) in enumerate(kept)
    ]


def _goes_on(before: Row, after: Row) -> bool:
    same = all(before.get(name) == after.get(name) for name in ("JobName", "User", "WorkDir"))
    return same or word(before["State"]) in _AGAIN


def _name(job_id: str) -> tuple[str, str]:
    """Return job and step of 4242_7.batch; of a het job's, 4+1.2, the step is the leader's."""
    job, _, step = job_id.partition(".")
    leader, plus, offset = job.partition("+")
    if plus and (step or offset == "0"):
        return leader, step
    return job, step


def _record(row: Row, restart: int, at_ns: int) -> Accounted:
    job, step = _name(row["JobID"])
    state = word(row["State"])
    if step and row["State"].strip() == "CANCELLED":
        # Its tasks died of a signal; of what was cancelled 22.05.8 says "CANCELLED by UID".
        state = "FAILED"
    final = state in FINAL_STATES
    numbers = _requested(row)
    if state != "PENDING":
        numbers |= _used(row)
    if final:
        numbers |= exit_numbers(exit_code(row["ExitCode"]), state)
    return Accounted(
        0, row["Cluster"], job, step, restart, "sacct", state, at_ns, moment_ns(row["Start"]),
        moment_ns(row["End"]), numbers,
        {name: found for name, key in _TEXTS.items() if (found := text(row[key]))},
    )  # fmt: skip


def _requested(row: Row) -> dict[str, float]:
    asked = resources(row["ReqTRES"])
    minutes = whole(row["TimelimitRaw"])
    found = {
        "nodes": whole(row["NNodes"]),
        "tasks": whole(row["NTasks"]),
        "requested_cpus": whole(asked.get("cpu")) or whole(row["ReqCPUS"]),
        "requested_memory_bytes": _requested_memory(row, asked),
        "requested_gpus": gpus(asked),
        "requested_seconds": minutes and minutes * 60,
    }
    return {name: number for name, number in found.items() if number is not None}


def _requested_memory(row: Row, asked: dict[str, str]) -> int | None:
    """Return bytes of the whole job: before 21.08 ReqMem is of a node or a CPU."""
    if "mem" in asked:
        return size_bytes(asked["mem"], "M")
    size = size_bytes(row["ReqMem"], "M")
    count = {"n": row["NNodes"], "c": row["ReqCPUS"]}.get(size_per(row["ReqMem"]), "1")
    return size * (whole(count) or 1) if size else None


def _used(row: Row) -> dict[str, float]:
    found = {
        "elapsed_seconds": whole(row["ElapsedRaw"]),
        "cpu_seconds": span_seconds(row["TotalCPU"]),
        "max_rss_bytes": size_bytes(row["MaxRSS"]) or None,
        "consumed_energy_joules": whole(row["ConsumedEnergyRaw"]) or None,
    }
    return {name: number for name, number in found.items() if number is not None}


def _with_peaks(job: Accounted, steps: list[Accounted]) -> Accounted:
    """Give a job the largest resident set of its steps, as the database has it of those alone."""
    peaks = [s.numbers["max_rss_bytes"] for s in steps if "max_rss_bytes" in s.numbers]
    if not peaks:
        return job
    return msgspec.structs.replace(job, numbers={**job.numbers, "max_rss_bytes": max(peaks)})


_SUMS = ("cpu_seconds", "consumed_energy_joules", "nodes", "tasks", "requested_cpus")


def _merged(one: Accounted, other: Accounted) -> Accounted:
    """Return what a step of several components of a het job is: sums, and the worse of the ends."""
    worse, better = (other, one) if one.state == "COMPLETED" else (one, other)
    numbers = {**better.numbers, **worse.numbers}
    for name in better.numbers.keys() & worse.numbers.keys():
        if name in _SUMS:
            numbers[name] = better.numbers[name] + worse.numbers[name]
        elif name not in ("exit_status", "signal"):
            numbers[name] = max(better.numbers[name], worse.numbers[name])
    nodes = [each.texts.get("nodelist", "") for each in (one, other)]
    nodelist = ",".join(dict.fromkeys(name for name in nodes if name))
    texts = {**worse.texts, **({"nodelist": nodelist} if nodelist else {})}
    return msgspec.structs.replace(worse, numbers=numbers, texts=texts)
