"""What is lost is counted, however many reasons there are, and said in a record that fits."""

from __future__ import annotations

from pllib.log import FRAME_BYTES, record_bytes
from pllib.losses import MAX_REASONS, OTHERS, RECORD_BYTES, Losses
from pllib.records import Closed, encode


def test_as_many_reasons_as_a_program_has_words_for_are_counted_in_a_few():
    losses = Losses()
    for n in range(6000):
        losses.add(f"ValueError in capture: could not convert 'epoch {n}'", 1)
        losses.add(f"reason {n}", 2)
    assert len(losses) <= 2 * MAX_REASONS + 1
    assert sum(losses.values()) == sum(losses.recorded().values()) == 18_000
    assert losses[OTHERS] > 0


def test_the_record_fits_into_the_smallest_chunk_and_tells_the_most_frequent():
    losses = Losses()
    losses.add("spool full", 7)
    for n in range(40):
        losses.add("\U0001f4a5" * 190 + str(n), 1)
    recorded = losses.recorded()
    body = encode(Closed(1 << 40, 1 << 40, recorded, 1 << 62))
    assert record_bytes(len(body)) < RECORD_BYTES + 100 < 4096 - FRAME_BYTES
    assert recorded["spool full"] == 7
    assert sum(recorded.values()) == 47


def test_nothing_lost_is_nothing_said():
    losses = Losses()
    losses.add("over 4,096 series: no summary of the others", 0)
    assert losses.in_words() == ""
