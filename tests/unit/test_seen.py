"""The ranges of a log's frames are the set of their numbers, in whatever order they come."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from tracker.seen import Seen

LOG, OTHER = b"a" * 16, b"b" * 16
numbers = st.lists(st.integers(0, 40), max_size=60)


@given(numbers, numbers)
def test_ranges_tell_what_a_set_would(added, united):
    seen, other = Seen(), Seen()
    for number in added:
        seen.add(LOG, number)
    for number in united:
        other.add(LOG, number)
        other.add(OTHER, number)
    seen.unite(other.ranges)
    have = {n for n in range(45) if seen.has(LOG, n)}
    assert have == {*added, *united}
    assert {n for n in range(45) if seen.has(OTHER, n)} == set(united)
    bounds = seen.ranges.get(LOG, [])
    assert all(left < right for left, right in itertools.pairwise(bounds))
    assert len(bounds) == 2 * sum(n - 1 not in have for n in have)


def test_a_log_of_many_frames_in_order_is_one_range():
    seen = Seen()
    for number in range(100_000):
        seen.add(LOG, number ^ 1)  # each pair the other way round, as after a resend
    assert seen.ranges[LOG] == [0, 100_000]
