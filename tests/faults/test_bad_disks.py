"""Disks of journal, store and series that fill up or fail: all goes on, and heals by itself."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

from disks import NAMES, SYNCS, WRITES
from enduring import Place, endure, trouble, wait_until_visible
from harness import PROGRAMS, TRANSFORMATIONS, lack, wait_until
from killing import Rank
from machine import Machine

PLACES = ("journal", "store", "series")
MOUNT = ("unshare", "--user", "--map-root-user", "--mount")
TMPFS = ("mount", "-t", "tmpfs", "-o", "size=48m,mode=0700", "small")


def test_disks_that_fail_come_back_without_a_restart(machine: Machine):
    """Linux tells of a failed sync once, and RocksDB then refuses all that is written.

    What follows one error of the journal goes to another segment, where other frames have the
    ordinals of those whose sync failed; `tests/long/test_disks.py` has more of these.
    """
    disk = machine.disk
    places = [
        Place(name, partial(disk.fail, errno.EIO, SYNCS, f"/{name}/"), disk.heal) for name in PLACES
    ]

    def fail_once(ranks: list[Rank]) -> None:
        disk.fail(errno.EIO, SYNCS, "/journal/local/", left=1)
        wait_until(lambda: disk.left == 0)
        wait_until_visible(machine, ranks)

    endure(machine, places, fail_once)


def test_one_error_is_tried_again(machine: Machine):
    """Nobody else sees it: not the rank, not who asks."""
    machine.serve()
    for name in PLACES:
        machine.disk.fail(errno.EIO, WRITES | SYNCS, f"/{name}/", left=1)
        machine.run("points.py", "100")
        assert machine.count("?s sprov:seriesFile ?f") > 0
        assert machine.disk.left == 0
    machine.disk.heal()
    assert machine.verify()["sessions"] == len(PLACES)


def test_full_disks_are_endured_without_a_restart(tmp_path: Path):
    """File systems of their own, in a mount namespace, are filled to the last page."""
    trial = subprocess.run([*MOUNT, *TMPFS, "/mnt"], capture_output=True, check=False)
    if trial.returncode:
        lack("no mount namespaces here")
    root = tmp_path / ".sprov"
    steps = [
        f"mkdir -p -m 0700 {disk} && {' '.join(TMPFS)} {disk}"
        for disk in (root, root / "journal", root / "series")
    ]
    program = f"exec {sys.executable} {PROGRAMS / 'full_disks.py'} {tmp_path}"
    done = subprocess.run(
        [*MOUNT, "sh", "-ec", "\n".join([*steps, program])],
        env={**os.environ, "PYTHONPATH": str(PROGRAMS.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def test_daemons_end_on_a_full_disk_and_the_next_store_what_is_journalled(machine: Machine):
    machine.serve()
    machine.disk.fail(errno.ENOSPC, WRITES | SYNCS | NAMES, "/store/")
    machine.run("steps.py", "200")
    wait_until(lambda: "store" in trouble(machine))
    machine.stop()
    machine.disk.heal()
    machine.serve()
    assert machine.count(TRANSFORMATIONS) == 200
    machine.verify()
