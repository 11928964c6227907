"""Where a daemon listens: an address or interface, a range of ports, and the name others use.

A site's firewall lets a range of ports through, and its fast network is an interface of its own:
``ib0:40000-40100``.  Where all is on one node a folder for Unix sockets does without a network:
``unix:/run/user/1000/sprov``.
"""

from __future__ import annotations

import errno
import os
import re
import socket
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import msgspec

from .errors import SettingsError, UnavailableError
from .sharing import make_private

if TYPE_CHECKING:
    from pathlib import Path

EVERYWHERE = "0.0.0.0"
HERE = "127.0.0.1"
SERVING = "sprov: serving"
"""With this begins the line by which `sprov serve` says that both daemons are ready."""
UNIX = "unix:"
"""So begins a `--bind` that names a folder."""
TRACKER_SOCKET = "tracker.sock"
MANAGER_SOCKET = "manager.sock"
MAX_SOCKET_PATH_BYTES = 107
"""Source: unix(7), sun_path of 108 bytes with its end."""
_PORTS = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")


class Listening(msgspec.Struct, frozen=True):
    address: str
    """What to bind: an IPv4 address of this node, or a name of one."""
    advertised: str
    """By which others reach it."""
    ports: tuple[int, int] | None = None
    """First and last that may be taken; None for any."""
    folder: str = ""
    """Absolute: Unix sockets in this folder instead of all that."""

    def candidates(self, last: int = 0) -> Iterator[int]:
        """Yield the ports to try, that of last time first; 0 lets the kernel pick one."""
        if self.ports is None:
            yield from (last, 0) if last else (0,)
            return
        first, final = self.ports
        if first <= last <= final:
            yield last
        yield from (port for port in range(first, final + 1) if port != last)

    def taken(self) -> str:
        """Return what to say when none of the ports can be had."""
        if self.ports is None:
            return f"no port of {self.address} is free"
        first, last = self.ports
        if first == last:
            return f"port {first} of {self.address} is taken"
        return f"all ports from {first} to {last} of {self.address} are taken"


def default_bind(interface: str, ports: str, environ: Mapping[str, str]) -> str:
    """Return what to bind when nobody says: a job's daemons serve its other nodes.

    Args:
        interface: As set; empty for none.
        ports: As set; empty for any.
    """
    host = interface or (EVERYWHERE if environ.get("SLURM_JOB_ID") else HERE)
    return f"{host}:{ports}" if ports else host


def parse(bind: str) -> Listening:
    """Read ``HOST[:PORT[-PORT]]``, where HOST may be an interface, or ``unix:FOLDER``.

    Raises:
        SettingsError: No such interface or host here, no ports, or too long a path.
    """
    if bind.startswith(UNIX):
        return Listening("", "", folder=_folder(bind.removeprefix(UNIX)))
    host, colon, ports = bind.rpartition(":")
    if not colon:
        host, ports = bind, ""
    return Listening(*_address(host), _ports(ports) if ports else None)


def _ports(text: str) -> tuple[int, int]:
    found = _PORTS.fullmatch(text)
    first = int(found[1]) if found else 0
    last = int(found[2] or first) if found else 0
    if not 0 < first <= last < 65536:
        raise SettingsError(f"{text!r} is no range of ports", "Such as 40000-40100")
    return first, last


def _folder(name: str) -> str:
    folder = os.path.abspath(os.path.expanduser(name))  # noqa: PTH100, PTH111  as daemons see it
    if not name:
        raise SettingsError(f"{UNIX} needs a folder", "Such as unix:/run/user/1000/sprov")
    n_bytes = len(os.fsencode(f"{folder}/{TRACKER_SOCKET}"))
    if n_bytes > MAX_SOCKET_PATH_BYTES:
        raise SettingsError(
            f"{folder}/{TRACKER_SOCKET} has {n_bytes} bytes, and a Unix socket's path at most "
            f"{MAX_SOCKET_PATH_BYTES}",
            "Choose a shorter folder",
        )
    return folder


