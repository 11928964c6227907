"""Runs whose ranks their tracker can't reach: how that is said."""

from __future__ import annotations

from typing import Any

import pytest

from query.silence import state_in_words


@pytest.mark.parametrize(
    ("silence", "words"),
    [
        ((None, None), "running"),
        ((0, None), "running"),
        ((4, 12.4), "running (silent for 12 s)"),
        ((4, 300.0), "running (silent for 5 min)"),
        ((1, 10_800.0), "running (1 of 4 ranks silent for 3 h)"),
        ((3, 200_000.0), "running (3 of 4 ranks silent for 2 d)"),
    ],
)
def test_silent_ranks_are_said_with_the_state(silence: tuple[Any, Any], words: str):
    row = {"state": "running", "ranks": 8, "ranks_seen": 4}
    row |= dict(zip(("silent_ranks", "silent_s"), silence, strict=True))
    assert state_in_words(row) == words
