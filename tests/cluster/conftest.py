"""Fixtures: one cluster for all tests that do it no harm, and a project on its shared storage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import lack

from cluster.configuration import Shape
from cluster.jobs import SlurmSite
from cluster.packages import obstacle
from cluster.virtual import Cluster


@pytest.fixture(scope="session")
def slurm_installed() -> None:
    """Without Slurm these tests are skipped; in CI that is a failure."""
    if reason := obstacle():
        lack(f"no Slurm cluster: {reason}")


@pytest.fixture(scope="session")
def slurm(slurm_installed: None) -> Iterator[Cluster]:
    """A cluster with accounting, for tests that harm neither its nodes nor its daemons."""
    with Cluster(Shape(nodes=5, cpus=4, accounting=True)) as cluster:
        yield cluster


@pytest.fixture
def site(tmp_path: Path, slurm: Cluster) -> Iterator[SlurmSite]:
    """A project without daemons, whose jobs run on the cluster."""
    with SlurmSite(tmp_path, slurm) as made:
        yield made
