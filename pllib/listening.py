"""Where a daemon listens: an address or interface, a range of ports, and the name others use.

A site's firewall lets a range of ports through, and its fast network is an interface of its own:
``ib0:40000-40100``.  Where all is on one node a folder for Unix sockets does without a network:
``unix:/run/user/1000/sprov``.

An IPv6 address stands in brackets where ports follow it: ``[fd00::2]:40000-40100``.  ``[::]`` is
all addresses, of IPv4 too.  Others are told an address of IPv6 as such and never by a name: libzmq
4.3.5, told to use IPv6, tries no IPv4 address of a name that has both.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import msgspec

from .errors import SettingsError, UnavailableError
from .sharing import make_private

if TYPE_CHECKING:
    from pathlib import Path

EVERYWHERE = "0.0.0.0"
EVERYWHERE_6 = "::"
HERE = "127.0.0.1"
SERVING = "sprov: serving"
"""With this begins the line by which `sprov serve` says that both daemons are ready."""
UNIX = "unix:"
"""So begins a `--bind` that names a folder."""
TRACKER_SOCKET = "tracker.sock"
MANAGER_SOCKET = "manager.sock"
MAX_SOCKET_PATH_BYTES = 107
"""Source: unix(7), sun_path of 108 bytes with its end."""
EXEC_TRIES = 20
EXEC_WAIT_S = 0.001
_PORTS = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")


class Listening(msgspec.Struct, frozen=True):
    address: str
    """What to bind: an address of this node, without brackets, or a name of an IPv4 one."""
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
    return with_ports(host, ports)


def with_ports(host: str, ports: str) -> str:
    """Return host and ports as `parse` reads them."""
    if not ports:
        return host
    return f"[{plain(host)}]:{ports}" if is_ipv6(host) else f"{host}:{ports}"


def parse(bind: str) -> Listening:
    """Read ``HOST[:PORT[-PORT]]``, where HOST may be an interface, or ``unix:FOLDER``.

    An IPv6 address without ports needs no brackets.

    Raises:
        SettingsError: No such interface or host here, no ports, or too long a path.
    """
    if bind.startswith(UNIX):
        return Listening("", "", folder=_folder(bind.removeprefix(UNIX)))
    host, colon, ports = bind.rpartition(":")
    if not colon or is_ipv6(bind):
        host, ports = bind, ""
    return Listening(*_address(plain(host)), _ports(ports) if ports else None)


def plain(host: str) -> str:
    """Return a host without the brackets of an IPv6 address."""
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def is_ipv6(text: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET6, plain(text))
    except OSError:
        return False
    return True


def authority(host: str, port: int) -> str:
    """Return host and port as URLs have them (RFC 3986, 3.2.2)."""
    return with_ports(host, str(port))


def family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if is_ipv6(address) else socket.AF_INET


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
    if host in (EVERYWHERE, EVERYWHERE_6, "*"):
        name = reachable_name()
        return EVERYWHERE_6 if host == EVERYWHERE_6 or is_ipv6(name) else EVERYWHERE, name
    if host in ("127.0.0.1", "localhost"):
        return HERE, HERE
    known = interface_addresses()
    if host in known:
        return known[host], known[host]
    of_node = {*all_addresses(), *known.values()}
    for version in (socket.AF_INET, socket.AF_INET6):
        mine = [ip for ip in _addresses_of(host, version) if ip in of_node or is_loopback(ip)]
        if mine:
            return (host, host) if version == socket.AF_INET else (mine[0], mine[0])
    raise SettingsError(
        f"{host} is no interface with an address and no address of {socket.gethostname()}",
        f"Its interfaces are {', '.join(known)}",
    )


def _addresses_of(host: str, version: socket.AddressFamily) -> list[str]:
    try:
        return [str(info[4][0]) for info in socket.getaddrinfo(host, None, version)]
    except OSError:
        return []


def is_loopback(address: str) -> bool:
    """Tell whether an IP address, as sockets name it, leads to this node alone."""
    import ipaddress

    found = ipaddress.ip_address(address.partition("%")[0])
    of_v4 = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return (of_v4 or found).is_loopback


def listen(listening: Listening, backlog: int, last: int = 0) -> socket.socket:
    """Return a listening TCP socket, on the port of last time if that can be.

    Raises:
        UnavailableError: The ports are taken, or the address is not of this machine.
    """
    for port in listening.candidates(last):
        # asyncio sets TCP_NODELAY only where the protocol is named (CPython 3.11); without, an
        # answer waits 40 ms for the delayed ACK of its header.
        made = socket.socket(family(listening.address), socket.SOCK_STREAM, socket.IPPROTO_TCP)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            if made.family == socket.AF_INET6:  # else sysctl net.ipv6.bindv6only decides
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            made.bind((listening.address, port))
            made.listen(backlog)  # from here on callers wait instead of being refused
            return made
        except OSError as exc:
            made.close()
            if exc.errno != errno.EADDRINUSE:
                raise UnavailableError(
                    f"{authority(listening.address, port)} can't be bound: {exc.strerror}",
                    "Choose another with --bind",
                ) from exc
    raise UnavailableError(listening.taken(), "Choose others with --bind")


def is_daemon(pid: int) -> bool:
    """Tell whether a process of this host is a daemon of ours, but not this one; a zombie is not.

    The number of one that was killed may be another's by now: even that of `sprov run`.
    """
    words = [] if pid in (0, os.getpid()) else command_of(pid)
    return b"serve" in words and any(b"sprov" in word for word in words)


def command_of(pid: int) -> list[bytes]:
    """Return the words of a process's command; none if it is gone."""
    for _ in range(EXEC_TRIES):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
            if words != [b""] or not _is_executing(pid):
                return words
        except OSError:
            return []
        time.sleep(EXEC_WAIT_S)
    return []


