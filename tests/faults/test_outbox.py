"""The disk under a project fails while a rank writes its log there: all is there afterwards."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
from disks import NAMES, SYNCS, WRITES, Disk, build, missing_compiler
from harness import TIMEOUT_S, TRANSFORMATIONS, Site, lack, wait_until

from pllib.log import LogReader


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    if missing := missing_compiler():
        lack(missing)
    state = tmp_path / "state"
    state.mkdir()
    return Disk(build(state), tmp_path / ".sprov", state)


class Rank:
    """A program that captures offline, in frames of a page."""

    def __init__(self, site: Site, disk: Disk) -> None:
        self._spool = site.project.spool
        self._enough = site.folder / "enough"
        self._process = site.start(
            "timed_steps.py", str(self._enough), "0.002", "200",
            SPROV_MODE="offline", SPROV_FLUSH_BYTES="4096", **disk.environment,
        )  # fmt: skip

    @property
    def n_waiting(self) -> int:
        """Sealed frames in its spool."""
        found = 0
        for path in self._spool.glob("*.spool"):
            with LogReader(path) as reader:
                found += sum(1 for _ in reader.frames(unsealed=False))
        return found

    @property
    def n_written(self) -> int:
        return sum(path.stat().st_size for path in self._spool.glob("*.log"))

    def end(self) -> int:
        self._enough.touch()
        out, errors = self._process.communicate(timeout=TIMEOUT_S)
        assert (self._process.returncode, errors) == (0, "")
        told = json.loads(out)
        assert told["lost"] == 0
        return int(told["captured"])


FAILURES = [
    (errno.EIO, NAMES),
    (errno.EIO, WRITES),
    (errno.EIO, SYNCS),
    (errno.ENOSPC, WRITES),
    (errno.EDQUOT, SYNCS),
]


def test_a_rank_goes_on_when_its_outbox_fails_and_works_again(site: Site, disk: Disk):
    """Its spool holds what the log can't, each time; then the log, or another one, goes on."""
    disk.fail(*FAILURES[0], ".log")
    rank = Rank(site, disk)
    for error, calls in FAILURES:
        disk.fail(error, calls, ".log")
        wait_until(lambda: rank.n_waiting > 40)
        before = rank.n_written
        disk.heal()
        wait_until(lambda: rank.n_written > before and rank.n_waiting < 5)  # noqa: B023
    captured = rank.end()
    site.sprov("ingest")
    assert site.count(TRANSFORMATIONS) == captured
    assert list(site.project.spool.iterdir()) == []
    site.verify()
