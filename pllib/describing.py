"""Have a session tell with which software it runs, beside what the program does.

The sender's thread takes a piece a round; what is left at the session's end is told then, for as
long as there is of the time that all of it may take.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import msgspec

from .recording import NOTHING
from .records import Facts, Outcome, encode
from .software import FACTS_A_RECORD, Software, as_fact

if TYPE_CHECKING:
    from .session import Session

LONGEST_S = 0.05
"""Of a processor, for all of it."""
INCOMPLETE = {"software_unknown": "not all packages: to look for them took too long"}


def write(session: Session, record: Facts | Outcome) -> None:
    """Write a record that still has no number."""
    numbered = msgspec.structs.replace(record, seq=session.next_seq())
    session.write((session.kind, session.name, NOTHING, NOTHING), lambda _: encode(numbered))


def tell_facts(session: Session, facts: Mapping[str, str]) -> None:
    items = [(name, as_fact(text)) for name, text in facts.items() if text]
    for at in range(0, len(items), FACTS_A_RECORD):
        write(session, Facts(-1, dict(items[at : at + FACTS_A_RECORD])))


class Describer:
    """Tells of the software of one session, on one thread at a time."""

    def __init__(self, session: Session, software: Software) -> None:
        self._session = session
        self._software = software
        self._pieces: Iterator[dict[str, str]] | None = software.pieces()
        self._one_at_a_time = threading.Lock()
        self._spent_s = 0.0

    def advance(self) -> None:
        """On the sender's thread: tell a piece."""
        if self._pieces is not None and self._one_at_a_time.acquire(blocking=False):
            try:
                self._tell_piece()
            finally:
                self._one_at_a_time.release()

    def finish(self) -> None:
        """At the session's end: tell the rest, and the packages that were loaded meanwhile."""
        if not self._one_at_a_time.acquire(timeout=LONGEST_S):
            return
        try:
            while self._pieces is not None:
                self._tell_piece()
            self._pieces = self._software.packages()
            while self._pieces is not None:
                self._tell_piece()
        finally:
            self._pieces = None
            self._one_at_a_time.release()

    def _tell_piece(self) -> None:
        if self._pieces is None:
            return
        began = time.thread_time()
        found = next(self._pieces, None)
        self._spent_s += time.thread_time() - began
        if found is None:
            self._pieces = None
        elif self._spent_s > LONGEST_S:
            tell_facts(self._session, {**found, **INCOMPLETE})
            self._pieces = None
        else:
            tell_facts(self._session, found)
