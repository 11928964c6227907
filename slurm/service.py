"""`sprov serve` for a job, as a process that nothing of the batch script waits for.

On the batch script's own node it is a background process of a session of its own, so that no later
srun waits for its CPUs; elsewhere it is a job step that overlaps others.  It has none of the
script's descriptors, or ``$(sprov slurm start --export)`` would wait for its end.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from pllib import launch
from pllib.delivery import ask_status
from pllib.errors import Error, UnavailableError
from pllib.listening import SERVING, is_daemon
from pllib.project import Project, read_endpoint
from pllib.sharing import open_file

from . import instances, steps
from .placement import Placement, this_node

LOG = "serve.log"
START_TIMEOUT_S = 40.0
"""Longer than `sprov serve` waits for its daemons, so that it says itself what is wrong."""
ANSWER_S = 1.0


def index_folder(
    project: Project, chosen: str, name: str, node: str, environ: Mapping[str, str]
) -> Path:
    """Return where a job's store and series lie on the tracker's node: no other job's do.

    Args:
        chosen: As set in ``[serve]``; empty for node-local scratch space.
    """
    scratch = environ.get("SLURM_TMPDIR") if node == this_node(environ) else None
    of_job = f"{name}-{project.key[:8]}"  # /tmp may be shared by clusters
    return Path(chosen or scratch or "/tmp", f"sprov-{os.getuid()}", of_job)


def is_serving(project: Project, name: str, environ: Mapping[str, str]) -> bool:
    """Tell whether daemons of this name run and answer."""
    path = project.endpoint(name)
    try:
        endpoint = read_endpoint(path)
        here = endpoint.host == launch.host()
        if not endpoint.tracker or (here and not is_daemon(endpoint.serve_pid)):
            return False
        ask_status(endpoint, ANSWER_S)
    except Error:
        return False
    return True


def launch_daemons(
    project: Project,
    name: str,
    placement: Placement,
    options: list[str],
    environ: Mapping[str, str],
) -> None:
    """Start tracker and manager where they were placed, and wait until both serve.

    Args:
        options: More of `sprov serve`.

    Raises:
        UnavailableError: They do not come up; says why.
    """
    program = [launch.console_script(), "serve", "--name", name, *options]
    environment = {**environ, "SPROV_DIR": str(project.root)}
    if placement.node != this_node(environ):
        program = steps.command([placement.node], placement.het_group, program)
        environment = steps.environment(environment)
    elif batch := instances.batch_process(environ):
        program += ["--batch-pid", str(batch.pid)]
    path = project.journal / name / LOG
    with open(open_file(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "ab") as log:
        start = log.tell()
        process = subprocess.Popen(
            program, env=environment, cwd="/", start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    _wait_ready(process, path, start)


def _wait_ready(process: subprocess.Popen[bytes], log: Path, start: int) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        ended = process.poll() is not None
        said = _lines(log, start)
        if any(line.startswith(SERVING) for line in said):
            return
        if ended:
            reason = said[-1].removeprefix("sprov: ") if said else f"status {process.returncode}"
            raise UnavailableError(f"the tracker did not start: {reason}", f"More in {log}")
        if time.monotonic() > deadline:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise UnavailableError(
                f"the tracker was not ready within {START_TIMEOUT_S:g} s", f"See {log}"
            )
        time.sleep(0.02)


def _lines(log: Path, start: int) -> list[str]:
    with log.open("rb") as file:
        file.seek(start)
        return [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