def _is_executing(pid: int) -> bool:
    """Tell whether a process may be in the midst of execve: it has memory, but no command yet.

    Linux 6.18 closes the descriptors of the old program before it sets the new one's arguments:
    3 % of those who start a process and ask at once read an empty command.
    """
    with open(f"/proc/{pid}/statm", "rb") as file:
        return not file.read().startswith(b"0 ")  # a zombie and a thread of the kernel have none


def interface_addresses() -> dict[str, str]:
    """Return interface → its first IPv4 address, else IPv6 address, of this node."""
    import psutil

    found: dict[str, str] = {}
    for name, addresses in psutil.net_if_addrs().items():
        of_v4 = [item.address for item in addresses if item.family == socket.AF_INET]
        of_v6 = [item.address for item in addresses if item.family == socket.AF_INET6]
        if usable := [*of_v4, *(ip for ip in of_v6 if "%" not in ip)]:  # that is for one link
            found[name] = usable[0]
    return found


def all_addresses() -> set[str]:
    """Return all addresses of this node, but those of IPv6 that are for one link."""
    import psutil

    return {
        item.address
        for addresses in psutil.net_if_addrs().values()
        for item in addresses
        if item.family in (socket.AF_INET, socket.AF_INET6) and "%" not in item.address
    }


def reachable_name() -> str:
    """Return a name of this node that other nodes know, else an address.

    Slurm's name of the node comes first: Slurm itself must resolve it unless NodeAddr is set.  A
    name that means a loopback address here (Debian's 127.0.1.1) may mean the node elsewhere, but
    that can't be known, so an address of an interface is safer.
    """
    for name in (os.environ.get("SLURMD_NODENAME", ""), socket.getfqdn()):
        if name and _is_reachable(name):
            return name
    outward = [ip for ip in interface_addresses().values() if not is_loopback(ip)]
    return min(outward, key=is_ipv6) if outward else socket.gethostname()


def _is_reachable(name: str) -> bool:
    try:
        return not socket.gethostbyname(name).startswith("127.")
    except OSError:
        return False
