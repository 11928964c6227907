"""Prospective provenance: declare what is planned, from a dict or a file, before or after."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec

from .documents import read
from .errors import Error
from .foreign import is_theirs
from .planning import Checker
from .records import Declared
from .values import as_text

if TYPE_CHECKING:
    from .session import Session

waiting: deque[tuple[list[Declared], list[str]]] = deque(maxlen=1000)
"""Records and problems of what was declared before a session was open."""
REFUSED = "parts of a declaration that are wrong"


def check(source: Any) -> tuple[list[Declared], list[str]]:
    """Return the records of what is right in a declaration, and a line for each problem.

    Args:
        source: A mapping, or the path of a YAML or JSON file.
    """
    try:
        document = read(source)
    except Error as exc:  # no YAML to be had
        return [], [f"{source}: {exc}"]
    if document.content is None:
        if not document.problems:
            document.refuse((), "nothing is declared in it")
        return [], document.problems
    try:
        return Checker(document).check(), document.problems
    except RecursionError:
        document.refuse((), "nested too deep")
    except ValueError as exc:  # a number of over 4,300 digits has no text
        document.refuse((), as_text(exc))
    return [], document.problems


def declare_in(source: Any, session: Session | None) -> None:
    """Declare in a session; without one it waits for the next that opens.  Never raises."""
    try:
        found = check(source)
    except Exception as exc:
        if is_theirs(exc):
            raise
        found = [], [f"{type(exc).__name__}: {as_text(exc)}"]
    waiting.append(found)
    if session is not None:
        session.guard(write_waiting, session)


def write_waiting(session: Session) -> None:
    """Write what waits; a problem is counted by each rank and told by the first."""
    while waiting:
        declared, problems = waiting.popleft()
        for record in declared:
            numbered = msgspec.structs.replace(record, seq=session.next_seq())
            session.guard(session.declare, numbered)
        if problems:
            session.lost[REFUSED] += len(problems)
        if session.rank == 0:
            for problem in problems:
                session.tell(problem)
