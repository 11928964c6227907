"""How fast the tracker acknowledges what is durable, and how long that takes a rank.

Ranks are DEALER sockets over CURVE in processes of their own, spread over a few.  Each sends a
frame of `--batch` records as soon as its last one is acknowledged, so that there are as many on the
way as there are ranks.  The journal is on disk, and synced before each acknowledgement.  By default
the tracker runs alone, as it does while the manager is away: what it hands on is bounded by itself.
With ``--manager`` both daemons run, and link, map and load all the while, on the same cores.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Pipe

import msgspec
import zmq

from pllib import wire
from pllib.frame import Frame, frame_of
from pllib.log import FORMAT_VERSION
from pllib.project import Endpoint, Project
from pllib.records import Context, Signature, Transformation, encode

from . import service, table

WARM_S = 1.0
"""After which acknowledgements count."""
RUN = "a" * 32


def payload(n_records: int) -> tuple[bytes, int]:
    """Return the records of a frame, as a rank writes them, and how many they are."""
    head = [
        encode(
            Context(
                run=RUN, restart=0, rank=0, size=64, host="node0001", pid=4242, user="user",
                program="train.py", project="project", workflow="train", opened_ns=1,
                facts={"job_id": "4242", "cluster": "cluster", "partition": "batch"},
            )
        ),
        encode(Signature(0, "transformation", "preprocess", ("path", "scale"), ("n_rows",))),
    ]  # fmt: skip
    made = [
        encode(
            Transformation(
                number, -1, 0, 1_700_000_000_000_000_000 + number, 5_000,
                encode([f"part-{number:05d}.h5", 0.5]), encode([number]),
            )
        )
        for number in range(n_records)
    ]  # fmt: skip
    frame = frame_of(bytes(16), 0, [*head, *made])
    return frame.payload, n_records


@dataclass
class Client:
    """One rank: its socket, and when it sent what is on the way."""

    socket: zmq.Socket[bytes]
    log_id: bytes
    number: int = 0
    sent_at: float = 0.0
    took: list[tuple[float, float]] = field(default_factory=list)
    """(when, seconds it took) of each acknowledgement."""

    def greet(self, rank: int) -> None:
        hello = wire.Hello(FORMAT_VERSION, self.log_id, RUN, rank, "node0001", 4242, 0)
        self.socket.send_multipart([wire.HELLO, msgspec.msgpack.encode(hello)])
        assert self.socket.recv_multipart()[0] == wire.WELCOME

    def send(self, records: bytes, n_records: int) -> None:
        frame = Frame(self.log_id, self.number, n_records, records).pack()
        self.sent_at = time.perf_counter()
        self.socket.send_multipart([wire.FRAME, frame])
        self.number += 1

    def receive(self) -> None:
        """Take an acknowledgement; whatever else comes is a failure."""
        name, keys = self.socket.recv_multipart()
        now = time.perf_counter()
        assert (name, list(wire.unpack_keys(keys))) == (wire.ACK, [(self.log_id, self.number - 1)])
        self.took.append((now, now - self.sent_at))


def connect(context: zmq.Context[zmq.Socket[bytes]], endpoint: Endpoint) -> zmq.Socket[bytes]:
    socket = context.socket(zmq.DEALER)
    socket.linger = 0
    socket.curve_serverkey = endpoint.server_public_key.encode()
    socket.curve_publickey = endpoint.client_public_key.encode()
    socket.curve_secretkey = endpoint.client_secret_key.encode()
    socket.connect(endpoint.tracker)
    return socket


def ranks(endpoint: Endpoint, n_clients: int, n_records: int, seconds: float, pipe: Pipe) -> None:
    """Be some ranks for so long, from when the pipe says so; send what each frame took."""
    context = zmq.Context()
    records, n = payload(n_records)
    clients = [Client(connect(context, endpoint), os.urandom(16)) for _ in range(n_clients)]
    poller = zmq.Poller()
    for nth, client in enumerate(clients):
        client.greet(nth)
        poller.register(client.socket, zmq.POLLIN)
    by_socket = {client.socket: client for client in clients}
    pipe.send(None)
    pipe.recv()
    until = time.perf_counter() + seconds
    for client in clients:
        client.send(records, n)
    while time.perf_counter() < until:
        for socket, _ in poller.poll(1000):
            by_socket[socket].receive()
            by_socket[socket].send(records, n)
    pipe.send([item for client in clients for item in client.took])
    context.destroy(linger=0)


@contextlib.contextmanager
def tracker(of: Project) -> Iterator[Endpoint]:
    """Have a tracker without a manager."""
    ready = of.root / "ready"
    arguments = [service.command("sprov"), "tracker", "serve", "--drain-s", "0"]
    process = subprocess.Popen([*arguments, "--ready-file", str(ready)], stderr=subprocess.DEVNULL)
    try:
        service.wait_for(ready.exists, process)
        yield service.endpoint(of)
    finally:
        process.terminate()
        process.wait(service.STOP_TIMEOUT_S)


def acknowledged(endpoint: Endpoint, options: argparse.Namespace) -> list[tuple[float, float]]:
    """Return (when, seconds it took) of each frame, of all ranks."""
    spawning = multiprocessing.get_context("spawn")
    each = options.clients // options.processes
    pipes = []
    for _ in range(options.processes):
        ours, theirs = spawning.Pipe()
        arguments = (endpoint, each, options.batch, options.seconds + WARM_S, theirs)
        spawning.Process(target=ranks, args=arguments, daemon=True).start()
        pipes.append(ours)
    for pipe in pipes:
        pipe.recv()
    for pipe in pipes:
        pipe.send(None)
    return sorted(item for pipe in pipes for item in pipe.recv())


def measure(options: argparse.Namespace) -> list[table.Row]:
    with service.project() as project:
        serving = service.serving if options.manager else tracker
        with serving(project) as endpoint:
            found = acknowledged(endpoint, options)
            status = service.tracker_status(project)
    begin = found[0][0] + WARM_S
    took = sorted(seconds for at, seconds in found if at >= begin)
    lasted = found[-1][0] - begin
    if status is None or status["refused"] or status["frames"] < len(found):
        raise RuntimeError(f"{len(found)} frames were acknowledged, the tracker says {status}")
    with_manager = ", with manager" if options.manager else ""
    figure = f"durable acks, {options.clients} clients, batches of {options.batch}{with_manager}"
    rate = len(took) * options.batch / lasted
    p50, p99 = (1e3 * took[int(len(took) * share)] for share in (0.5, 0.99))
    table.note(f"{len(took):,} frames in {lasted:.1f} s; median {p50:.1f} ms")
    return [
        table.Row(figure, "records/s", rate, at_least=100_000),
        table.Row(f"{figure}, p99", "ms", p99, at_most=50),
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--processes", type=int, default=2, help="that the clients are spread over")
    parser.add_argument("--batch", type=int, default=50, help="records of a frame")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--manager", action="store_true", help="have the manager run as well")
    table.run(measure, parser)
