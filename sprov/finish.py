"""`sprov slurm stop`: at the end of a batch script, however that comes.

What can't be had again comes first, because a job that is cancelled is killed after KillWait (30 s
by default): the spools of all nodes, then the journal, then the project's store, which
`sprov ingest` can make up for.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import click

from pllib import launch, notices, waiting
from pllib.errors import Error, LogError, UnavailableError
from pllib.places import own_places
from pllib.project import Endpoint, Project, find, read_endpoint
from pllib.settings import Serving, load_section
from pllib.sharing import OWNERS_ALONE
from slurm import placement, service, steps
from slurm.collect import Collected, collect_here, running_endpoint

from .collecting import Collecting

STORE_WAIT_S = 5.0
"""How long another job may hold the project's store before it is left to `sprov ingest`."""
REMOTE_STOP_S = 60.0


@click.command()
@click.option("--no-publish", is_flag=True, help="Leave the project's store to `sprov ingest`.")
def stop(no_publish: bool) -> None:
    """At the end of a batch script: collect, drain, publish, and end tracker and manager.

    Exit status 3 if records are known to be lost, else 0.

    \b
        trap 'sprov slurm stop' EXIT
    """
    signal.signal(signal.SIGTERM, lambda *_: None)  # scancel sends it to a trap's commands too
    name = placement.job_id(os.environ)
    if os.environ.get("SPROV_MODE") == "off":
        return
    project = find()
    journal = project.journal / name
    found = _collect(project, journal)
    if not journal.is_dir():
        found.say(f"job {name}: no tracker of its own, {_left_behind(project)}")
        return
    from .publishing import publish

    found.trouble += _end_daemons(project, name, found.silent)
    found.add(collect_here(project, None))  # ranks that were still dying
    published = publish(project, journal, None if no_publish else STORE_WAIT_S)
    found.trouble += published.trouble
    found.say(f"job {name}: {published.summary}")
    if published.is_lossy:
        raise SystemExit(LogError.exit_code)


@dataclass
class Found:
    """What was collected, and what went wrong so far."""

    silent: list[str]
    """Nodes that did not answer."""
    n_killed: int = 0
    trouble: list[str] = field(default_factory=list)

    def add(self, collected: Collected) -> None:
        self.n_killed += collected.killed
        self.trouble += collected.trouble

    def say(self, summary: str) -> None:
        for line in dict.fromkeys(self.trouble):
            notices.write(f"{' '.join(line.split())}")
        killed = f"; {self.n_killed} rank(s) were killed" if self.n_killed else ""
        click.echo(f"sprov: {summary}{killed}")


def _collect(project: Project, journal: Path) -> Found:
    """Hand the tracker, else the project, what ranks left on all nodes."""
    endpoint = running_endpoint(project)
    collecting = Collecting(project, offline=endpoint is None)
    here = collect_here(project, endpoint)
    if journal.is_dir():
        from . import publishing  # noqa: F401  0.3 s, while other nodes are at it
    collecting.finish()
    found = Found(collecting.silent, trouble=collecting.trouble)
    for collected in (here, *collecting.found):
        found.add(collected)
    if endpoint is not None and endpoint.host not in found.silent:
        found.trouble += _send_packed(project, endpoint)
    return found


def _left_behind(project: Project) -> str:
    n_waiting = waiting.n_logs(waiting.packed(project))
    return f"{n_waiting} log(s) wait for `sprov ingest`" if n_waiting else "nothing was left behind"


def _send_packed(project: Project, endpoint: Endpoint) -> list[str]:
    """Hand the tracker what ranks left in the project when they could not reach it."""
    logs = waiting.packed(project)
    try:
        for log in logs:
            if not log.trouble:
                waiting.send(endpoint, log.frames())
    except Error as exc:
        return [str(exc)]
    waiting.dispose(project, logs)
    return [log.trouble for log in logs if log.trouble]


def _end_daemons(project: Project, name: str, silent: list[str]) -> list[str]:
    """Have the job's own daemons drain and end, wherever they are, and forget their endpoint.

    Args:
        silent: Nodes that do not answer.

    Returns:
        What went wrong.
    """
    path = project.endpoint(name)
    trouble = []
    try:
        if path.exists():
            endpoint = read_endpoint(path)
            if endpoint.host in silent:
                raise UnavailableError(f"the tracker on {endpoint.host} went with its node")
            _end(endpoint, name, project)
    except (Error, OSError) as exc:
        trouble.append(str(exc))
    for suffix in (".json", ".lock", OWNERS_ALONE):
        path.with_suffix(suffix).unlink(missing_ok=True)
    return trouble


def _end(endpoint: Endpoint, name: str, project: Project) -> None:
    from .daemons import end, running

    if endpoint.host == launch.host():
        for pid in running(project.endpoint(name)):
            end(pid)
        chosen = load_section(Serving, project.config, os.environ).indexes
        usual = service.index_folder(project, chosen, name, endpoint.host, os.environ)
        for folder in own_places(str(usual.parents[1])):  # of daemons that were killed
            shutil.rmtree(folder / usual.name, ignore_errors=True)
    elif endpoint.serve_pid:
        _end_remote(endpoint.host, name, project)


def _end_remote(node: str, name: str, project: Project) -> None:
    groups = placement.components(os.environ)
    nth = next((nth for nth, group in enumerate(groups) if node in group), 0)
    program = [launch.console_script(), "stop", "--name", name]
    command = steps.command([node], nth if len(groups) > 1 else None, program)
    environment = steps.environment({**os.environ, "SPROV_DIR": str(project.root)})
    try:
        done = subprocess.run(
            command, env=environment, cwd="/", stdin=subprocess.DEVNULL, capture_output=True,
            text=True, errors="replace", timeout=REMOTE_STOP_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"the tracker on {node} did not end") from None
    if done.returncode and "no daemon runs here" not in done.stderr:
        reason = steps.reason(done.stderr) or f"exit status {done.returncode}"
        raise UnavailableError(f"the tracker on {node} was not ended: {reason}")
