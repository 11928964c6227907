"""Disks that fail or fill up under a site while a rank captures, and come back."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import NamedTuple
from urllib.parse import quote

from harness import TIMEOUT_S, TRANSFORMATIONS, Site, wait_until
from killing import Rank, check_all

from pllib import managers
from pllib.delivery import ask_status

GO_ON_CALLS = 100
N_RANKS = 2
"""What the frames of one may do to those of another, one alone does not show."""


class Place(NamedTuple):
    """What can fail: its name as `trouble` says it, and how."""

    name: str
    fail: Callable[[], object]
    heal: Callable[[], object]


def endure(
    site: Site, places: list[Place], then: Callable[[list[Rank]], object] = lambda ranks: None
) -> None:
    """Have each place fail in turn: ranks and reads go on, and all is in soon after it is healed.

    Nothing is restarted.

    Args:
        then: Does more to the same site.
    """
    with served_ranks(site, N_RANKS) as ranks:
        for place in places:
            place.fail()
            wait_until(lambda: place.name in trouble(site))  # noqa: B023
            n_before, seen = n_returned(ranks), visible(site)
            wait_until(lambda: n_returned(ranks) > n_before + GO_ON_CALLS)  # noqa: B023
            assert visible(site) >= seen > 0
            assert place.name in trouble(site)
            place.heal()
            wait_until_visible(site, ranks)
        then(ranks)


@contextlib.contextmanager
def served_ranks(site: Site, n_ranks: int) -> Iterator[list[Rank]]:
    """Serve ranks that capture during the block; behind it, assert that all is in, once.

    Nothing is restarted.
    """
    site.serve()
    stop = site.folder / "stop"
    ranks = [Rank(site, nth, stop) for nth in range(n_ranks)]
    pids = site.endpoint.tracker_pid, site.endpoint.manager_pid
    wait_until(lambda: all(rank.returned["T"] for rank in ranks) and visible(site) > 0)
    yield ranks
    stop.touch()
    for rank in ranks:
        rank.end()
    check_all(site, ranks)
    assert pids == (site.endpoint.tracker_pid, site.endpoint.manager_pid)
    site.verify()


def n_returned(ranks: list[Rank]) -> int:
    return sum(sum(rank.returned.values()) for rank in ranks)


def wait_until_visible(site: Site, ranks: list[Rank]) -> None:
    """Wait until what was captured by now can be queried, and nothing is wrong any more."""
    captured = sum(rank.returned["T"] for rank in ranks)
    wait_until(lambda: visible(site) >= captured)
    wait_until(lambda: trouble(site) == "")


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
