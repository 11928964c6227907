"""Fixtures: a project without daemons, and one with."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import harness
import pytest
from disks import build, missing_compiler
from forkserver import ForkServer
from harness import MPIRUN, SCRIPT, Site, lack, usual_signals
from hypothesis import HealthCheck, settings
from machine import Machine
from reaper import Reaper

FOREIGN = ("SPROV_", "SLURM_", "PMI", "OMPI_", "MPI_", "TORCHELASTIC_", "HYDI_")
OURS = ("SPROV_FIGURES", "SPROV_TEST_")
"""Said to the tests, not to what they test."""
# Neither tests nor fixtures, of whatever scope, see the launcher and settings that they run under.
for _name in [name for name in os.environ if name.startswith(FOREIGN)]:
    if not _name.startswith(OURS):
        del os.environ[_name]
# Tests count records and facts, whatever is installed; those of software set it.
os.environ["SPROV_SOFTWARE"] = "off"
# No project of a test is noted where this user's own are (`pllib.registry`).
os.environ["XDG_STATE_HOME"] = "/dev/null/state"

# How long an example takes says what else the machine does, and no more.
settings.register_profile(
    "sprov", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("sprov")

TOGETHER = ("cluster", "lifecycle")
"""Tests that share what takes long to make, by a word in their path."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Where several processes test (`pytest -n`), a file is one's, and what shares a fixture.

    Not by marks of groups: pytest 9.2 ignores the names by which pytest-xdist 3.8 passes them on,
    and every file's fixtures were made in each process, side by side.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path = nodeid.partition("::")[0]
            return next((word for word in TOGETHER if word in path), path)

    return Together(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Add to the file that `SPROV_TEST_CPU` names what each test took, fixtures included."""
    before = cpu_s()
    result = yield
    if path := os.environ.get("SPROV_TEST_CPU"):
        with open(path, "a") as file:
            file.write(f"{cpu_s() - before:.2f} {item.nodeid}\n")
    return result


def cpu_s() -> float:
    """Return the CPU seconds of this process, of all that it waited for, and of commands."""
    return sum(os.times()[:4]) + (harness.warm.children_s if harness.warm else 0.0)


@pytest.fixture(scope="session", autouse=True)
def nothing_left() -> Iterator[None]:
    """What tests start ends with them, even if they are killed; what they forget is a failure."""
    reaper = Reaper()
    if not os.environ.get("SPROV_TEST_COLD"):
        harness.warm = ForkServer(SCRIPT)
    with usual_signals():
        yield
    if harness.warm is not None:
        harness.warm.close()
    assert reaper.close() == []


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    """Opening a store changes it, and it is the whole process's."""
    os.umask(0o022)
    yield
    os.umask(0o022)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A project without daemons."""
    with Site(tmp_path) as made:
        yield made


@pytest.fixture
def served(site: Site) -> Site:
    """A project with tracker and manager running."""
    site.serve()
    return site


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the sessions go that the test itself opens."""
    monkeypatch.setenv("SPROV_DIR", str(tmp_path / ".sprov"))
    monkeypatch.setenv("SPROV_MODE", "offline")
    return tmp_path / ".sprov" / "spool"


@pytest.fixture(scope="session")
def not_finite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A stored run with numbers that are not finite, to be read."""
    with Site(tmp_path_factory.mktemp("numbers")) as made:
        made.run("not_finite.py", SPROV_MODE="offline")
        made.sprov("ingest")
        yield made


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library of a disk that fails and loses what was not synced; in CI it must be built."""
    if reason := missing_compiler():
        lack(reason)
    return build(tmp_path_factory.mktemp("shim"))


@pytest.fixture
def machine(tmp_path: Path, shim: Path) -> Iterator[Machine]:
    """A project without daemons, on a disk that can fail and lose its power."""
    with Machine(tmp_path, shim) as made:
        yield made


@pytest.fixture(scope="session", autouse=True)
def installed() -> None:
    """In CI a missing tool is a failure, not a reason to skip."""
    if os.environ.get("CI"):
        assert MPIRUN.exists(), "the mpi extra is not installed"
        assert find_spec("torch"), "the lifecycle extra is not installed"
