"""Whether the store has all of a journal, so that it may go to an archive."""

from __future__ import annotations

import pyoxigraph as ox

from manager.store.snapshots import open_snapshot
from manager.vocabulary import term
from pllib.errors import UnavailableError
from pllib.project import Project
from query.engine import find_engine
from tracker.journal import read_unstored, segments
from tracker.linker import context_of

from .stubs import identity_of


def check_stored(project: Project, name: str) -> None:
    """Check that a journal is in the newest snapshot.

    An archived journal is only read again by `sprov rebuild`.

    Raises:
        UnavailableError: A part of it is not, or there is no store.
    """
    folder = project.journal / name
    known = segments(folder)
    if not known:
        return
    find_engine(project).flush()
    marks = watermarks(open_snapshot(project.snapshots), identity_of(known[0][1]))
    for ordinal, frame, _ in read_unstored(folder, marks):
        context = context_of(frame)
        if context is not None and ordinal > marks.get(context.run, -1):
            raise UnavailableError(
                f"journal {name}: frame {ordinal} and maybe more are not in the store yet",
                "`sprov ingest` stores them",
            )


def watermarks(store: ox.Store, journal: str) -> dict[str, int]:
    """Return run → highest frame ordinal of a journal that a snapshot has."""
    rows = store.query(
        f"SELECT ?run (MAX(?n) AS ?last) {{ ?q {term('sprov:journal')} {ox.Literal(journal)} ; "
        f"{term('sprov:run')} ?run ; {term('sprov:watermark')} ?n }} GROUP BY ?run"
    )
    assert isinstance(rows, ox.QuerySolutions)
    return {row[0].value.rpartition("/")[2]: int(row[1].value) for row in rows}
