"""Trying again what a disk refuses: until it is done, or it is time to give up."""

from __future__ import annotations

import errno
import math
import threading

import pytest
from harness import wait_until

from manager.retrying import Retrying


class Disk:
    """Refuses `n_refusals` times."""

    def __init__(self, n_refusals: float) -> None:
        self.n_left = n_refusals
        self.calls: list[str] = []

    def write(self) -> str:
        self.calls.append("write")
        if self.n_left > 0:
            self.n_left -= 1
            raise OSError(errno.ENOSPC, "No space left on device")
        return "written"

    def mend(self) -> None:
        self.calls.append("mend")


def test_it_is_mended_before_each_further_attempt():
    said: list[str] = []
    disk = Disk(2)
    retrying = Retrying(lambda: said.append(retrying.trouble), math.inf)
    assert retrying.until_done("store", disk.write, disk.mend) == "written"
    assert disk.calls == ["write", "mend", "write", "mend", "write"]
    assert said == [*["store: [Errno 28] No space left on device"] * 2, ""]
    assert retrying.lasts_s == 0


def test_what_can_never_be_done_is_not_tried_again():
    disk = Disk(0)

    def load() -> None:
        disk.calls.append("load")
        raise SyntaxError("not N-Triples")

    with pytest.raises(SyntaxError):
        Retrying(lambda: None, math.inf).until_done("store", load, disk.mend)
    assert disk.calls == ["load"]


def test_patience_ends():
    disk = Disk(math.inf)
    with pytest.raises(OSError, match="No space"):
        Retrying(lambda: None, 0.3).until_done("store", disk.write)
    assert len(disk.calls) == 3


def test_the_end_is_not_kept_waiting():
    disk = Disk(math.inf)
    retrying = Retrying(lambda: None, math.inf)
    ended: list[str] = []

    def run() -> None:
        try:
            retrying.until_done("store", disk.write)
        except OSError as exc:
            ended.append(str(exc))

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(lambda: retrying.trouble)
    retrying.end_within(0)
    thread.join()
    assert ended == ["[Errno 28] No space left on device"]
