"""Open a session: find the project, the settings, who this process is, and its tracker."""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from . import identity, launch, mounts
from .connection import Finder, hello
from .ends import close_replaced
from .errors import Error, NotAProjectError, UnavailableError
from .facts import surroundings
from .log import Owner
from .outbox import Outbox
from .project import Project, choose_endpoint, find, read_endpoint
from .records import Context
from .session import Session
from .settings import Settings, from_process
from .spool import Spool
from .values import as_text, interned

if TYPE_CHECKING:
    from .sweeping import Sweeper

_opened = itertools.count()


def open_session(
    *,
    study: str | None,
    experiment: str | None,
    run: str | None,
    name: str | None,
    workflow: str | None,
    tags: tuple[str, ...],
    config: Any,
    resume_from: Any,
    mode: str | None,
    settings: Mapping[str, Any] | None,
    facts: Mapping[str, str] | None,
) -> Session | None:
    """Open a session; None if the mode is off.

    Raises:
        SettingsError: A setting or the launch is not usable.
        UnavailableError: No spool can be made.
    """
    project = _project()
    given = {**(settings or {}), **({"mode": mode} if mode else {})}
    chosen = from_process(project.config, given)
    if chosen.mode == "off":
        return None
    project.create()
    sweeper = _sweeper(project)
    close_replaced()
    context = sweeper.context(
        _context(project, study, experiment, run, name, workflow, tags, facts)
    )
    mine = launch.process()
    owner = Owner(
        launch.host(), mine.boot_id, mine.pid, mine.started,
        context.run, context.facts.get("job_id", ""), project.key,
    )  # fmt: skip
    spool = _new_spool(project, chosen, owner)
    spool.sweep = sweeper.sweep
    finder, missing = _finder(project, chosen, context, spool.log_id)
    session = Session(context, spool, chosen, Outbox(project.spool, spool.header), finder)
    session.begin(context, config, resume_from)
    if chosen.telemetry_s:
        from .telemetry import Sampler

        session.sampler = Sampler(session, os.getpid(), chosen.telemetry_s)
        session.guard(session.sampler.start)
    if declaration := sys.modules.get(f"{__package__}.declaration"):
        session.guard(declaration.write_waiting, session)
    if context.rank == 0:  # once, not by every rank
        _tell(session, context, missing)
    return session


def _sweeper(project: Project) -> Sweeper:
    from .redaction import load
    from .sweeping import Sweeper

    return Sweeper(load(project.config, os.environ))


def _tell(session: Session, context: Context, missing: str) -> None:
    if "mpi_singleton" in context.facts:
        session.tell(
            f"MPI knows of 1 rank, but Slurm started {context.size}: they don't know each other; "
            "start them by `srun --mpi=` of the MPI that mpi4py uses (`srun --mpi=list`)"
        )
    if missing:
        session.tell(missing)


def _project() -> Project:
    from pathlib import Path

    try:
        return find()
    except NotAProjectError:
        return Project(Path.cwd() / ".sprov")


def _context(
    project: Project,
    study: str | None,
    experiment: str | None,
    run: str | None,
    name: str | None,
    workflow: str | None,
    tags: tuple[str, ...],
    facts: Mapping[str, str] | None,
) -> Context:
    found = launch.find(claim=_claim(project))
    nth = next(_opened)
    launched = f"{found.launch}#{nth}" if nth else found.launch
    program = os.path.basename(sys.argv[0]) if sys.argv and sys.argv[0] else "python"  # noqa: PTH119
    return Context(
        run=identity.run(found.scope, launched, run),
        restart=found.restart,
        rank=found.rank,
        size=found.size,
        host=launch.host(),
        pid=os.getpid(),
        user=user(),
        program=interned(program),
        project=project.name,
        workflow=interned(workflow or experiment or study or program.removesuffix(".py")),
        opened_ns=time.time_ns(),
        study=_text(study),
        experiment=_text(experiment),
        name=_text(name or run),
        tags=tuple(interned(tag) for tag in ([tags] if isinstance(tags, str) else tags)),
        scope=found.scope,
        launch=launched,
        facts=_told({**surroundings(), **found.facts, **_as_facts(facts)}),
    )


def _claim(project: Project) -> launch.Claim:
    """Claims of the job that this process is in are made when they are needed."""

    def claim(command: str, restart: int, owner: str) -> int | None:
        from . import launches

        job = interned(os.environ.get("SLURM_JOB_ID", "")).replace("/", "_")
        return launches.claim(project.launches / job, command, restart, owner)

    return claim


def _text(name: Any) -> str | None:
    return None if name is None else interned(name)


def _as_facts(facts: Mapping[str, str] | None) -> dict[str, str]:
    return {interned(name): as_text(text, 1024) for name, text in (facts or {}).items()}


def _told(facts: dict[str, str]) -> dict[str, str]:
    """Return facts without those that are empty: `sprov run` takes back what is its own."""
    return {name: text for name, text in facts.items() if text}


def user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's uid without a name
        return str(os.getuid())


def _new_spool(project: Project, settings: Settings, owner: Owner) -> Spool:
    """Make the spool where it can be mapped: as set, in the project, else in shared memory."""
    from pathlib import Path

    from .places import SHARED_MEMORY, own_place

    folder = Path(settings.spool_dir) if settings.spool_dir else project.spool
    if mounts.mount_of(folder).kind not in mounts.MAPPABLE:
        try:
            folder = own_place()
        except OSError as exc:
            raise UnavailableError(
                f"no spool can be made in {SHARED_MEMORY}: {exc.strerror}",
                "Set SPROV_SPOOL_DIR to a folder on a local disk with space",
            ) from exc
    name = f"{os.urandom(8).hex()}.spool"
    return Spool(folder / name, owner, settings.flush_bytes, settings.spool_limit_bytes)


def _finder(
    project: Project, settings: Settings, context: Context, log_id: bytes
) -> tuple[Finder | None, str]:
    """Return what finds the tracker, None without one; and what to say if it is not there."""
    if settings.mode != "online":
        return None, ""
    choose = partial(choose_endpoint, project, os.environ)
    finder = Finder(choose, hello(log_id, context.run, context.rank, context.host))
    missing = f"records go to {project.spool}; `sprov ingest` takes them in"
    try:
        finder.has_moved()
        if finder.endpoint is None and (path := choose()) is not None:
            read_endpoint(path)  # one that was asked for and is not there is named
    except Error as exc:
        return finder, f"{exc}; {missing}"
    return finder, "" if finder.endpoint else f"no tracker found, so {missing}"
