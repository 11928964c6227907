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
from .data import File, Model
from .errors import Error
from .execution import Execution, Stage, Transformation, innermost
from .off import OFF, Off
from .session import Session, latest, open_session

__all__ = [
    "Error", "Execution", "File", "Model", "Off", "Session", "Stage", "Transformation",
    "captured", "current", "open",
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
    mode: str | None = None,
    settings: Mapping[str, Any] | None = None,
    facts: Mapping[str, str] | None = None,
) -> Session | Off:
    """Open a session: rank, job and tracker are found.

    Args:
        study, experiment: What the run is part of.
        run: Tells runs of one launch apart; part of the run's identity.
        name: For people.
        workflow: Name of what is run; by default the experiment, study or program.
        config: A dict, Namespace, dataclass or OmegaConf; recorded as hyperparameters.
        mode: online, offline or off.
        settings: See `pllib.settings.Settings`.
        facts: Job facts to add to those of the environment.

    Raises:
        Error: A setting is not usable or no spool can be made; after this nothing is raised.
    """
    session = open_session(
        study=study, experiment=experiment, run=run, name=name, workflow=workflow, tags=tags,
        config=config, mode=mode, settings=settings, facts=facts,
    )  # fmt: skip
    return OFF if session is None else session


def current() -> Execution | Off:
    """Return the innermost open session or execution; one that does nothing if there is none."""
    inner = innermost.get()
    if inner is not None:
        return inner
    return latest() or OFF
