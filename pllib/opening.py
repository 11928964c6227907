"""Open a session: find the project, the settings, who this process is, and its tracker."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from . import launch, mounts, redaction, runs
from .connection import Finder, hello
from .ends import close_replaced
from .entrance import is_first_here
from .errors import Error, UnavailableError
from .facts import surroundings
from .launchers import Ranks
from .log import Owner
from .outbox import Outbox
from .owners import this_process
from .project import Project, choose_endpoint, find_or_new, read_endpoint
from .records import Context, encode
from .runs import Belonging, Description
from .session import Session
from .settings import Settings, from_process
from .spool import Spool
from .sweeping import Sweeper
from .values import as_text, interned

if TYPE_CHECKING:
    from pathlib import Path

PAGE = 4096
LARGEST_FRAME = 4 << 20
CONTEXTS_A_FRAME = 4


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
    rank: int | None,
    size: int | None,
    wraps: bool = False,
) -> Session | None:
    """Open a session; None if the mode is off.

    Raises:
        SettingsError: A file of settings or the launch is not usable.
        UnavailableError: No spool can be made.
        OSError: The project can't be made or read.
    """
    warnings: list[str] = []
    project = find_or_new(warnings.append)
    given = {**(settings or {}), **({"mode": mode} if mode else {})}
    chosen = from_process(project.config, given, warnings.append)
    if chosen.mode == "off":
        return None
    told = None if rank is None or size is None else Ranks(rank, size)
    project = project.create()
    redactor = redaction.load(project.config, os.environ, warnings.append)
    sweeper = Sweeper(redactor)
    close_replaced()
    described = Description(*map(_text, (study, experiment, run, name, workflow)))
    with runs.numbered(described) as nth:
        belonging = runs.belong(project, described, nth, told, os.environ)
        made = _context(project, described, belonging, tags, facts)
        context = sweeper.context(msgspec.structs.replace(made, wraps=wraps))
        cluster = context.facts.get("cluster", "")
        owner = this_process(context.run, context.facts.get("job_id", ""), project.key, cluster)
        context, stride = _fitted(context, chosen.flush_bytes, warnings)
        spool, unusable = _new_spool(project, chosen, owner, stride)
        spool.sweep = sweeper.sweep
        try:
            finder, missing = _finder(project, chosen, context, spool.log_id)
            session = Session(context, spool, chosen, Outbox(project.spool, spool.header), finder)
            session.begin(context, config, resume_from)
        except BaseException:
            spool.close(keep=False)
            raise
    is_told = wraps or runs.WRAPPED in os.environ  # by `sprov run`
    if chosen.software != "off" and context.rank == 0 and not is_told:
        session.guard(_describe, session, redactor)
    if chosen.telemetry_s:
        from .telemetry import Sampler

        session.sampler = Sampler(session, os.getpid(), chosen.telemetry_s)
        session.guard(session.sampler.start)
    if declaration := sys.modules.get(f"{__package__}.declaration"):
        session.guard(declaration.write_waiting, session)
    if context.rank == 0:  # once, not by every rank
        _tell(session, context, missing, warnings)
    if belonging.rival:
        session.tell(
            f"{belonging.rival} has rank {context.rank} of {context.size} too: "
            "their values are kept apart; give each its `open(rank=, size=)`"
        )
    if unusable and is_first_here(os.environ):
        session.tell(unusable)
    return session


def _describe(session: Session, redactor: redaction.Redactor) -> None:
    from .describing import Describer
    from .software import Software

    session.describer = Describer(session, Software(redactor))


def _tell(session: Session, context: Context, missing: str, warnings: list[str]) -> None:
    for warning in dict.fromkeys(warnings):
        session.tell(warning)
    if "mpi_singleton" in context.facts:
        session.tell(
            f"MPI knows of 1 rank, but Slurm started {context.size}: they don't know each other; "
            "start them by `srun --mpi=` of the MPI that mpi4py uses (`srun --mpi=list`)"
        )
    if (alone := context.facts.get("alone")) and context.size > 1:
        session.tell(f"{alone}: each has a run of its own; set SPROV_RUN to the same text on all")
    if missing:
        session.tell(missing)


def _context(
    project: Project,
    described: Description,
    mine: Belonging,
    tags: tuple[str, ...],
    facts: Mapping[str, str] | None,
) -> Context:
    found, program = mine.found, runs.program()
    study, experiment, run, name, workflow = described
    return Context(
        run=mine.run,
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
        study=study,
        experiment=experiment,
        name=name or run,
        tags=tuple(interned(tag) for tag in ([tags] if isinstance(tags, str) else tags)),
        scope=found.scope,
        launch=mine.launched,
        facts=_told({**surroundings(), **found.facts, **_as_facts(facts)}),
    )


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


def _fitted(context: Context, flush_bytes: int, warnings: list[str]) -> tuple[Context, int]:
    """Return the context and how large frames are: it stands in each and takes a quarter at most.

    Facts that are too much even for the largest frame are left out.
    """
    n_facts = len(context.facts)
    while (n_bytes := len(encode(context))) * CONTEXTS_A_FRAME > LARGEST_FRAME and context.facts:
        facts = dict(islice(context.facts.items(), len(context.facts) * 3 // 4))
        context = msgspec.structs.replace(context, facts=facts)
    if left_out := n_facts - len(context.facts):
        warnings.append(
            f"{left_out} of {n_facts} facts are left out: they are too long for a frame"
        )
    least = min(-(-n_bytes * CONTEXTS_A_FRAME // PAGE) * PAGE, LARGEST_FRAME)
    if least > flush_bytes:
        warnings.append(
            f"flush_bytes is {least}, since the run's facts take {n_bytes} bytes of each frame"
        )
    return context, max(flush_bytes, least)


def _new_spool(
    project: Project, settings: Settings, owner: Owner, stride: int
) -> tuple[Spool, str]:
    """Return the spool: in the folder that is set, else where it is by default.

    Returns:
        The spool; and what is wrong with the folder that is set.
    """
    from pathlib import Path

    limit, unusable = settings.spool_limit_bytes, ""
    if settings.spool_dir:
        try:
            folder = Path(settings.spool_dir)
            spool = _spool_in(folder, owner, stride, limit)
            if spool.path.parent != folder:
                unusable = f"files in {folder} can't be mapped; spools are in {spool.path.parent}"
            return spool, unusable
        except UnavailableError as exc:
            unusable = f"{exc.args[0]}; the default folder for spools is used"
    return _spool_in(project.spool, owner, stride, limit), unusable


def _spool_in(folder: Path, owner: Owner, stride: int, limit_bytes: int) -> Spool:
    """Make a spool in a folder if it can be mapped there, else in shared memory."""
    from .places import SHARED_MEMORY, own_place

    if mounts.mount_of(folder).kind not in mounts.MAPPABLE:
        try:
            folder = own_place()
        except OSError as exc:
            raise UnavailableError(
                f"no spool can be made in {SHARED_MEMORY}: {exc.strerror}",
                "Set SPROV_SPOOL_DIR to a folder on a local disk with space",
            ) from exc
    return Spool(folder / f"{os.urandom(8).hex()}.spool", owner, stride, limit_bytes)


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
