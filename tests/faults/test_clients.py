"""Many clients on one tracker, half of them killed, and more than there are descriptors for."""

from __future__ import annotations

import contextlib
import resource
import socket

from crowd import Crowd, journalled, status, tracker
from harness import Site, wait_until

N_EACH = 100
LIMIT = 300
"""On open files, so that not all fit."""


def test_the_rest_lose_nothing_when_half_of_the_clients_are_killed(site: Site):
    with tracker(site):
        crowds = [Crowd(site, N_EACH) for _ in range(2)]
        for crowd in crowds:
            crowd.send()
        for crowd in crowds:
            crowd.hear()
        assert status(site.endpoint)["clients"] == 2 * N_EACH
        for crowd in crowds:
            crowd.send()
        dead, alive = crowds
        dead.kill()
        dead.n_rounds -= 1  # whether the last was acknowledged, nobody can tell
        alive.hear()
        alive.send()
        alive.hear()
    found = journalled(site.project.journal / "local")
    assert len(found) == len(set(found))
    assert set(found) >= dead.keys() | alive.keys()


def test_a_tracker_without_descriptors_stops_listening_until_there_are_some(site: Site):
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT // 2, LIMIT))

    with tracker(site, before=limit):
        assert "clients fit at once" in (site.folder / "errors").read_text()
        first = Crowd(site, N_EACH)
        first.send()
        first.hear()
        second = Crowd(site, N_EACH)
        wait_until(lambda: not _lets_in(site))
        second.send()
        first.send()
        first.hear()
        first.kill()
        second.hear()
        wait_until(lambda: _lets_in(site))
    assert set(journalled(site.project.journal / "local")) >= first.keys() | second.keys()


def _lets_in(site: Site) -> bool:
    with contextlib.closing(socket.socket()) as trial:
        trial.settimeout(0.5)
        return trial.connect_ex(("127.0.0.1", site.endpoint.tracker_port)) == 0
