"""`sprov slurm start`: in a batch script, tracker and manager for this job.

Whatever goes wrong, the job must run on as it would without us: with --export the exit status is 0,
and what is printed has ranks keep their records for `sprov ingest`.
"""

from __future__ import annotations

import errno
import os
import shlex
import time
from collections.abc import Mapping

import click

from pllib import launch, listening, notices, redaction, telling
from pllib.errors import Error
from pllib.places import own_place
from pllib.project import Project, find_or_new, read_endpoint
from pllib.records import Accounted
from pllib.settings import InSlurm, Running, Serving, from_process, load_section

from . import commands, instances, scontrol, service
from .job import job_facts
from .placement import Placement, job_id, place

ASK_S = 3.0
"""How long Slurm is waited for; `sprov slurm sync` asks again after the job."""
_UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)


@click.command()
@click.option("--export", is_flag=True, help="Print what ranks need, as lines for a shell.")
@click.option("--dedicated", "wanted", flag_value="dedicated", help="On a node without ranks.")
@click.option("--shared", "wanted", flag_value="shared", help="Beside the ranks.")
@click.option("--het-group", type=int, help="Component of a het job; by default one of one node.")
@click.option("--interface", help="Network interface to listen on, such as ib0.")
@click.option("--ports", help="Ports to listen on, such as 40000-40100.")
def start(
    export: bool,
    wanted: str | None,
    het_group: int | None,
    interface: str | None,
    ports: str | None,
) -> None:
    """In a batch script: start tracker and manager for this job; returns when they are ready.

    They get the first node of a job of three or more, a component of one node of a het job, and
    else a place beside the ranks.

    \b
        eval "$(sprov slurm start --export)"
    """
    project = None
    try:
        project = find_or_new()
        job_id(os.environ)  # elsewhere no folder is made
        options = {"interface": interface, "ports": ports}
        given = {name: text for name, text in options.items() if text is not None}
        lines = _start(project, wanted, het_group, given)
    except (Error, OSError) as exc:
        if not export:
            raise
        lines, consequence = _without(project, exc)
        notices.write(f"{_said(project, exc)}; {consequence}")
    _print(lines, export)


def _print(lines: Mapping[str, str], export: bool) -> None:
    if export:
        for name, text in lines.items():
            click.echo(f"export {name}={shlex.quote(text)}")
    elif node := lines.get("SPROV_TRACKER_NODE"):
        click.echo(f"tracker and manager serve {lines['SPROV_DIR']} on {node}")


def _said(project: Project | None, exc: Error | OSError) -> str:
    if isinstance(exc, OSError):
        return f"{exc.filename or (project and project.root)}: {exc.strerror}"
    return " ".join(str(exc).split())


def _start(
    project: Project, wanted: str | None, het_group: int | None, given: Mapping[str, str]
) -> dict[str, str]:
    """Start the daemons unless they run; return the variables for ranks."""
    capture = from_process(project.config)
    if capture.mode == "off":
        return {"SPROV_MODE": "off"}
    if capture.mode == "offline":
        notices.write("the mode is offline, so no tracker is started")
        return {"SPROV_DIR": str(project.root), "SPROV_MODE": "offline"}
    name = job_id(os.environ)
    project = project.create()
    settings = load_section(InSlurm, project.config, os.environ)
    placement = place(os.environ, wanted or settings.tracker, het_group)
    journal = project.journal / name
    if service.is_serving(project, name, os.environ):
        instance = instances.read(journal)
    else:
        instance = instances.note(journal, os.environ)
        options = _options(project, name, placement.node, given)
        service.launch_daemons(project, name, placement, options, os.environ)
        _account(project, name)
    return _variables(project, name, placement, settings, instance)


def _variables(
    project: Project,
    name: str,
    placement: Placement,
    settings: InSlurm,
    instance: instances.Instance | None,
) -> dict[str, str]:
    telemetry_s = load_section(Running, project.config, os.environ).telemetry_s
    found = {
        "SPROV_DIR": str(project.root),
        "SPROV_ENDPOINT": name,
        "SPROV_TELEMETRY_S": os.environ.get("SPROV_TELEMETRY_S") or f"{telemetry_s:g}",
        **placement.hints(),
    }
    if settings.spool_dir:
        found["SPROV_SPOOL_DIR"] = settings.spool_dir
    if instance is not None and instance.nth > 1:
        found["SPROV_JOB_NTH"] = str(instance.nth)
    return found


def _options(project: Project, name: str, node: str, given: Mapping[str, str]) -> list[str]:
    """Return the options of `sprov serve`: where it listens, and where its indexes lie."""
    serving = load_section(Serving, project.config, os.environ, given)
    host = serving.interface or listening.EVERYWHERE
    bind = listening.with_ports(host, serving.ports)
    folder = service.index_folder(project, serving.indexes, name, node, os.environ)
    return ["--bind", bind, "--indexes", str(folder), "--temporary"]


def _account(project: Project, name: str) -> None:
    """Record what Slurm says of the job as it starts, if it says it soon."""
    facts = job_facts(os.environ)
    cluster = facts.get("cluster", "")
    try:
        said = commands.call("scontrol", "show", "job", "-o", name, timeout_s=ASK_S)
        records: list[Accounted] = scontrol.parse(said, time.time_ns(), cluster)
        endpoint = read_endpoint(project.endpoint(name))
        run = telling.job_run(cluster, launch.job_name(facts))
        telling.tell(project, run, records, endpoint=endpoint, timeout_s=ASK_S)
    except (Error, OSError, ValueError, LookupError):  # whatever another version of Slurm prints
        return  # `sprov slurm sync` finds out later


def _is_readable(project: Project) -> bool:
    """Tell whether ranks can read the settings, without which they record nothing."""
    try:
        redaction.load(project.config, os.environ)
        from_process(project.config)
    except Error:
        return False
    return True


def _without(project: Project | None, exc: Error | OSError) -> tuple[dict[str, str], str]:
    """Return what lets ranks go on without a tracker, and what that means.

    Their spools are in shared memory then: what failed may be a full disk, on which a session could
    not be opened.
    """
    cause = exc if isinstance(exc, OSError) else exc.__cause__
    is_unwritable = isinstance(cause, OSError) and cause.errno in _UNWRITABLE
    if project is None or is_unwritable or not _is_readable(project):
        return {"SPROV_MODE": "off"}, "nothing of this job is recorded"
    spools = os.environ.get("SPROV_SPOOL_DIR") or str(own_place())
    found = {"SPROV_DIR": str(project.root), "SPROV_MODE": "offline", "SPROV_SPOOL_DIR": spools}
    return found, "the job goes on, and records wait for `sprov ingest`"
