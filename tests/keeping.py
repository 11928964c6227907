"""A project with a journal to be archived, and what its journals hold."""

from __future__ import annotations

from pathlib import Path

from harness import Site, fill_once

from pllib.log import LogReader
from pllib.project import Project
from sprov.keeping.archive import damage
from sprov.keeping.pieces import kept
from sprov.tallies import Tallies
from tracker.journal import Journal, segments

N_STEPS = 1500
SEGMENT_BYTES = 20_000


def fill(site: Site, template: Path) -> Site:
    """Give a project a journal `job`, all of it stored: several segments, one compressed.

    Args:
        template: Folder that it is copied from, filled by the first that comes.
    """
    return fill_once(site, template, _store)


def _store(site: Site) -> None:
    site.run("steps.py", str(N_STEPS), SPROV_FLUSH_BYTES="4096")
    site.run("points.py", "50")
    journal = Journal(site.project.journal / "job", SEGMENT_BYTES)
    for path in sorted(site.project.spool.glob("*.log")):
        with LogReader(path) as reader:
            for located in reader.frames():
                frame = located.frame
                journal.append([((frame.log_id, frame.number), frame.pack())])
        path.unlink()
    assert journal.seal_next()
    journal.close()
    assert len(segments(journal.folder)) > 3
    site.sprov("ingest")


def n_records(project: Project) -> int:
    """Return how many records the journals have, archived or not; no archive may be damaged."""
    journals = kept(project)
    assert journals.unreachable == []
    tallies = Tallies()
    for piece in journals.pieces:
        if piece.is_archived:
            assert list(damage(piece.folder)) == []
        for _, path in segments(piece.folder):
            with LogReader(path) as reader:
                for located in reader.frames():
                    tallies.add(located.frame)
                assert reader.corrupt == []
    return tallies.n_records
