"""How a program enters a session: whatever is wrong with us, it runs on as it would without.

Only an argument of the program's own call may raise, and before anything else is looked at.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from .errors import Error, NotAProjectError, SettingsError
from .foreign import is_theirs
from .notices import write
from .off import Off
from .off import enter as enter_off

if TYPE_CHECKING:
    from .session import Session

LOCAL_RANKS = (
    "LOCAL_RANK", "MPI_LOCALRANKID", "OMPI_COMM_WORLD_LOCAL_RANK", "SLURM_LOCALID",
)  # fmt: skip
"""Which of a node's ranks this is.  Source: torchrun, MPICH 5 hydra, Open MPI 5, srun(1)."""


def enter(arguments: dict[str, Any]) -> Session | Off:
    """Open a session, or what stands in for one if capture is off or none can be opened.

    Raises:
        SettingsError: An argument is not usable.
    """
    from .settings import Settings, check, is_off

    mode, given = arguments["mode"], arguments["settings"]
    if is_off(os.environ) or mode == "off":
        return enter_off(arguments)
    _check_arguments(arguments)
    check(Settings, {**(given or {}), **({} if mode is None else {"mode": mode})})
    try:
        from .opening import open_session

        session = open_session(**arguments)
    except Exception as exc:
        if is_theirs(exc):
            raise
        _tell(exc)
        return enter_off(arguments)
    return enter_off(arguments) if session is None else session


def enter_around(
    options: Mapping[str, Any], facts: Mapping[str, str], settings: Mapping[str, Any]
) -> Session | Off:
    """Open the session of a command that this process is about to start, as `enter` does."""
    none = dict.fromkeys(("run", "config", "resume_from", "mode", "rank", "size"))
    return enter({**none, **options, "facts": facts, "settings": settings, "wraps": True})


def _check_arguments(arguments: dict[str, Any]) -> None:
    for name in ("settings", "facts"):
        if not isinstance(arguments[name], Mapping | None):
            raise SettingsError(f"{name}={arguments[name]!r:.80} is no mapping")
    if not isinstance(arguments["tags"], Iterable):
        raise SettingsError(f"tags={arguments['tags']!r:.80} is no text and no list of texts")
    _check_rank(arguments["rank"], arguments["size"])


def _check_rank(rank: Any, size: Any) -> None:
    if rank is None and size is None:
        return
    if type(rank) is not int or type(size) is not int or not 0 <= rank < size:
        raise SettingsError(
            f"rank={rank!r:.40} and size={size!r:.40} are no rank of a launch",
            "Give `open` both, with 0 <= rank < size",
        )


def _tell(exc: Exception) -> None:
    """Say why there is no session; what all ranks of a node know only the first of them says."""
    is_common = isinstance(exc, SettingsError | NotAProjectError | OSError)
    if not is_common or is_first_here(os.environ):
        write(f"{_reason(exc)}; the program runs without provenance")


def is_first_here(environ: Mapping[str, str]) -> bool:
    """Tell whether this is the first rank of its launch on this node, as far as is known."""
    found = next((environ[name] for name in LOCAL_RANKS if environ.get(name)), "0")
    return not found.strip("0")


def _reason(exc: Exception) -> str:
    if isinstance(exc, Error):
        return str(exc)
    if isinstance(exc, OSError) and exc.strerror:
        return f"{exc.filename}: {exc.strerror}" if exc.filename else exc.strerror
    return f"{type(exc).__name__}: {exc}"
