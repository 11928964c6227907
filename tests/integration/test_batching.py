"""The same frames become the same triples, however they are cut into batches."""

from __future__ import annotations

from harness import Site

from manager.mapping import map_batch
from pllib.log import Frame, LogReader
from tracker.linker import context_of, link

JOURNAL = "0" * 32


def triples(batches: list[list[tuple[int, Frame]]]) -> set[str]:
    found: set[str] = set()
    for frames in batches:
        context = context_of(frames[0][1])
        assert context is not None
        for text in map_batch(link(frames, JOURNAL, context.run)):
            found.update(text.splitlines())
    return found


def test_a_frame_at_a_time_and_all_at_once(site: Site) -> None:
    """A name is measured in many stages: each is told, whichever are in one batch."""
    site.run("week.py", "12000", "500", SPROV_MODE="offline", SPROV_FLUSH_BYTES="65536")
    (log,) = site.project.spool.glob("*.log")
    with LogReader(log) as reader:
        frames = [(located.ordinal, located.frame) for located in reader.frames()]
    assert len(frames) > 5
    whole = triples([frames])
    assert triples([[frame] for frame in frames]) == whole
    assert triples([frames[:3], frames[2:]]) == whole
