"""Interface and ports that daemons would listen on."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

from pllib import listening
from pllib.errors import SettingsError
from pllib.listening import Listening
from pllib.settings import Serving

from .report import FAIL, OK, WARN, Finding

MANY_PORTS = 1000


def check(serving: Serving, *, node: bool) -> Iterator[Finding]:
    """Judge what is set, as this host has it.

    Args:
        node: It is a node of the job, which needs it; a login node may be without.
    """
    try:
        place = where(serving)
    except SettingsError as exc:
        status = FAIL if node else WARN
        advice = "Set interface in [serve] to one that compute nodes have (`ip -br addr` there)"
        yield Finding("interface", status, str(exc), advice)
        return
    if place.advertised.startswith("127.") or place.advertised == "::1":
        yield Finding(
            "interface", FAIL, f"{serving.interface} is this host's own: no other node reaches it",
            "Set interface in [serve] to the network between nodes (`ip -br addr`)",
        )  # fmt: skip
    elif serving.interface:
        yield Finding("interface", OK, f"{serving.interface} has {place.advertised}")
    if place.ports is None:
        yield Finding(
            "ports", OK, "any that the kernel picks; a firewall between nodes would need a range: "
            "ports in [serve]",
        )  # fmt: skip
        return
    yield _free(place)


def where(serving: Serving) -> Listening:
    """Return where a job's daemons would listen.

    Raises:
        SettingsError: The interface or the ports are none.
    """
    in_job = {"SLURM_JOB_ID": "0"}
    return listening.parse(listening.default_bind(serving.interface, serving.ports, in_job))


def _free(place: Listening) -> Finding:
    assert place.ports is not None
    first, last = place.ports
    ports = range(first, min(last + 1, first + MANY_PORTS))
    free = sum(is_free(place.address, port) for port in ports)
    text = f"{first}-{last} of {place.address}: {free} of {len(ports)} free"
    advice = f"Each job that runs on a node takes 2; ports in [serve] on {os.uname().nodename}"
    if free < 2:
        return Finding("ports", FAIL, text, advice)
    return Finding("ports", OK if free >= 4 else WARN, text, "" if free >= 4 else advice)


def is_free(address: str, port: int) -> bool:
    with socket.socket(listening.family(address)) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((address, port))
        except OSError:
            return False
    return True
