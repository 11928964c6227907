"""The socket that ranks connect to, and how to let nobody in for a while.

libzmq 4.3.5 spins when ``accept`` finds no file descriptor, since the listener stays readable; and
to unbind would end every connection that came by it.  So the listening socket is made here, and
handed to libzmq (ZMQ_USE_FD): a filter that drops all packets to it (SO_ATTACH_FILTER, which needs
no privilege) keeps it and its connections as they are, and who comes meanwhile tries again.  A Unix
socket is renamed instead.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import struct
from pathlib import Path

import zmq

from pllib.listening import (
    TRACKER_SOCKET,
    Listening,
    authority,
    is_ipv6,
    listen,
    socket_path,
)

SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27
"""Source: socket(7), and Linux's asm-generic/socket.h."""
DROP = struct.pack("=HBBI", 0x06, 0, 0, 0)
"""One instruction of classic BPF: return 0, no byte of the packet.  Source: linux/filter.h."""
AWAY = ".full"


class Listener:
    """Where a ROUTER listens."""

    def __init__(
        self, router: zmq.Socket[bytes], listening: Listening, last: int, backlog: int
    ) -> None:
        """Bind a socket whose options are set, to the port of last time if that can be.

        Raises:
            UnavailableError: The address is in use or not of this machine.
        """
        self.is_open = True
        self._path: Path | None = None
        self._socket: socket.socket | None = None
        if listening.folder:
            self._path = Path(socket_path(listening, TRACKER_SOCKET))
            router.bind(f"ipc://{self._path}")
            self._path.chmod(0o600)
        else:
            self._socket = listen(listening, backlog, last)
            self._socket.setblocking(False)
            address, port = self._socket.getsockname()[:2]
            theirs = os.dup(self._socket.fileno())
            router.use_fd = theirs
            router.ipv6 = is_ipv6(address)
            router.bind(f"tcp://{authority(address, port)}")
        self.url: str = router.getsockopt_string(zmq.LAST_ENDPOINT)

    def shut(self) -> None:
        """Let nobody in; connections go on.  Any thread may."""
        self.is_open = False
        if self._socket is not None:
            code = ctypes.create_string_buffer(DROP, len(DROP))
            program = struct.pack("HP", 1, ctypes.addressof(code))
            self._socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
        elif self._path is not None:
            with contextlib.suppress(OSError):  # the folder is gone: nobody gets in
                self._path.rename(f"{self._path}{AWAY}")

    def open(self) -> None:
        """Let all in again."""
        if self._socket is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
        elif self._path is not None:
            with contextlib.suppress(OSError):
                Path(f"{self._path}{AWAY}").rename(self._path)
        self.is_open = True

    def close(self) -> None:
        """End, after the ROUTER."""
        if self._socket is not None:
            self._socket.close()
