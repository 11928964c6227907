"""Which manager is asked, and what is said of one that should be there and can't be.

A daemon that was killed leaves its endpoint file behind.  Another user may have its port since, or
its whole node: then nothing is sent, the file is called stale, and the store is read instead.
"""

from __future__ import annotations

from pathlib import Path

from pllib import launch, managers
from pllib.errors import UnavailableError
from pllib.listening import is_daemon
from pllib.notices import warn
from pllib.project import Endpoint, read_endpoint

LIMIT_S = 5.0


def reach(path: Path, timeout_s: float = LIMIT_S) -> Endpoint | None:
    """Return an endpoint whose manager answers and has proved who it is.

    Returns:
        None if none is to be there.

    Raises:
        UnavailableError: One should be there; says why it can't be asked.
    """
    endpoint = read_endpoint(path)
    if not endpoint.manager:
        return None
    try:
        status = managers.request(endpoint, "GET", "/v1/status", timeout_s=timeout_s).status
    except UnavailableError as exc:
        raise _unreached(path, endpoint, exc) from exc
    if status != 200:
        raise UnavailableError(f"the manager at {endpoint.manager} answers {status}")
    return endpoint


def _unreached(path: Path, endpoint: Endpoint, exc: UnavailableError) -> UnavailableError:
    host = endpoint.host_of("manager")
    is_here = host in ("", launch.host())
    reason = Exception.__str__(exc)
    if isinstance(exc, managers.NotTheManagerError):
        return managers.NotTheManagerError(f"{path} is stale: {reason}", exc.hint)
    if not is_here:
        words = f"{path} is stale, or {host} can't be reached from here: {reason}"
        return UnavailableError(words, exc.hint)
    if is_daemon(endpoint.manager_pid):
        return UnavailableError(f"{path}: {reason}", exc.hint)
    return UnavailableError(f"{path} is stale: {reason}", "`sprov stop` removes it")


def warn_of_unreached(reason: str) -> None:
    """Say once, on stderr, that the store is read instead of asking a manager."""
    warn(f"{reason}; the store is read instead")
