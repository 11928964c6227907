"""Jobs of a cluster: what ran in them, what Slurm says of them, and the answers about both."""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Iterator
from typing import Any

from harness import wait_until

from pllib import telling
from pllib.records import Accounted, Outcome

from .asked import Asked, answers
from .study import Between, Study

CLUSTER = "test"
BEGAN_NS = time.time_ns()
GIB = 1 << 30

ACCOUNTS: dict[tuple[str, str, int], tuple[str, dict[str, float]]] = {
    ("5000_1", "", 0): ("COMPLETED", {"elapsed_seconds": 110, "nodes": 1, "requested_cpus": 2,
                                      "requested_memory_bytes": 4 * GIB, "requested_seconds": 600}),
    ("5000_1", "0", 0): ("COMPLETED", {"elapsed_seconds": 100, "nodes": 1, "tasks": 1,
                                       "cpu_seconds": 165, "max_rss_bytes": GIB,
                                       "consumed_energy_joules": 500}),
    ("5000_2", "", 0): ("TIMEOUT", {"elapsed_seconds": 605, "nodes": 2, "signal": 1}),
    ("5000_2", "0", 0): ("CANCELLED", {"elapsed_seconds": 600, "nodes": 2, "signal": 15,
                                       "consumed_energy_joules": 3000}),
    ("6000", "", 0): ("FAILED", {"elapsed_seconds": 60, "nodes": 1, "exit_status": 1}),
    ("6000", "", 1): ("COMPLETED", {"elapsed_seconds": 30, "nodes": 1, "exit_status": 0}),
}  # fmt: skip
"""Job, step and restart → Slurm's word and numbers, as `sacct` has them."""


def run_tasks(study: Study) -> None:
    """Run tasks in what looks like jobs, and tell what became of those that were killed."""
    _task(study, "task1", "5000_1", scores=[0.5, 0.75, 0.25])
    _task(study, "task2", "5000_2", waits=True)
    _task(study, "lost", "6000", waits=True)
    _task(study, "lost", "6000", restart=1, scores=[0.125])
    _task(study, "single", "7000", facts={"mpi_singleton": "1"}, of=study.iri("task1"))
    killed = next(told for told in study.of("lost") if told["restart"] == 0)
    outcome = Outcome(0, killed["log_id"], "killed", BEGAN_NS + 50 * 10**9, signal=9)
    project, endpoint = study.site.project, study.site.endpoint
    telling.tell(project, killed["run"].rpartition("/")[2], [outcome], endpoint=endpoint)
    for job in {job for job, _, _ in ACCOUNTS}:
        records = [_accounted(key) for key in ACCOUNTS if key[0] == job]
        earlier = Accounted(0, CLUSTER, job, "", 0, "squeue", "RUNNING", BEGAN_NS + 10**9)
        run = telling.job_run(CLUSTER, job)
        telling.tell(project, run, [earlier, *records], endpoint=endpoint)


def _accounted(key: tuple[str, str, int]) -> Accounted:
    """Return what Slurm says: it ended just now, when its rank was seen to."""
    (job, step, restart), (state, numbers) = key, ACCOUNTS[key]
    ended_ns = time.time_ns()
    began_ns = ended_ns - int(numbers["elapsed_seconds"]) * 10**9
    asked_ns = ended_ns + 5 * 10**9
    return Accounted(
        0, CLUSTER, job, step, restart, "sacct", state, asked_ns, began_ns, ended_ns, numbers,
        {"job_name": "tasks", "partition": "all"},
    )  # fmt: skip


def _task(
    study: Study, name: str, job: str, restart: int = 0, of: str = "", **options: Any
) -> None:
    array, _, task = job.partition("_")
    environment = {
        "SLURM_JOB_ID": array + task, "SLURM_CLUSTER_NAME": CLUSTER, "SPROV_RUN": name,
        **({"SLURM_ARRAY_JOB_ID": array, "SLURM_ARRAY_TASK_ID": task} if task else {}),
        **({"SLURM_STEP_ID": "0"} if task else {}),
        **({"SLURM_RESTART_COUNT": str(restart)} if restart else {}),
        **({"SPROV_AGAIN_OF": of.rpartition("/")[2], "SPROV_SUBMITTED_JOB": job} if of else {}),
    }  # fmt: skip
    given = json.dumps({"name": name, "restart": restart, **options})
    if not options.get("waits"):
        study.run(name, "catalog_task.py", given, **environment)
        return
    process = study.site.start("catalog_task.py", given, **environment)
    made = f"?f sprov:path ?path FILTER(STRENDS(?path, '/tasks/{name}.pt'))"
    wait_until(lambda: study.site.count(made) > 0)
    process.send_signal(signal.SIGKILL)
    process.communicate()


