"""A test job: two tasks, on two nodes if it may, that find out what only a job can."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from pllib.launch import console_script
from pllib.project import Project
from pllib.sharing import GROUP_FOLDER, is_shared

from .. import commands
from ..commands import SlurmError
from ..nodes import fold
from .probe import Found, Ranked, Seen, read
from .report import FAIL, OK, SKIP, WARN, Finding, merged, said

MINUTES = 5
STEP_TIMEOUT_S = 40.0
CLOCKS_S = 0.1
"""Farther apart, what happened first on two nodes can't be told by records' times."""
MPI_KINDS = ("pmix", "pmi2", "cray_shasta")
NEEDED = "--job runs two tasks for some seconds, by salloc, or in the job that it is called in"
SAY_MORE = "Options of salloc go after --: `sprov slurm doctor --job -- --partition=P --account=A`"


def needed() -> Finding:
    """Say what was not tried without a job."""
    return Finding(
        "test job", SKIP, "MPI under srun, ports between nodes, clocks, nodes' own disks", NEEDED
    )


def check(project: Project, options: Sequence[str], wait_s: int) -> list[Finding]:
    """Run the trial: in the job that this is in, else in one that is made for it.

    Args:
        options: For salloc, or for srun inside a job.
        wait_s: How long an allocation is waited for, seconds.
    """
    if os.environ.get("SLURM_JOB_ID"):
        return inside(project, options)
    here = [console_script(), "slurm", "doctor", "--trial"]
    command = [
        "salloc", "-Q", "-N2", "-n2", f"-t{MINUTES}", "-Jsprov-doctor", f"--immediate={wait_s}",
        *options, *here,
    ]  # fmt: skip
    environ = {**os.environ, "SPROV_DIR": str(project.root)}
    try:
        done = commands.run(command, timeout_s=wait_s + 60.0 * MINUTES, environ=environ)
    except SlurmError as exc:
        return [Finding("test job", FAIL, said(exc))]
    try:
        return msgspec.json.decode(done.stdout, type=list[Finding])
    except msgspec.DecodeError:
        failure = commands.failure("salloc", done.returncode, done.stderr)
        return [Finding("test job", FAIL, said(failure), SAY_MORE)]


def inside(project: Project, options: Sequence[str] = ()) -> list[Finding]:
    """Run the steps in the allocation that this process is in."""
    folder = Path(tempfile.mkdtemp(prefix=".doctor-", dir=project.root))
    if is_shared(project.root):
        folder.chmod(GROUP_FOLDER)
    began = time.monotonic()
    try:
        seen, trouble = _step(Seen, [*options], ["--probe", str(folder)])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if not seen:
        return [Finding("test job", FAIL, trouble, SAY_MORE)]
    nodes = fold(sorted({task.node for task in seen}))
    took = time.monotonic() - began
    return [
        Finding("test job", OK, f"{len(seen)} tasks on {nodes} in {took:.1f} s"),
        *judged(seen),
        *merged({task.node: task.findings for task in seen}),
        *_mpi(options),
    ]


def _step(
    kind: type[Found], options: Sequence[str], what: Sequence[str]
) -> tuple[list[Found], str]:
    """Run `sprov slurm doctor` as two tasks; return what they found, and what srun complained of.

    A step shares the CPUs of others by --overlap, so that it never waits for them.
    """
    n_nodes = min(2, int(os.environ.get("SLURM_JOB_NUM_NODES") or 1))
    command = [
        "srun", "--overlap", "--overcommit", f"-N{n_nodes}", "-n2", "-t2", *options,
        console_script(), "slurm", "doctor", *what,
    ]  # fmt: skip
    try:
        done = commands.run(command, timeout_s=STEP_TIMEOUT_S)
    except SlurmError as exc:
        return [], said(exc)
    return read(done.stdout, kind), said(commands.failure("srun", done.returncode, done.stderr))


def judged(seen: list[Seen]) -> Iterator[Finding]:
    """Judge what the tasks found of each other."""
    blind = [task.node for task in seen if not task.folder]
    if blind:
        yield Finding(
            "shared folder", FAIL, f"{fold(sorted(blind))} can't see the project",
            "Make it on the file system that all nodes share: `sprov init` there",
        )  # fmt: skip
        return
    yield Finding("shared folder", OK, "all nodes see the project, and what others write there")
    address = next((task.address for task in seen if task.address), "")
    if len({task.node for task in seen}) < 2:
        yield Finding("between nodes", SKIP, "the job has one node")
        return
    for task in seen:
        if task.reached_s is not None:
            text = f"{task.node} reached {address} in {task.reached_s * 1e3:.2f} ms"
            yield Finding("between nodes", OK, text)
            yield _clocks(task)
        elif task.trouble and bool(address) == bool(task.rank):
            what = f"did not reach {address}" if address else "can't listen"
            yield Finding(
                "between nodes", FAIL, f"{task.node} {what}: {task.trouble}",
                "Set ports in [serve] to a range that the firewall lets through, or interface to "
                "the network between nodes; or work offline: `sprov slurm template offline`",
            )  # fmt: skip


def _clocks(task: Seen) -> Finding:
    text = f"{task.node} is {abs(task.offset_s) * 1e3:.2f} ms "
    text += "ahead" if task.offset_s > 0 else "behind"
    unsure = (task.reached_s or 0.0) / 2
    if abs(task.offset_s) - unsure > CLOCKS_S:
        return Finding("clocks", WARN, text, "Ask for chrony or ntpd on the nodes")
    return Finding("clocks", OK, f"{text}, ± {unsure * 1e3:.2f} ms")


def _mpi(options: Sequence[str]) -> list[Finding]:
    """Try MPI as a plain `srun` starts it; if that fails, the other kinds that srun has."""
    default, trouble = _step(Ranked, options, ["--mpi-probe"])
    finding = judged_mpi(default, trouble)
    if finding.status in (OK, SKIP):
        return [finding]
    for kind in _kinds():
        tried, _ = _step(Ranked, [*options, f"--mpi={kind}"], ["--mpi-probe"])
        if judged_mpi(tried, "").status == OK:
            advice = f"With `srun --mpi={kind}` they do: say so, or export SLURM_MPI_TYPE={kind}"
            return [Finding("MPI", WARN, finding.found, advice)]
    return [finding]


def judged_mpi(ranked: list[Ranked], trouble: str) -> Finding:
    """Judge whether two tasks are two ranks of one MPI_COMM_WORLD."""
    if any(task.missing for task in ranked):
        return Finding("MPI", SKIP, "mpi4py is not installed beside sprov, so MPI was not tried")
    if found := next((task.trouble for task in ranked if task.trouble), ""):
        return Finding("MPI", FAIL, found, "Load the module of the MPI that mpi4py was built for")
    if sorted((task.rank, task.size) for task in ranked) == [(0, 2), (1, 2)]:
        return Finding("MPI", OK, f"2 tasks are 2 ranks of {ranked[0].library}")
    if ranked and all(task.size == 1 for task in ranked):
        return Finding(
            "MPI", FAIL, "each task is alone (a singleton), and MPI says no word of it",
            "`srun --mpi=` of the MPI that mpi4py uses; `srun --mpi=list` says which there are",
        )  # fmt: skip
    return Finding("MPI", FAIL, f"the tasks did not come up: {trouble}")


def _kinds() -> list[str]:
    """Return the kinds of MPI that srun has here; it lists them on stderr in 22.05."""
    try:
        done = commands.run(["srun", "--mpi=list"], timeout_s=10.0)
    except SlurmError:
        return []
    words = set(re.findall(r"\w+", done.stdout + done.stderr))
    return [kind for kind in MPI_KINDS if kind in words]
