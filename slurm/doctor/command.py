"""`sprov slurm doctor`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import msgspec

from pllib import jsontext
from pllib.errors import SettingsError
from pllib.project import Project
from pllib.settings import SECTIONS, InSlurm, Serving, Settings, load_section

from . import containers, controller, disks, folder, limits, names, network, trial
from .report import FAIL, OK, WARN, Finding, bad, lines, news, summary

WIDTH = 80
_SERVER = ("pyoxigraph", "fastapi", "uvicorn", "pyarrow")


@click.command()
@click.option("--job", is_flag=True, help="Run a test job, too: two tasks for some seconds.")
@click.option(
    "--ranks", default=limits.RANKS, show_default=True, help="Ranks that a job is to have."
)
@click.option(
    "--wait", "wait_s", default=60, show_default=True, help="Seconds to wait for the test job."
)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
@click.option("--trial", "only_trial", is_flag=True, hidden=True)
@click.option("--probe", type=click.Path(path_type=Path), hidden=True)
@click.option("--mpi-probe", is_flag=True, hidden=True)
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[-- SALLOC_OPTIONS]")
def doctor(
    job: bool,
    ranks: int,
    wait_s: int,
    form: str,
    only_trial: bool,
    probe: Path | None,
    mpi_probe: bool,
    options: tuple[str, ...],
) -> None:
    """Check a site before a first job, and say what to do about each finding.

    What comes after -- is for the test job's salloc.

    \b
        sprov slurm doctor
        sprov slurm doctor --job -- --partition=debug --account=me

    Exit status: 0 nothing is wrong (there may be warnings), 1 something is.
    """
    if probe is not None or mpi_probe:
        _probe(probe)
        return
    if options and not job:
        raise click.UsageError(f"{' '.join(options)} is for the test job: say --job, too")
    project, no_project = folder.found_project()
    if only_trial:
        assert project is not None
        click.echo(msgspec.json.encode(trial.inside(project)))
        return
    findings = _examine(project, ranks, trial_of=options if job else None, wait_s=wait_s)
    findings += [no_project] if no_project is not None else []
    _print(findings, form)
    raise SystemExit(1 if bad(findings) else 0)


def _examine(
    project: Project | None, ranks: int, *, trial_of: tuple[str, ...] | None, wait_s: int
) -> list[Finding]:
    """Look at all there is.

    Args:
        trial_of: Options of the test job; None for none.
    """
    findings = controller.check()
    slurm = findings[0].status in (OK, WARN)
    node = bool(os.environ.get("SLURM_JOB_ID"))
    findings += here(project, ranks, slurm=slurm and trial_of is None, node=node)
    if trial_of is None:
        return [*findings, trial.needed()] if slurm else findings
    if not slurm:
        return [*findings, Finding("test job", FAIL, "there is no Slurm that could run it")]
    return [*findings, *news(_trial(project, trial_of, wait_s), findings)]


def here(project: Project | None, ranks: int, *, slurm: bool, node: bool) -> list[Finding]:
    """Return what this host shows.

    Args:
        slurm: Whether other nodes have to see what this one sees, and it is not known that they do.
        node: It is a node of a job.
    """
    configured, findings = _configured(None if project is None else project.config)
    return [*findings, *_around(project, ranks, configured, slurm=slurm and not node, node=node)]


class _Configured(NamedTuple):
    capture: Settings = Settings()
    serving: Serving = Serving()
    slurm: InSlurm = InSlurm()


def _configured(config: Path | None) -> tuple[_Configured, list[Finding]]:
    """Return the settings, the defaults if they can't be read, and what is wrong with them."""
    ignored: list[str] = []
    try:
        tables = {
            table: load_section(table, config, os.environ, warn=ignored.append)
            for table in SECTIONS
        }
    except SettingsError as exc:
        return _Configured(), [Finding("settings", FAIL, str(exc))]
    configured = _Configured(tables[Settings], tables[Serving], tables[InSlurm])
    advice = "Correct it: its default holds instead"
    return configured, [Finding("settings", WARN, problem, advice) for problem in ignored]


def _around(
    project: Project | None, ranks: int, configured: _Configured, *, slurm: bool, node: bool
) -> Iterator[Finding]:
    spool = Path.cwd() / ".sprov" / "spool" if project is None else project.spool
    chosen = configured.slurm.spool_dir or configured.capture.spool_dir
    if configured.capture.mode == "off" or os.environ.get("SPROV_MODE", "").lower() == "off":
        yield Finding("mode", WARN, "off: nothing is captured here", "Unset SPROV_MODE")
    if project is not None:
        yield from folder.check(project, configured.serving, slurm=slurm)
        yield disks.project_disk(project.root)
        yield from disks.quotas(project.root)
    yield from disks.node_local(os.environ, chosen, spool)
    yield from limits.check(ranks)
    yield from network.check(configured.serving, node=node)
    written = [spool.parent, *([Path(chosen)] if chosen else [])]
    yield from containers.check(os.environ, written)
    yield from names.check()
    yield _server()


def _server() -> Finding:
    from importlib.util import find_spec

    lacking = [name for name in _SERVER if find_spec(name) is None]
    if lacking:
        return Finding(
            "server extra", WARN, f"{', '.join(lacking)} not installed: this can record, not serve",
            "pip install 'sprov[server]' where `sprov slurm start` and queries run",
        )  # fmt: skip
    return Finding("server extra", OK, f"installed, Python {sys.version.partition(' ')[0]}")


def _trial(project: Project | None, options: tuple[str, ...], wait_s: int) -> list[Finding]:
    if project is None:
        return [Finding("test job", FAIL, "it needs a project to meet in", "`sprov init` first")]
    return trial.check(project, options, wait_s)


def _probe(meeting: Path | None) -> None:
    """Be one task of the test job."""
    from . import probe

    if meeting is None:
        probe.look_at_mpi()
        return
    project = Project(meeting.parent)
    serving = load_section(Serving, project.config, os.environ)
    found = here(project, limits.RANKS, slurm=False, node=True) if folder.seen(meeting) else []
    probe.look(meeting, found, serving)


def _print(findings: list[Finding], form: str) -> None:
    if form == "json":
        click.echo(jsontext.dumps(msgspec.to_builtins(findings)))
        return
    out = sys.stdout
    signs = out.isatty() and (out.encoding or "").lower().replace("-", "") == "utf8"
    for line in lines(findings, signs=signs, width=WIDTH):
        click.echo(line)
    click.echo(summary(findings))
