"""Many ranks in one process: DEALER sockets over CURVE that send frames and count acknowledgements.

crowd.py ENDPOINT_FILE N    then a line on stdin has each send a frame more, and is answered, once
                            all are acknowledged, by their number
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec
import zmq

from pllib import wire
from pllib.log import FORMAT_VERSION, frame_of
from pllib.project import read_endpoint
from pllib.records import Context, Facts, encode

RUN = "c" * 32


def records(number: int) -> list[bytes]:
    context = Context(RUN, 0, 0, 1, "host", 1, "user", "crowd.py", "project", "crowd", 1)
    return [encode(context), encode(Facts(number, {"n": str(number)}))]


class Crowd:
    def __init__(self, endpoint_file: Path, n_clients: int) -> None:
        endpoint = read_endpoint(endpoint_file)
        self._context = zmq.Context()
        self._context.set(zmq.MAX_SOCKETS, n_clients + 10)
        self._logs: dict[zmq.Socket[bytes], bytes] = {}
        self._poller = zmq.Poller()
        for nth in range(n_clients):
            socket = self._context.socket(zmq.DEALER)
            socket.linger = 0
            socket.sndhwm = socket.rcvhwm = 16
            if endpoint.tracker.startswith("tcp:"):
                socket.curve_serverkey = endpoint.server_public_key.encode()
                socket.curve_publickey = endpoint.client_public_key.encode()
                socket.curve_secretkey = endpoint.client_secret_key.encode()
            self._logs[socket] = b"%08d" % os.getpid() + b"%08d" % nth
            self._poller.register(socket, zmq.POLLIN)
            socket.connect(endpoint.tracker)
        self._n_sent = 0

    def greet(self) -> None:
        for rank, (socket, log_id) in enumerate(self._logs.items()):
            hello = wire.Hello(FORMAT_VERSION, log_id, RUN, rank, "host", os.getpid(), 0)
            socket.send_multipart([wire.HELLO, msgspec.msgpack.encode(hello)])
        self._hear(wire.WELCOME)

    def send(self) -> None:
        for socket, log_id in self._logs.items():
            frame = frame_of(log_id, self._n_sent, records(self._n_sent)).pack()
            socket.send_multipart([wire.FRAME, frame])
        self._n_sent += 1
        self._hear(wire.ACK)

    def _hear(self, name: bytes) -> None:
        """Wait until each was told this."""
        waiting = set(self._logs)
        while waiting:
            for socket, _ in self._poller.poll():
                told = socket.recv_multipart()
                assert told[0] in (name, wire.ALIVE), told
                if told[0] == name:
                    waiting.discard(socket)


if __name__ == "__main__":
    crowd = Crowd(Path(sys.argv[1]), int(sys.argv[2]))
    crowd.greet()
    for _ in sys.stdin:
        crowd.send()
        print(sys.argv[2], flush=True)
