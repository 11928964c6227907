"""Twenty power cuts in one run, at random moments; ranks are on other machines, some are killed."""

from __future__ import annotations

import os
import random

import pytest
from figures import figure
from killing import SEED, Rank, check_all, check_states
from machine import Machine

N_CUTS = int(os.environ.get("SPROV_TEST_CUTS", "20"))
KILL_EVERY = 4


@pytest.mark.timeout(1800)
def test_twenty_power_cuts_lose_nothing_that_was_acknowledged(machine: Machine) -> None:
    draw = random.Random(SEED)
    machine.timeout_s = 600
    machine.disk.begin()
    machine.serve()
    stop = machine.folder / "stop"
    ranks = [Rank(machine, 0, stop)]
    n_bytes = n_names = 0
    for nth in range(N_CUTS):
        machine.sync_more(draw.randint(2_000, 150_000))
        if nth % KILL_EVERY == 1:
            ranks[-1].kill()
            ranks.append(Rank(machine, len(ranks), stop))
        lost = machine.cut_power(draw)
        n_bytes, n_names = n_bytes + lost.n_bytes, n_names + lost.n_names
        machine.serve()
    stop.touch()
    for rank in ranks:
        if not rank.was_killed:
            rank.end()
    machine.sprov("ingest")
    n_records, beyond = check_all(machine, ranks)
    check_states(machine, ranks)
    assert machine.verify()["sessions"] == len(ranks)
    figure(
        "power cuts",
        f"{N_CUTS} power cuts took {n_bytes / 1e6:.1f} MB and {n_names} names that were not "
        f"synced; of {n_records - beyond} calls that returned (transformations, points, stages) "
        "0 lost, 0 doubled",
    )
