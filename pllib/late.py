"""A rank that became known only after its session was opened: too late for the run, and said."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from .launchers import group_ranks
from .recording import NOTHING
from .records import Facts, encode

if TYPE_CHECKING:
    from .session import Session

_told: weakref.WeakSet[Session] = weakref.WeakSet()


def look(session: Session) -> None:
    """Record once that torch.distributed was initialised after this session of one was opened.

    The run is in all that was recorded before, so it stays as it is.
    """
    if session.size > 1 or session in _told or (found := group_ranks()) is None:
        return
    _told.add(session)
    reason = f"rank {found.rank} of {found.size} was initialised after `open`"
    facts = encode(Facts(session.next_seq(), {"alone": reason}))
    session.write((session.kind, session.name, NOTHING, NOTHING), lambda _: facts)
    if found.rank == 0:
        session.tell(
            f"{reason}: each rank has a run of its own; open the session after "
            "torch.distributed is initialised, or by `open(rank=, size=)`"
        )
