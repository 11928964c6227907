"""Counters, energy, seats and processes: what samples are made of."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from harness import wait_until

from pllib.energy import CPUS, WHOLE_NODE, find_energy
from pllib.node import infiniband_bytes
from pllib.processes import Processes, children
from pllib.readings import Counter, Rate, read_file
from pllib.seats import Seats

SLEEPER = [sys.executable, "-c", "import signal; signal.pause()"]
FAMILY = """
import os, signal
for _ in range(2):
    if os.fork() == 0:
        os.fork()
        break
signal.pause()
"""
"""A process, two children of it, and a child of each."""


def zone(system: Path, name: str, kind: str, micro_joules: int, most: int = 1000) -> Path:
    """Make what the kernel has for a RAPL zone."""
    folder = system / "class/powercap" / name
    folder.mkdir(parents=True)
    for file, text in (("name", kind), ("energy_uj", micro_joules), ("max_energy_range_uj", most)):
        (folder / file).write_text(f"{text}\n")
    return folder / "energy_uj"


def test_a_counter_that_wraps_goes_on():
    counter = Counter(wraps_at=100.0)
    assert [counter.grow(reading) for reading in (90, 99, 5, 5, 50)] == [0, 9, 15, 15, 60]


def test_a_counter_that_steps_down_loses_nothing():
    counter = Counter()
    assert [counter.grow(reading) for reading in (10, 30, 15, 18)] == [0, 20, 20, 23]


def test_a_rate_is_not_taken_over_less_than_the_clock_can_tell():
    rate = Rate()
    assert rate.of(5.0, 100.0) is None
    assert rate.of(5.01, 100.001) is None
    assert rate.of(7.0, 101.0) == 2.0
    assert rate.total == 2.0


def test_energy_of_packages_and_memory_is_counted_once(tmp_path: Path):
    """psys has packages in it, a package its cores, and mmio is the same package once more."""
    package = zone(tmp_path, "intel-rapl:0", "package-0", 900)
    memory = zone(tmp_path, "intel-rapl:0:1", "dram", 10)
    for name, kind in (
        ("intel-rapl:0:0", "core"), ("intel-rapl:1", "psys"), ("intel-rapl-mmio:0", "package-0"),
    ):  # fmt: skip
        zone(tmp_path, name, kind, 77).with_name("energy_uj")
    energy = find_energy(tmp_path)
    assert energy is not None
    assert energy.name == CPUS
    assert energy.read()[0].value == 0
    package.write_text("100\n")  # it began again at 1000
    memory.write_text("60\n")
    ((name, joules, unit),) = energy.read()
    assert (name, unit) == ("cpu_energy", "J")
    assert joules == pytest.approx(250e-6)


def test_a_node_that_counts_all_of_its_energy_is_asked_for_that(tmp_path: Path):
    zone(tmp_path, "intel-rapl:0", "package-0", 5)
    counter = tmp_path / "cray/pm_counters/energy"
    counter.parent.mkdir(parents=True)
    counter.write_text("1200 J 1700000000000000 us\n")
    energy = find_energy(tmp_path)
    assert energy is not None
    energy.read()
    counter.write_text("1290 J 1700000001000000 us\n")
    assert energy.read() == [(WHOLE_NODE, 90.0, "J")]


def test_a_node_that_tells_nothing_of_its_energy_has_none(tmp_path: Path):
    zone(tmp_path, "intel-rapl:0", "package-0", 5).write_text("")
    assert find_energy(tmp_path) is None


def test_infiniband_counts_words_of_four_bytes(tmp_path: Path):
    for device, received, sent in (("mlx5_0", 10, 20), ("mlx5_1", 1, 2)):
        folder = tmp_path / "class/infiniband" / device / "ports/1/counters"
        folder.mkdir(parents=True)
        (folder / "port_rcv_data").write_text(f"{received}\n")
        (folder / "port_xmit_data").write_text(f"{sent}\n")
    assert infiniband_bytes(tmp_path) == (44, 88)
    with pytest.raises(FileNotFoundError):
        infiniband_bytes(tmp_path / "none")


def test_a_seat_is_held_by_one_and_passed_on(tmp_path: Path):
    first, second = (Seats("job", str(tmp_path)) for _ in range(2))
    assert first.hold("node")
    assert first.hold("node")
    assert not second.hold("node")
    assert second.hold("gpu 1")
    assert Seats("another job", str(tmp_path)).hold("node")
    first.leave()
    assert second.hold("node")
    assert not first.hold("node")
    second.leave()
    assert first.hold("node")
    first.leave()


def test_a_seat_whose_file_is_gone_is_no_seat(tmp_path: Path):
    first, second = (Seats("job", str(tmp_path)) for _ in range(2))
    assert first.hold("node")
    (file,) = tmp_path.iterdir()
    file.unlink()
    assert second.hold("node")
    first.leave()
    second.leave()


def test_a_seat_is_free_when_its_holder_was_killed(tmp_path: Path):
    program = (
        "import signal, sys; from pllib.seats import Seats; "
        "seats = Seats('job', sys.argv[1]); print(seats.hold('node'), flush=True); signal.pause()"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        mine = Seats("job", str(tmp_path))
        assert not mine.hold("node")
        holder.kill()
    assert mine.hold("node")
    mine.leave()


def reading(processes: Processes) -> dict[str, float]:
    return {name: value for name, value, _ in processes.read()}


def test_descendants_are_sampled_as_long_as_they_live():
    with subprocess.Popen([sys.executable, "-c", FAMILY]) as root:
        known = Processes(root.pid)

        def family() -> list[int]:
            known._find_at = 0.0
            return sorted(known.pids) if reading(known).get("processes") == 5 else []

        pids = wait_until(family)
        middle = children(root.pid)
        assert len(middle) == 2
        (orphan,) = children(middle[0])
        os.kill(middle[0], signal.SIGKILL)
        wait_until(lambda: reading(known)["processes"] == 4)  # its child has another parent now
        os.kill(orphan, signal.SIGKILL)
        wait_until(lambda: reading(known)["processes"] == 3)
        for pid in set(pids) - {middle[0], orphan}:
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: known.read() == [])


def test_a_child_that_ended_still_counts():
    """What it used goes over to who waits for it: nothing is missed, nothing counted twice."""
    program = "import time\nwhile time.process_time() < 0.3: pass"
    before = os.times()
    known = Processes(os.getpid())
    known.read()
    with subprocess.Popen([sys.executable, "-c", program]) as child:
        while child.poll() is None:
            known._find_at = 0.0
            known.read()
            time.sleep(0.001)
    found = reading(known)
    after = os.times()
    used = sum(after[:4]) - sum(before[:4])
    assert 0.3 <= found["cpu_seconds"] <= used + 0.05


def test_a_process_that_is_not_there_says_nothing():
    with subprocess.Popen(SLEEPER) as child:
        known = Processes(child.pid)
        assert reading(known)["processes"] == 1
        child.kill()
    assert known.read() == []
    assert known.pids == frozenset()


def test_a_file_of_many_pages_is_read_whole():
    """The kernel gives it in pieces, of a page at most."""
    found = read_file(f"/proc/{os.getpid()}/maps")
    assert len(found) > 4096
    assert b"[stack]" in found