HERE = {"nodelist": socket.gethostname()}


@answers("job")
def job(study: Study) -> Iterator[Asked]:
    whole = {"name": "5000_2", "restart": 0, "state": "timed_out", "slurm": "TIMEOUT", "runs": 1,
             "ranks": 1, "nodes": 2, "elapsed_seconds": 605.0, "signal": 1}  # fmt: skip
    step = {"name": "5000_2.0", "state": "cancelled", "slurm": "CANCELLED", "runs": 1,
            "signal": 15, **HERE}  # fmt: skip
    yield Asked({"job": "5000_2"}, [whole, step])
    rows = [
        {"restart": 0, "state": "failed", "exit_status": 1, "signal": 9, "runs": 1},
        {"restart": 1, "state": "completed", "exit_status": 0, "signal": None, "runs": 1},
    ]
    yield Asked({"job": "6000"}, rows)
    took = Between(0, study.took["single"])
    mine = {"name": "7000", "state": "completed", "slurm": None, "nodes": 1, **HERE}
    yield Asked({"job": "7000"}, [{**mine, "elapsed_seconds": took}])
    yield Asked({"job": "4711"}, [])


@answers("jobs")
def jobs(study: Study) -> Iterator[Asked]:
    rows = [
        {"job": "5000_1", "array": "5000", "state": "completed", "elapsed_seconds": 110.0},
        {"job": "5000_2", "array": "5000", "state": "timed_out", "nodes": 2, "runs": 1},
        {"job": "6000", "array": None, "state": "completed", "restarts": 1, "job_name": "tasks"},
        {"job": "7000", "state": "completed", "cluster": CLUSTER, "runs": 1},
        {"job": "4242", "state": "completed", "restarts": 1, "runs": 1},
    ]
    yield Asked({}, rows)
    yield Asked({"state": "timed_out"}, [rows[1]])


@answers("job-array")
def job_array(study: Study) -> Iterator[Asked]:
    first = {"task": "5000_1", "name": "task1", "run": study.iri("task1"), "state": "completed"}
    second = {"task": "5000_2", "name": "task2", "state": "timed_out", "slurm": "TIMEOUT"}
    scores = study.one("task1")["scores"]
    for best, choose in (("highest", max), ("lowest", min)):
        rows = [{**first, "result": choose(scores)}, {**second, "result": None}]
        yield Asked({"array": "5000", "measure": "score", "best": best}, rows)


@answers("requested-used")
def requested_used(study: Study) -> Iterator[Asked]:
    rows = [
        {"resource": "cpus", "requested": 2, "used": 1.5, "share": 0.75, "source": "Slurm"},
        {"resource": "memory", "requested": 4 * GIB},
        {"resource": "time", "requested": 600, "used": 110, "source": "Slurm"},
    ]
    yield Asked({"run": "task1"}, rows)
    yield Asked({"run": "curate"}, [])


@answers("failed-attempts")
def failed_attempts(study: Study) -> Iterator[Asked]:
    rows = [
        {"name": "task2", "job": "5000_2.0", "state": "timed_out", "signal": 15, "error": None},
        {"name": "lost", "job": "6000", "restart": 0, "state": "killed", "signal": 9},
    ]
    yield Asked({"study": "cluster"}, rows)
    yield Asked({"study": "repair"}, [])


@answers("singletons")
def singletons(study: Study) -> Iterator[Asked]:
    row = {"run": study.iri("single"), "name": "single", "job": "7000", "ranks": 1}
    yield Asked({}, [row])


@answers("reruns")
def reruns(study: Study) -> Iterator[Asked]:
    row = {"again": study.iri("single"), "again_state": "completed", "of": study.iri("task1"),
           "of_state": "completed", "name": "single"}  # fmt: skip
    yield Asked({}, [row])


@answers("files-of-job")
def files_of_job(study: Study) -> Iterator[Asked]:
    made = study.one("task2")["made"][0]
    yield Asked({"job": "5000_2"}, [{"how": "wrote", "path": made["path"], "size": made["size"]}])
