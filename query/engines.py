"""Where a project's runs are: in its store, and at the managers of jobs that run now.

A running job's manager keeps what its job does on its node; the project's store has it once the
job is over.  So all are asked which runs they have, and then the one that has a run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from pllib.errors import Error, UnavailableError
from pllib.moments import sortable
from pllib.project import Endpoint, ForeignEndpointError, Project, find, read_endpoint

from .engine import Engine, find_engine
from .freshness import tell_age, tell_waiting
from .reached import reach, warn_of_unreached
from .runs import choose

LIMIT_S = 3.0
"""For a manager to say that it is there."""
LISTING_S = 10.0
"""For it to say which runs it has."""
MOST_AT_ONCE = 16
Row = dict[str, Any]
Answer = tuple[Engine, list[Row]]
Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Everywhere:
    """What all that answered have."""

    rows: tuple[tuple[Row, Engine], ...]
    """Each run once, oldest first, with an engine that has it."""
    silent: tuple[str, ...] = ()
    """Why managers that should be there can't be asked."""

    def warn(self) -> None:
        """Say on stderr which managers could not be asked."""
        for reason in self.silent:
            warn_of_unreached(reason)


def everywhere(project: Project, *, live: bool = False) -> Everywhere:
    """Ask all managers and the store which runs they have.

    Args:
        live: Have each show all that its tracker has journalled by now.

    Raises:
        UnavailableError: There is no store, and no manager answers; or none does, and it is to be
            live.
    """
    if os.environ.get("SPROV_ENDPOINT"):
        engine = _of_age(find_engine(project, warns=not live), live=live)
        return Everywhere(tuple((row, engine) for row in engine.runs()))
    paths = [path for path, _ in _endpoints(project)]
    with ThreadPoolExecutor(MOST_AT_ONCE) as pool:
        answered = [*pool.map(lambda path: _ask(project, path, live=live), paths)]
    silent = tuple(each for each in answered if isinstance(each, str))
    answers = [each for each in answered if isinstance(each, tuple)]
    if live and not answers:
        raise _nothing_live("; ".join(silent))
    if all(engine.remote for engine, _ in answers):
        answers = [*_store(project, answers, silent), *answers]
    for engine, _ in answers:
        if engine.endpoint is None or not live:
            tell_age(project, engine.endpoint)
    if live:
        tell_waiting(project)
    found = {row["run"]: (row, engine) for engine, rows in answers for row in rows}
    ordered = sorted(found.values(), key=lambda pair: sortable(pair[0]["started"]))
    return Everywhere(tuple(ordered), silent)


def _store(project: Project, answers: Sequence[Answer], silent: Sequence[str]) -> Iterator[Answer]:
    """Yield the store and its runs; nothing if there is none, and managers answered.

    To be called beside no thread: a store is read in a forked child.
    """
    store = Engine(project, None)
    if silent and not answers and not store.has_snapshot:
        raise UnavailableError(
            f"{'; '.join(silent)}; and there is no store yet",
            "Ask from a node that reaches it, or when the job is over",
        )
    if store.has_snapshot or not answers:
        yield store, store.runs()


def _endpoints(project: Project) -> Iterator[tuple[Path, Endpoint | None]]:
    """Yield the managers that should be running, with their endpoint files; None for a foreign."""
    if project.endpoints.is_dir():
        for path in sorted(project.endpoints.glob("*.json")):
            try:
                endpoint = read_endpoint(path)
            except ForeignEndpointError:
                yield path, None
                continue
            except Error:  # being written by an older version, or somebody else's
                continue
            if endpoint.manager:
                yield path, endpoint


def _ask(project: Project, path: Path, *, live: bool) -> Answer | str | None:
    """Return a manager's engine and its runs; else why not, or None if it has ended meanwhile."""
    try:
        endpoint = reach(path, LIMIT_S)
        if endpoint is None:
            return None
        engine = Engine(project, endpoint, LISTING_S)
        if live:
            engine.flush()
        return engine, engine.runs()
    except Error as exc:
        return Exception.__str__(exc)


def engine_for(
    run: str | None = None, *, timeout_s: float = 30.0, live: bool = False, job: str | None = None
) -> Engine:
    """Return what to ask about a run, as a user named it, or about all runs.

    Args:
        run: None for no particular one: then the store, or the manager that serves all of it.
        live: Have it show all that its tracker has journalled by now.
        job: Name of the endpoint that must be asked.

    Raises:
        QueryError: There is no such run, or there are several.
        UnavailableError: There is nothing to ask, or no manager that can be asked live.
    """
    project = find()
    if job is not None:
        found = _engine_of(project, job, timeout_s)
    else:
        found = find_engine(project, timeout_s=timeout_s, warns=not live)
        if run is not None and _has_others(project, found):
            known = everywhere(project)
            row = choose([row for row, _ in known.rows], run)
            engine = next(engine for each, engine in known.rows if each is row)
            if live and engine.endpoint is None:
                raise _nothing_live("; ".join(known.silent))
            known.warn()
            found = Engine(project, engine.endpoint, timeout_s)
    return _of_age(found, live=live)


def _of_age(engine: Engine, *, live: bool) -> Engine:
    """Return an engine that shows all that is journalled by now, or else says of when it is.

    Raises:
        UnavailableError: It is to be live, and no manager answers, or it stays behind.
    """
    if not live:
        tell_age(engine.project, engine.endpoint)
        return engine
    if engine.endpoint is None:
        raise _nothing_live(engine.missing)
    engine.flush()
    tell_waiting(engine.project)
    return engine


def _nothing_live(why: str) -> UnavailableError:
    return UnavailableError(
        f"--live needs a running manager: {why or 'there is none'}",
        "`sprov serve` starts one; without --live the newest snapshot answers",
    )


def _has_others(project: Project, chosen: Engine) -> bool:
    """Tell whether a run may be elsewhere than in what is chosen for all."""
    if os.environ.get("SPROV_ENDPOINT"):
        return False
    others = [each for _, each in _endpoints(project) if each not in (None, chosen.endpoint)]
    return bool(others) or chosen.remote


def _engine_of(project: Project, job: str, timeout_s: float) -> Engine:
    path = project.endpoint(job)
    if "/" in job or not path.exists():
        names = ", ".join(path.stem for path, known in _endpoints(project) if known) or "none"
        raise UnavailableError(f"no daemon serves {job} here", f"There are: {names}")
    hint = "Without --job what the project's store has is told"
    try:
        endpoint = reach(path, LIMIT_S)
    except UnavailableError as exc:
        raise UnavailableError(Exception.__str__(exc), hint) from exc
    if endpoint is None:
        raise UnavailableError(f"the manager of {job} has ended", hint)
    return Engine(project, endpoint, timeout_s)


def job_option(command: Command) -> Command:
    """Add the option ``--job``."""
    text = "Ask the manager of this running job, or of this endpoint."
    return click.option("--job", metavar="JOB", help=text)(command)
