"""Records to load: 10 used and 10 generated values with 16-character names, all doubles.

Used values repeat as settings do: each name has one of 8 values, drawn at random for each record.
``fresh`` ones are new in every record, as generated ones always are.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import pllib
from manager.mapping import map_batch
from manager.writer import COMMIT_TRIPLES
from pllib.linked import Batch
from pllib.log import LogReader, frame_key
from pllib.project import Project
from tracker.journal import Journal
from tracker.workqueue import WorkQueues

USED = [f"used_value_{nth:05d}" for nth in range(10)]
GENERATED = [f"made_value_{nth:05d}" for nth in range(10)]
N_SETTINGS = 8
FRAMES_A_SYNC = 64


def records(n_records: int, *, fresh: bool) -> Iterator[tuple[dict[str, float], dict[str, float]]]:
    """Yield used and generated values of each record."""
    draw = random.Random(1)
    settings = [draw.random() for _ in range(N_SETTINGS)]
    for _ in range(n_records):
        used = {name: draw.random() if fresh else draw.choice(settings) for name in USED}
        yield used, {name: draw.random() for name in GENERATED}


def capture(project: Project, n_records: int, *, fresh: bool = False) -> Path:
    """Capture records offline; return the log."""
    known = set(project.spool.glob("*.log"))
    settings = {"spool_full": "block", "close_timeout_s": 60.0}
    with pllib.open(study="benchmark", mode="offline", settings=settings) as session:
        for used, made in records(n_records, fresh=fresh):
            with session.transformation("normalise_values", used=used) as execution:
                execution.generated(made)
    (log,) = set(project.spool.glob("*.log")) - known
    return log


def frames(log: Path) -> list[bytes]:
    """Return the frames of a log, packed as they are sent."""
    with LogReader(log) as reader:
        return [located.frame.pack() for located in reader.frames()]


def journalled(project: Project, log: Path) -> tuple[str, int]:
    """Write a log's frames into the journal that `sprov serve` will find.

    Returns:
        Identity of the journal, and the number of frames.
    """
    journal = Journal(project.journal / "local")
    n_frames = 0
    with LogReader(log) as reader:
        found = (located.frame.pack() for located in reader.frames())
        while some := list(itertools.islice(found, FRAMES_A_SYNC)):
            journal.append([(frame_key(frame), frame) for frame in some])
            n_frames += len(some)
    journal.close()
    return journal.identity, n_frames


def batches(log: Path, journal: str = "0" * 32) -> Iterator[Batch]:
    """Yield a log's linked batches, cut as the tracker cuts them under load."""
    queues = WorkQueues()
    with LogReader(log) as reader:
        for located in reader.frames():
            queues.put(located.ordinal, located.frame, {})
            while (batch := queues.take(journal)) is not None:
                yield batch
    while (batch := queues.take(journal, all_ages=True)) is not None:
        yield batch


def commits(log: Path) -> Iterator[tuple[bytes, int]]:
    """Yield N-Triples as the manager would commit them, and the number of records in each."""
    lines: list[str] = []
    n_triples = n_records = 0
    for batch in batches(log):
        text = "".join(map_batch(batch))
        lines.append(text)
        n_triples += text.count("\n")
        n_records += batch.n_records
        if n_triples >= COMMIT_TRIPLES:
            yield "".join(lines).encode(), n_records
            lines, n_triples, n_records = [], 0, 0
    if lines:
        yield "".join(lines).encode(), n_records
