"""Ten thousand clients over CURVE on one tracker; then half of them are killed."""

from __future__ import annotations

import time

import pytest
from crowd import Crowd, journalled, status, tracker
from figures import figure
from harness import Site

N_CLIENTS, N_PROCESSES = 10_000, 4
MOST_BYTES_EACH = 40 << 10


@pytest.mark.timeout(600)
def test_ten_thousand_clients_are_acknowledged_and_half_of_them_killed(site: Site):
    with tracker(site) as process:
        before = process.memory_info().rss
        start = time.monotonic()
        crowds = [Crowd(site, N_CLIENTS // N_PROCESSES) for _ in range(N_PROCESSES)]
        _send(crowds)
        took_s = time.monotonic() - start
        each = (process.memory_info().rss - before) / N_CLIENTS
        figure("clients connected and acknowledged", f"{N_CLIENTS:,} in {took_s:.1f} s")
        figure("tracker's memory", f"{each / 1024:.1f} KiB a client")
        found = status(site.endpoint)
        assert (found["clients"], found["refused"]) == (N_CLIENTS, 0)
        assert len(found["ranks"]) + found["ranks_not_listed"] == N_CLIENTS
        assert each < MOST_BYTES_EACH
        for crowd in crowds:
            crowd.send()
        dead, alive = crowds[: N_PROCESSES // 2], crowds[N_PROCESSES // 2 :]
        for crowd in dead:
            crowd.kill()
            crowd.n_rounds -= 1  # whether the last was acknowledged, nobody can tell
        for crowd in alive:
            crowd.hear()
        _send(alive)
    keys = journalled(site.project.journal / "local")
    acknowledged = set().union(*(crowd.keys() for crowd in crowds))
    assert len(keys) == len(set(keys))
    assert set(keys) >= acknowledged
    lost = len(acknowledged - set(keys))
    figure("half of the clients killed", f"{lost} of {len(acknowledged):,} acknowledged lost")


def _send(crowds: list[Crowd]) -> None:
    """Have each client send a frame, and wait until all are acknowledged."""
    for crowd in crowds:
        crowd.send()
    for crowd in crowds:
        crowd.hear()
