"""NVIDIA GPUs, through nvidia-ml-py (extra ``gpu``) and the driver, if both are there.

Source: NVML API reference, "Device Queries": `nvmlDeviceGetTotalEnergyConsumption` is in
millijoules since the driver was loaded, on Volta or newer; power is in milliwatts, on Ampere
(except GA100) or newer the mean of the last second; `usedGpuMemory` of a process is in bytes, None
where the driver can't tell, as in some containers.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Collection, Mapping
from typing import Any

from .readings import JOULES, MIB, MIB_BYTES, PERCENT, WATTS, Counter, Reading

DRIVER = "/proc/driver/nvidia/version"


class Gpu:
    """One GPU as a whole.  Source of readings; one process of a job samples it.

    Each has a seat of its own, since tasks of a job may each see other GPUs of a node.

    Args:
        index: NVML's, of the GPUs that this process may see.  Its series are named by the number of
            its device file, which all processes of a node agree on.
    """

    def __init__(self, nvml: Any, index: int) -> None:
        self._nvml = nvml
        self._untold = (
            nvml.NVMLError_NotSupported, nvml.NVMLError_NoPermission,
            nvml.NVMLError_FunctionNotFound,
        )  # fmt: skip
        self.index = index
        self.handle = nvml.nvmlDeviceGetHandleByIndex(index)
        self._name = f"gpu{_number(nvml, self.handle, index)}"
        self.uuid = _text(nvml.nvmlDeviceGetUUID(self.handle))
        self.seat = f"gpu {self.uuid}"
        self._energy = Counter()
        self._asked: dict[str, tuple[str, Callable[[], float]]] = {
            "utilisation": (PERCENT, lambda: nvml.nvmlDeviceGetUtilizationRates(self.handle).gpu),
            "memory": (MIB, lambda: nvml.nvmlDeviceGetMemoryInfo(self.handle).used / MIB_BYTES),
            "power": (WATTS, lambda: nvml.nvmlDeviceGetPowerUsage(self.handle) / 1e3),
            "energy": (JOULES, self._joules),
        }

    def read(self) -> list[Reading]:
        found = []
        for name, (unit, ask) in [*self._asked.items()]:
            try:
                found.append(Reading(f"{self._name}_{name}", ask(), unit))
            except self._untold:
                del self._asked[name]
        return found

    def _joules(self) -> float:
        return self._energy.grow(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self.handle) / 1e3)

    def memory_of(self, pids: Collection[int]) -> float | None:
        """Return the MiB that processes hold on it; None if none does, or that is not told.

        The driver's pids are the machine's: in a container with pids of its own none is found.
        """
        try:
            found = self._nvml.nvmlDeviceGetComputeRunningProcesses(self.handle)
        except self._untold:
            return None
        held = [process.usedGpuMemory for process in found if process.pid in pids]
        return sum(held) / MIB_BYTES if held and None not in held else None


class GpuMemory:
    """What a process and its descendants hold on the GPUs that it may use.  Source of readings."""

    seat = ""

    def __init__(self, gpus: list[Gpu], pids: Callable[[], Collection[int]]) -> None:
        self._gpus = gpus
        self._pids = pids

    def read(self) -> list[Reading]:
        pids = self._pids()
        told = [held for gpu in self._gpus if (held := gpu.memory_of(pids)) is not None]
        return [Reading("gpu_memory", sum(told), MIB)] if told else []


def find_gpus(driver: str = DRIVER) -> list[Gpu]:
    """Return the GPUs that this process may see; none without a driver.

    Raises:
        ModuleNotFoundError: There is a driver, but nvidia-ml-py is not installed.
    """
    if not os.path.exists(driver):  # noqa: PTH110
        return []
    pynvml: Any = importlib.import_module("pynvml")
    try:
        pynvml.nvmlInit()
        return [Gpu(pynvml, index) for index in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError:  # a driver without its library, as in a container without GPUs
        return []


def usable(gpus: list[Gpu], environ: Mapping[str, str]) -> list[Gpu]:
    """Return those that CUDA_VISIBLE_DEVICES names; all if it names what can't be told apart.

    A number is CUDA's, which numbers by speed by default, so where GPUs differ it may be another's;
    no harm is done, as processes are looked for by pid.

    Source: CUDA C++ Programming Guide 12, "CUDA Environment Variables".
    """
    named = environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return gpus
    words = [word.strip() for word in named.split(",") if word.strip()]
    chosen = [gpu for gpu in gpus if any(_names(word, gpu) for word in words)]
    return chosen if chosen or not words else gpus


def _number(nvml: Any, handle: Any, index: int) -> int:
    try:
        return int(nvml.nvmlDeviceGetMinorNumber(handle))
    except nvml.NVMLError_NotSupported:
        return index


def _names(word: str, gpu: Gpu) -> bool:
    return word == str(gpu.index) or (word.startswith("GPU-") and gpu.uuid.startswith(word))


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
