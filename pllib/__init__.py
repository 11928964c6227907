"""Capture library: the only code of sprov that runs inside a user's process.

    import pllib

    with pllib.open(study="digits") as session:
        with session.stage("training", "fit", hyperparameters={"lr": 1e-3}) as training:
            training.generated(accuracy=0.97)

Importing it reads, opens and starts nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .captured import captured
from .data import Dataset, Directory, FeatureSet, File, Model, Ref
from .ends import latest
from .entrance import enter
from .errors import Error
from .execution import Execution, Stage, Transformation
from .off import OFF, Off
from .recording import innermost
from .session import Session

__all__ = [
    "Dataset", "Directory", "Error", "Execution", "FeatureSet", "File", "Model", "Off", "Ref",
    "Session", "Stage", "Transformation", "captured", "current", "declare", "open",
]  # fmt: skip


def open(
    *,
    study: str | None = None,
    experiment: str | None = None,
    run: str | None = None,
    name: str | None = None,
    workflow: str | None = None,
    tags: tuple[str, ...] = (),
    config: Any = None,
    resume_from: Any = None,
    mode: str | None = None,
    settings: Mapping[str, Any] | None = None,
    facts: Mapping[str, str] | None = None,
    rank: int | None = None,
    size: int | None = None,
) -> Session | Off:
    """Open a session: rank, job and tracker are found.

    Where none can be opened (no place to write, a file of settings that can't be read), that is
    said once on stderr and what is returned does nothing: the program runs on.

    Args:
        study, experiment: What the run is part of.
        run: Tells runs of one launch apart; part of the run's identity.
        name: For people.
        workflow: Name of what is run; by default the experiment, study or program.
        config: A dict, Namespace, dataclass, OmegaConf or pydantic model, nested as it may be;
            recorded as hyperparameters with dotted names.
        resume_from: A checkpoint's path or a run, as for `Session.resumed_from`.
        mode: online, offline or off.
        settings: See `pllib.settings.Settings`.
        facts: Job facts to add to those of the environment.
        rank, size: Which of how many this process is, where no launcher tells; from 0.

    Raises:
        Error: An argument is not usable; nothing else is raised, here or later.
    """
    return enter(
        {
            "study": study, "experiment": experiment, "run": run, "name": name,
            "workflow": workflow, "tags": tags, "config": config, "resume_from": resume_from,
            "mode": mode, "settings": settings, "facts": facts, "rank": rank,
            "size": size,
        }
    )  # fmt: skip


def declare(workflow: Any) -> None:
    """Declare what is planned: prospective provenance of a study, its workflows and data.

    It goes into the open session, or into the next one that opens.  What is wrong in it is told on
    stderr and counted there, and the rest is kept; ``sprov declare --check`` tells it beforehand.

    Args:
        workflow: A dict, or the path of a YAML or JSON file: docs/reference/declaration.md.
    """
    from .declaration import declare_in

    declare_in(workflow, _session())


def _session() -> Session | None:
    inner = _innermost()
    return latest() if inner is None else inner._session


def _innermost() -> Execution | None:
    """Return the innermost execution of an open session: another thread may have closed one."""
    inner = innermost.get()
    while inner is not None and inner._session.is_closed:
        inner = inner._outer
    return inner


def current() -> Execution | Off:
    """Return the innermost open session or execution; one that does nothing if there is none.

    In a thread that has opened nothing it is the session that was opened last.
    """
    return _innermost() or latest() or OFF
