"""Connections that are no client's: nothing of theirs is taken, they cost nothing that lasts, and
real clients go on meanwhile."""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Iterator

import zmq
from crowd import Crowd, journalled, status, tracker
from harness import Site, wait_until

from pllib import wire
from pllib.project import Endpoint

N_EACH = 200
"""Of five kinds: 1,000 connections in all."""
MOST_BYTES = 50 << 20
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"CURVE".ljust(20, b"\0") + bytes(32)
"""Source: ZMTP 3.1, RFC 37."""
LONG_COMMAND = b"\x06" + (16 << 20).to_bytes(8, "big")
"""The head of a command of 16 MiB."""


def test_a_thousand_junk_connections_are_nothing_to_the_tracker(site: Site):
    with tracker(site) as process, contextlib.ExitStack() as junk:
        crowd = Crowd(site, 20)
        crowd.send()
        crowd.hear()
        before = process.memory_info().rss
        for _ in range(2):
            for connections in (_raw(site, N_EACH // 2), _of_zmq(site.endpoint, N_EACH // 2)):
                junk.enter_context(connections)
            crowd.send()
            crowd.hear()
        found = wait_until(lambda: _seen(site.endpoint))
        assert process.memory_info().rss - before < MOST_BYTES
    assert found["frames"] == 20 * crowd.n_rounds
    assert found["clients"] == 20
    assert set(found["refused_by"]) == {"client key", "handshake"}
    assert set(journalled(site.project.journal / "local")) == crowd.keys()


def _seen(endpoint: Endpoint) -> dict[str, object]:
    """Return the tracker's counts once it has turned away all that it can tell by then.

    Two kinds are silent after a good beginning; they are cut off later, by the handshake's limit.
    """
    found = status(endpoint)
    refused = found["refused_by"] if found else {}
    enough = refused.get("client key", 0) >= N_EACH and refused.get("handshake", 0) >= 2 * N_EACH
    return found if enough else {}


@contextlib.contextmanager
def _raw(site: Site, n_each: int) -> Iterator[None]:
    """Connections without ZeroMQ: noise, half a greeting, and a long command that does not come."""
    noise = random.Random(5).randbytes
    with contextlib.ExitStack() as open_ones:
        for said in (noise(512), GREETING[:40], GREETING + LONG_COMMAND + noise(1 << 10)):
            for _ in range(n_each):
                address = ("127.0.0.1", site.endpoint.tracker_port)
                connection = open_ones.enter_context(socket.create_connection(address))
                connection.sendall(said)
        yield


@contextlib.contextmanager
def _of_zmq(endpoint: Endpoint, n_each: int) -> Iterator[None]:
    """ZeroMQ without CURVE, with a client's key of its own, and for another server's key."""
    context = zmq.Context()
    context.set(zmq.MAX_SOCKETS, 3 * n_each + 10)
    stranger = zmq.curve_keypair()
    ours = (endpoint.client_public_key.encode(), endpoint.client_secret_key.encode())
    theirs = endpoint.server_public_key.encode()
    clients = []
    try:
        for keys in (None, (theirs, *stranger), (stranger[0], *ours)):
            for _ in range(n_each):
                client = context.socket(zmq.DEALER)
                client.linger, client.reconnect_ivl = 0, -1
                clients.append(client)
                if keys is not None:
                    client.curve_serverkey, client.curve_publickey, client.curve_secretkey = keys
                client.connect(endpoint.tracker)
                client.send_multipart([wire.STATUS], zmq.DONTWAIT)
        yield
    finally:
        for client in clients:
            client.close()
        context.term()
