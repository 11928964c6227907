"""What a node as a whole does, from ``/proc``.  In a container that is the machine around it.

Source: proc_stat(5), proc_meminfo(5), proc_loadavg(5); Linux Documentation/admin-guide/iostats.rst
and Documentation/ABI/stable/sysfs-class-infiniband.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from .readings import BYTES, CORES, MIB, ONE, Counter, Rate, Reading, Source, read_file

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_SECTOR_BYTES = 512
"""Of ``/proc/diskstats``, whatever the disk's own are."""
_WORD_BYTES = 4
"""InfiniBand's counters of data count words."""


class Moved:
    """Bytes that came in and bytes that went out.  Source of readings."""

    seat = "node"

    def __init__(self, came: str, went: str, ask: Callable[[], tuple[int, int]]) -> None:
        self._counters = ((came, Counter()), (went, Counter()))
        self._ask = ask

    def read(self) -> list[Reading]:
        return [
            Reading(name, counter.grow(value), BYTES)
            for (name, counter), value in zip(self._counters, self._ask(), strict=True)
        ]


class Busy:
    """Processors at work.  Source of readings."""

    seat = "node"

    def __init__(self) -> None:
        self._rate = Rate()

    def read(self) -> list[Reading]:
        cores = self._rate.of(busy_seconds(), time.monotonic())
        return [] if cores is None else [Reading("node_cpu", cores, CORES)]


class Held:
    """Memory, and programs that run or wait for a disk.  Source of readings."""

    seat = "node"

    def read(self) -> list[Reading]:
        total_kib, available_kib = memory_kib()
        return [
            Reading("node_memory_used", (total_kib - available_kib) / 1024, MIB),
            Reading("node_memory_available", available_kib / 1024, MIB),
            Reading("node_load", float(read_file("/proc/loadavg").split()[0]), ONE),
        ]


def node_sources() -> list[Source]:
    return [
        Busy(),
        Held(),
        Moved("node_disk_read_bytes", "node_disk_written_bytes", disk_bytes),
        Moved("node_network_received_bytes", "node_network_sent_bytes", network_bytes),
        Moved("node_infiniband_received_bytes", "node_infiniband_sent_bytes", infiniband_bytes),
    ]


def memory_kib() -> tuple[int, int]:
    """Return the memory that there is, and what of it new programs could have."""
    lines = (line.split() for line in read_file("/proc/meminfo").splitlines()[:3])
    found = {name: int(value) for name, value, *_ in lines}
    return found[b"MemTotal:"], found[b"MemAvailable:"]


def busy_seconds() -> float:
    """Return the time that processors were neither idle, nor waiting for a disk, nor taken away."""
    fields = read_file("/proc/stat").split(None, 8)[1:8]
    user, nice, system, _, _, interrupts, soft_interrupts = map(int, fields)
    return (user + nice + system + interrupts + soft_interrupts) / _TICKS_A_SECOND


def disk_bytes() -> tuple[int, int]:
    """Return what disks read and wrote.

    Only devices of their own count: partitions, RAID and encryption are on top of those.
    """
    read = written = 0
    for line in read_file("/proc/diskstats").decode().splitlines():
        fields = line.split()
        if os.path.exists(f"/sys/block/{fields[2]}/device"):  # noqa: PTH110
            read += int(fields[5])
            written += int(fields[9])
    return read * _SECTOR_BYTES, written * _SECTOR_BYTES


def network_bytes() -> tuple[int, int]:
    """Return what network devices received and sent: real ones, or all if there is none.

    Bridges, bonds and VLANs would count once more what goes through a real one; a container may
    have virtual ones alone.
    """
    lines = read_file("/proc/net/dev").decode().splitlines()[2:]
    devices = {
        name.strip(): fields.split() for name, _, fields in (s.partition(":") for s in lines)
    }
    devices.pop("lo", None)
    real = [name for name in devices if os.path.exists(f"/sys/class/net/{name}/device")]  # noqa: PTH110
    chosen = [devices[name] for name in real or devices]
    return sum(int(fields[0]) for fields in chosen), sum(int(fields[8]) for fields in chosen)


def infiniband_bytes(system: Path = Path("/sys")) -> tuple[int, int]:
    """Return what InfiniBand ports received and sent past the kernel.

    Raises:
        FileNotFoundError: There are none.
    """
    counters = [*system.glob("class/infiniband/*/ports/*/counters")]
    if not counters:
        raise FileNotFoundError(system / "class/infiniband")
    received, sent = (
        sum(int(read_file(f"{port}/{name}")) for port in counters) * _WORD_BYTES
        for name in ("port_rcv_data", "port_xmit_data")
    )
    return received, sent
