"""Disks that fail or fill up under a site while a rank captures, and come back."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import quote

from harness import TIMEOUT_S, TRANSFORMATIONS, Site, wait_until
from killing import Rank, check_all

from pllib import managers
from pllib.delivery import ask_status

GO_ON_CALLS = 100


class Place(NamedTuple):
    """What can fail: its name as `trouble` says it, and how."""

    name: str
    fail: Callable[[], object]
    heal: Callable[[], object]


def endure(site: Site, places: list[Place]) -> None:
    """Have each place fail in turn: ranks and reads go on, and all is in soon after it is healed.

    Nothing is restarted.
    """
    site.serve()
    stop = site.folder / "stop"
    rank = Rank(site, 0, stop)
    pids = site.endpoint.tracker_pid, site.endpoint.manager_pid
    wait_until(lambda: visible(site) > 0)
    for place in places:
        place.fail()
        wait_until(lambda: place.name in trouble(site))  # noqa: B023
        n_before, seen = sum(rank.returned.values()), visible(site)
        wait_until(lambda: sum(rank.returned.values()) > n_before + GO_ON_CALLS)  # noqa: B023
        assert visible(site) >= seen > 0
        assert place.name in trouble(site)
        captured = rank.returned["T"]
        place.heal()
        wait_until(lambda: visible(site) >= captured)  # noqa: B023
        wait_until(lambda: trouble(site) == "")
    stop.touch()
    rank.end()
    check_all(site, [rank])
    assert pids == (site.endpoint.tracker_pid, site.endpoint.manager_pid)
    site.verify()


def visible(site: Site) -> int:
    """Return how many transformations queries see now."""
    query = quote(f"SELECT (COUNT(*) AS ?n) {{ {TRANSFORMATIONS} }}")
    path = f"/sparql?query={query}"
    reply = managers.request(site.endpoint, "GET", path, None, timeout_s=TIMEOUT_S)
    return int(json.loads(reply.body)["results"]["bindings"][0]["n"]["value"])


def trouble(site: Site) -> str:
    """Return what the daemons say is wrong."""
    status = managers.request(site.endpoint, "GET", "/v1/status", None, timeout_s=TIMEOUT_S)
    told = (ask_status(site.endpoint)["trouble"], json.loads(status.body)["trouble"])
    return "; ".join(each for each in told if each)
