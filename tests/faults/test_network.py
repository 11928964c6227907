"""Networks that break, stall and come back: exact counts, and a loop that never waited.

Rank and tracker are on nodes of their own, with cables between them that can be pulled.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from figures import figure
from harness import PROGRAMS, SCRIPT, TIMEOUT_S, TRANSFORMATIONS, Site, wait_until
from nodes import Cable, Node, need_network_namespaces

from pllib.frame import Frame
from pllib.log import LogReader

PACE_S = 0.002
FLUSH_AGE_S = 0.1
HEARTBEAT_RECORDS = 3300
"""More than are captured, at that pace, until a rank finds that nobody is there: 6 s of silence."""


class Cluster(Site):
    """A rank's node, and two that a tracker may run on."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.rank, self.first, self.second = Node(), Node(), Node()
        self.cable = Cable(1, self.rank, self.first)
        self.other = Cable(2, self.rank, self.second)
        self.served_on = self.first
        self.captured: list[int] = []

    def serve_on(self, node: Node, address: str) -> None:
        self.served_on = node
        ready = self.folder / "ready"
        ready.unlink(missing_ok=True)
        command = [SCRIPT, "serve", "--bind", address, "--ready-file", str(ready)]
        self.server = subprocess.Popen(
            node.entered(*command), cwd=self.folder, env=self.environment()
        )
        wait_until(lambda: ready.exists() or self._died())

    def command(self, *arguments: str) -> list[str]:
        return self.served_on.entered(SCRIPT, *arguments)

    def capture(self, enough: Path, n_bytes: int = 0) -> subprocess.Popen[str]:
        program = [sys.executable, str(PROGRAMS / "timed_steps.py")]
        arguments = [str(enough), str(PACE_S), str(n_bytes)]
        settings = {"SPROV_FLUSH_AGE_S": str(FLUSH_AGE_S), "SPROV_CLOSE_TIMEOUT_S": "40"}
        process = subprocess.Popen(
            self.rank.entered(*program, *arguments),
            cwd=self.folder, env=self.environment(**settings),
            text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.started.append(process)
        return process

    def frames(self) -> list[Frame]:
        """Return the frames that the rank's spool holds, those being filled too."""
        found = []
        for path in self.project.spool.glob("*.spool"):
            with LogReader(path) as reader:
                found += [located.frame for located in reader.frames()]
        return found

    def n_waiting(self) -> int:
        """Return how many records the rank's spool holds."""
        return sum(frame.n_records for frame in self.frames())

    @property
    def is_sending(self) -> bool:
        """The spool has only what was captured a moment ago, and before that there was more."""
        numbers = [frame.number for frame in self.frames()]
        return max(numbers, default=0) > 5 and len(numbers) < 4

    def numbers(self) -> list[int]:
        rows = self.select(
            f"""SELECT ?n {{ {TRANSFORMATIONS} ; prov:used ?u .
                ?u prov:value ?n ; provml:ofAttribute/rdfs:label "n" }}"""
        )
        return sorted(int(row["n"]) for row in rows)

    def close(self) -> None:
        try:
            super().close()
        finally:
            for node in (self.rank, self.first, self.second):
                node.close()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    need_network_namespaces()
    with Cluster(tmp_path_factory.mktemp("network")) as made:
        made.serve_on(made.first, made.cable.far_address)
        yield made


def survives(
    cluster: Cluster, enough: Path, harm: Callable[[], Any], heal: Callable[[], Any], n_records: int
) -> dict[str, int]:
    """Harm while a rank captures until its spool holds so many records; heal; all must be there.

    Returns:
        What the rank told.
    """
    rank = cluster.capture(enough)
    wait_until(lambda: cluster.is_sending)
    harm()
    wait_until(lambda: cluster.n_waiting() >= n_records)
    heal()
    wait_until(lambda: cluster.is_sending)
    return all_there(cluster, rank, enough)


def all_there(cluster: Cluster, rank: subprocess.Popen[str], enough: Path) -> dict[str, int]:
    """End a rank; the tracker must have had all of it by then, and the store each record once."""
    enough.touch()
    out, errors = rank.communicate(timeout=TIMEOUT_S)
    assert (rank.returncode, errors) == (0, "")
    told: dict[str, int] = json.loads(out)
    assert told["lost"] == 0
    assert list(cluster.project.spool.iterdir()) == []
    cluster.captured.append(told["captured"])
    expected = sorted(n for captured in cluster.captured for n in range(captured))
    assert cluster.numbers() == expected
    return told


def tell(what: str, told: dict[str, int]) -> None:
    p99, longest = told["p99_us"], told["longest_us"]
    figure(f"capture, {what}", f"p99 {p99} us, longest {longest} us of {told['captured']}")


def test_a_cable_is_pulled_and_plugged(cluster: Cluster, tmp_path: Path):
    cable = cluster.cable
    told = survives(cluster, tmp_path / "enough", cable.pull, cable.plug, 1000)
    tell("cable pulled", told)


def test_packets_vanish_for_longer_than_a_connection_lives(cluster: Cluster, tmp_path: Path):
    """Half-open: neither end is told that the other can't be reached."""
    cable = cluster.cable
    told = survives(cluster, tmp_path / "enough", cable.blind, cable.see, HEARTBEAT_RECORDS)
    tell("packets vanish", told)


def test_a_tracker_stands_still_for_longer_than_a_connection_lives(
    cluster: Cluster, tmp_path: Path
):
    """Its kernel takes connections and bytes, and nobody answers."""
    pid = cluster.endpoint.tracker_pid
    told = survives(
        cluster, tmp_path / "enough", lambda: os.kill(pid, signal.SIGSTOP),
        lambda: os.kill(pid, signal.SIGCONT), HEARTBEAT_RECORDS,
    )  # fmt: skip
    tell("tracker stopped", told)


def test_a_link_is_slower_than_what_is_captured(cluster: Cluster, tmp_path: Path):
    """The window fills, and then the spool; the loop goes on at its pace."""
    cable = cluster.cable
    rank = cluster.capture(tmp_path / "enough", 2000)
    cable.narrow("1mbit")
    wait_until(lambda: cluster.n_waiting() >= 1000)
    cable.widen()
    tell("slow link", all_there(cluster, rank, tmp_path / "enough"))


def test_a_tracker_starts_again_elsewhere(cluster: Cluster, tmp_path: Path):
    """On another node, with another port and keys: all that a rank had known of it is wrong."""

    def end() -> None:
        server, cluster.server = cluster.server, None
        assert server is not None
        pids = [server.pid, cluster.endpoint.tracker_pid, cluster.endpoint.manager_pid]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        server.wait()
        for path in cluster.project.endpoints.glob("local.*"):
            path.unlink()

    def serve() -> None:
        cluster.serve_on(cluster.second, cluster.other.far_address)

    before = cluster.endpoint
    told = survives(cluster, tmp_path / "enough", end, serve, 700)
    tell("tracker elsewhere", told)
    assert cluster.verify()["lost"] == 0
    assert cluster.endpoint.tracker != before.tracker
    assert cluster.endpoint.server_public_key != before.server_public_key
