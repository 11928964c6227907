"""A hundred SIGKILLs of the tracker in one run, thirty of ranks, and of whatever else there is."""

from __future__ import annotations

import os

import pytest
from figures import figure
from harness import Site
from killing import Killing, check_all, check_sessions, check_states

TRACKERS = int(os.environ.get("SPROV_TEST_KILLS", "100"))
RANKS, MANAGERS, WORKERS = (TRACKERS * each // 100 for each in (30, 20, 50))


@pytest.mark.timeout(1800)
def test_a_hundred_kills_lose_double_and_halve_nothing(served: Site) -> None:
    killing = Killing(served, n_ranks=3)
    order = [
        *["tracker"] * TRACKERS, *["rank"] * RANKS, *["manager"] * MANAGERS, *["worker"] * WORKERS,
    ]  # fmt: skip
    killing.draw.shuffle(order)
    for what in order:
        killing.go_on(250)
        killing.kill(what)
    seen = killing.end()
    n_records, beyond = check_all(served, killing.ranks)
    check_states(served, killing.ranks)
    check_sessions(served, killing.ranks)
    assert (seen["half"], seen["shrunk"]) == (0, 0)
    assert seen["answered"] > TRACKERS // 10
    killed = ", ".join(f"{n} of {what}s" for what, n in sorted(killing.killed.items()))
    figure(
        "kills",
        f"SIGKILLs: {killed}; of {n_records - beyond} calls that returned (transformations, "
        f"points, stages) 0 lost, 0 doubled; {seen['answered']} queries meanwhile saw 0 by half "
        f"({seen['unanswered']} were not answered)",
    )