def socket_path(listening: Listening, name: str) -> str:
    """Return where to bind a Unix socket; what a daemon that was killed left there is gone.

    The caller gives the socket mode 0600; nobody else can enter the folder anyway.

    Raises:
        UnavailableError: A daemon listens there, or the folder is not this user's alone.
    """
    from pathlib import Path

    path = Path(listening.folder, name)
    try:
        make_private(path.parent)
        if _is_answering(path):
            raise UnavailableError(f"a daemon listens on {path} already", "Choose another folder")
        path.unlink(missing_ok=True)
    except OSError as exc:
        raise UnavailableError(f"{path} can't be used: {exc.strerror}") from exc
    return str(path)


def _is_answering(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as trial:
        trial.settimeout(1.0)
        try:
            trial.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except (BlockingIOError, TimeoutError):  # its queue of callers is full
            return True
    return True


def _address(host: str) -> tuple[str, str]:
    """Return what to bind and what to advertise."""
    if host in (EVERYWHERE, "*"):
        return EVERYWHERE, reachable_name()
    if host in ("127.0.0.1", "localhost"):
        return HERE, HERE
    known = interface_addresses()
    if host in known:
        return known[host], known[host]
    try:
        addresses = {str(info[4][0]) for info in socket.getaddrinfo(host, None, socket.AF_INET)}
    except OSError:
        addresses = set()
    if not any(ip in known.values() or ip.startswith("127.") for ip in addresses):
        there = ", ".join(known)
        raise SettingsError(
            f"{host} is no interface with an IPv4 address and no address of {socket.gethostname()}",
            f"Its interfaces are {there}",
        )
    return host, host


def listen(listening: Listening, backlog: int, last: int = 0) -> socket.socket:
    """Return a listening TCP socket, on the port of last time if that can be.

    Raises:
        UnavailableError: The ports are taken, or the address is not of this machine.
    """
    for port in listening.candidates(last):
        # asyncio sets TCP_NODELAY only where the protocol is named (CPython 3.11); without, an
        # answer waits 40 ms for the delayed ACK of its header.
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            made.bind((listening.address, port))
            made.listen(backlog)  # from here on callers wait instead of being refused
            return made
        except OSError as exc:
            made.close()
            if exc.errno != errno.EADDRINUSE:
                raise UnavailableError(
                    f"{listening.address}:{port or '*'} can't be bound: {exc.strerror}",
                    "Choose another with --bind",
                ) from exc
    raise UnavailableError(listening.taken(), "Choose others with --bind")


def is_daemon(pid: int) -> bool:
    """Tell whether a process of this host is one of ours, but not this one; a zombie is not."""
    if pid in (0, os.getpid()):
        return False
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return b"sprov" in file.read()
    except OSError:
        return False


def interface_addresses() -> dict[str, str]:
    """Return interface → its first IPv4 address, of this node."""
    import psutil

    found: dict[str, str] = {}
    for name, addresses in psutil.net_if_addrs().items():
        of_v4 = [item.address for item in addresses if item.family == socket.AF_INET]
        if of_v4:
            found[name] = of_v4[0]
    return found


def reachable_name() -> str:
    """Return a name of this node that other nodes know, else an address.

    Slurm's name of the node comes first: Slurm itself must resolve it unless NodeAddr is set.  A
    name that means a loopback address here (Debian's 127.0.1.1) may mean the node elsewhere, but
    that can't be known, so an address of an interface is safer.
    """
    for name in (os.environ.get("SLURMD_NODENAME", ""), socket.getfqdn()):
        if name and _is_reachable(name):
            return name
    outward = [ip for ip in interface_addresses().values() if not ip.startswith("127.")]
    return outward[0] if outward else socket.gethostname()


def _is_reachable(name: str) -> bool:
    try:
        return not socket.gethostbyname(name).startswith("127.")
    except OSError:
        return False
