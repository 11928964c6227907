"""Where an execution is in others: its index, its path, and what is around it when it ends."""

from __future__ import annotations

from collections.abc import Iterable
from operator import index
from typing import TYPE_CHECKING, Any, SupportsIndex

from .foreign import is_theirs
from .recording import innermost
from .words import interned

if TYPE_CHECKING:
    from .execution import Execution, Stage
    from .session import Session


def each_index(indices: int | Iterable[int]) -> Iterable[int]:
    """Return the indices that a number of sections stands for, or those given."""
    return range(index(indices)) if isinstance(indices, SupportsIndex) else indices


def as_index(value: Any) -> int | None:
    """Return a section's index if it is a whole number of 64 bits, else None."""
    if value is None:
        return None
    try:
        number = index(value)
    except Exception as exc:  # it is none; or whatever a foreign __index__ raises
        if is_theirs(exc):
            raise
        return None
    return number if abs(number) < 1 << 63 else None


def leave(execution: Stage | Session, error: BaseException | None) -> None:
    """Make what is around an execution the innermost again, if it or a part of it is that.

    Parts may still be open: a generator that somebody refers to ends when it is collected.  With an
    error they end here, by the same one.
    """
    inner, parts = innermost.get(), []
    while inner is not None and inner is not execution:
        parts.append(inner)
        inner = inner._outer
    session = execution._session
    if inner is execution:
        outer = execution._outer
        while outer is not None and outer._session is not session and outer._session.is_closed:
            outer = outer._outer
        innermost.set(outer)
    if error is None or isinstance(error, GeneratorExit):
        return
    from .execution import Stage  # which imports this module

    for part in parts if inner is execution else ():
        if isinstance(part, Stage) and part._session is session:
            part._end(error)
    if session._left:
        from .unwinding import tell_causes

        tell_causes(session, error)


def path_in(parent: Execution, kind: str, name: str, index: int | None) -> str:
    """Return where an execution is: what all ranks that do the same agree on.

    The last part tells apart those of one kind, name and index in one parent: it counts how often
    their index did not increase, so that what is remembered does not grow with their number.  A
    transformation has no path: what is in it is counted with what is around it.
    """
    while not parent._has_path and parent._outer is not None:
        parent = parent._outer
    here = f"{_quote(kind)}:{_quote(name)}"
    occurrences = parent.occurrences
    last, nth = occurrences.get(here, (-1, 0))
    number = last if index is None else index
    if here in occurrences and number <= last:
        nth += 1
    occurrences[here] = number, nth
    return f"{parent.path}/{here}:{'' if index is None else index}:{nth}".lstrip("/")


def _quote(text: str) -> str:
    """Percent-encode what separates the parts of a path."""
    return interned(text).replace("%", "%25").replace("/", "%2F").replace(":", "%3A")
