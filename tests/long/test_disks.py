"""One call on the journal's disk that fails, at each of the first places, of each kind."""

from __future__ import annotations

import errno
from random import Random

import pytest
from disks import NAMES, SHORTS, SYNCS, WRITES
from enduring import served_ranks, wait_until_visible
from figures import figure
from harness import wait_until
from killing import SEED
from machine import Machine

N_RANKS, N_PLACES = 3, 4
FAULTS = [
    (errno.EIO, WRITES), (errno.EIO, SYNCS), (errno.EIO, NAMES | SYNCS), (errno.ENOSPC, WRITES),
    (errno.ENOSPC, WRITES | SYNCS), (errno.ENOSPC, SHORTS), (errno.EIO, SHORTS | WRITES),
]  # fmt: skip


@pytest.mark.timeout(1800)
def test_one_error_anywhere_on_the_journals_disk_loses_no_ranks_records(machine: Machine) -> None:
    """Of the calls that follow an error some fail too: the next segment can't be made either."""
    draw = Random(SEED)
    print(f"SPROV_TEST_SEED={SEED}")
    drawn = [(*fault, before) for fault in FAULTS for before in range(N_PLACES)]
    draw.shuffle(drawn)
    with served_ranks(machine, N_RANKS) as ranks:
        for error, calls, before in drawn:
            machine.disk.fail(
                error, calls, "/journal/local/", left=draw.randint(1, 3), before=before
            )
            wait_until(lambda: machine.disk.left == 0)
            wait_until_visible(machine, ranks)
        machine.disk.heal()
    n_captured = sum(rank.returned["T"] for rank in ranks)
    figure(
        "disk errors",
        f"{len(drawn)} errors of the journal's disk, each at another call, {N_RANKS} ranks: "
        f"of {n_captured} transformations 0 lost, 0 doubled, with no restart",
    )
