"""Energy counters of a node that the kernel has, in joules.

Source: Linux Documentation/power/powercap/powercap.rst; Cray's /sys/cray/pm_counters, whose files
say a number, its unit and a time.  RAPL's are for root alone since Linux 5.10 (CVE-2020-8694),
unless a site opens them.
"""

from __future__ import annotations

from pathlib import Path

from .readings import JOULES, Counter, Reading, read_file

WHOLE_NODE = "node_energy"
"""The series that, where it is, has all of a node's energy in it, that of its GPUs too."""
CPUS = "cpu_energy"


class EnergyCounter:
    """One file of the kernel's that counts up.

    Args:
        joules: What one of its units is.
    """

    def __init__(self, path: Path, joules: float, wraps_at: float = 0.0) -> None:
        self._path = str(path)
        self._joules = joules
        self._counter = Counter(wraps_at)

    def read(self) -> float:
        """Return the joules since the first reading.

        Raises:
            OSError, ValueError, IndexError: It can't be read, or holds no number.
        """
        return self._counter.grow(float(read_file(self._path).split()[0])) * self._joules


class NodeEnergy:
    """Counters that make up one series.  Source of readings."""

    seat = "node"

    def __init__(self, name: str, counters: list[EnergyCounter]) -> None:
        self.name = name
        self._counters = counters

    def read(self) -> list[Reading]:
        return [Reading(self.name, sum(counter.read() for counter in self._counters), JOULES)]


def find_energy(system: Path = Path("/sys")) -> NodeEnergy | None:
    """Return what this node can tell of its energy and we may read: of all of it, else of CPUs."""
    for name, counters in ((WHOLE_NODE, _cray(system)), (CPUS, _rapl(system))):
        if counters:
            return NodeEnergy(name, counters)
    return None


def _cray(system: Path) -> list[EnergyCounter]:
    path = system / "cray/pm_counters/energy"
    return [EnergyCounter(path, 1.0)] if _is_number(path) else []


def _rapl(system: Path) -> list[EnergyCounter]:
    """Return packages and the memory beside them; a package has its cores in it, psys has all.

    ``intel-rapl-mmio`` counts the same packages once more.
    """
    found = []
    for zone in sorted(system.glob("class/powercap/intel-rapl:*")):
        name, counter, most = zone / "name", zone / "energy_uj", zone / "max_energy_range_uj"
        if not _is_number(counter) or not _is_number(most):
            continue
        if read_file(str(name)).startswith((b"package", b"dram")):
            found.append(EnergyCounter(counter, 1e-6, float(read_file(str(most)))))
    return found


def _is_number(path: Path) -> bool:
    try:
        float(read_file(str(path)).split()[0])
    except (OSError, ValueError, IndexError):
        return False
    return True
