"""Telling systemd that a daemon is ready, if that started it with ``Type=notify``.

Source: sd_notify(3) of systemd 252, "Notes": one datagram, which any program may send.
"""

from __future__ import annotations

import contextlib
import os
import socket

VARIABLE = "NOTIFY_SOCKET"
READY, STOPPING = "READY=1", "STOPPING=1"


class Notifier:
    """Speaks to systemd; nobody that this process starts does."""

    def __init__(self) -> None:
        self._address = os.environ.pop(VARIABLE, "")

    def tell(self, *states: str) -> None:
        """Send states, if there is somebody who wants to know, who is not waited for."""
        if not self._address.startswith(("/", "@")):
            return
        address = self._address.replace("@", "\0", 1) if self._address[0] == "@" else self._address
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.sendto("\n".join(states).encode(), address)
