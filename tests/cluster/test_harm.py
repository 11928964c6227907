"""What breaks while jobs run: a node, the network of the tracker's node, Slurm's controller.

One cluster suffers all of it, each job on nodes of its own.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from harness import PROGRAMS, TRANSFORMATIONS

from cluster.configuration import Shape
from cluster.jobs import Job, SlurmSite, poll
from cluster.reports import accounted, counts, ends, job_ends
from cluster.virtual import Cluster

RANKS, N = 2, 50
SCRIPT = f"""
trap 'exit 143' TERM
trap 'sprov slurm stop' EXIT
eval "$(sprov slurm start --export)"
srun -w "$SPROV_COMPUTE_NODES" -N2 -n2 python {PROGRAMS}/cluster_steps.py {N} --pace 0.01 \
"""
ENDS = {"crash": "--hang captured", "cut": "--until enough", "restart": "--until enough"}
WHERE = {"crash": "node[0-2]", "cut": "node[3-5]", "restart": "node[6-8]"}
MEANWHILE = 200
"""Steps, two seconds of them."""


class Sufferer:
    """A job whose tracker has the first of its three nodes."""

    def __init__(self, name: str, site: SlurmSite) -> None:
        self.site = site
        options = (f"--nodelist={WHERE[name]}", "--nodes=3", "--no-requeue")
        self.job: Job = site.submit(SCRIPT + ENDS[name], *options)

    def done(self) -> dict[tuple[int, int], int]:
        """Return how many steps each rank has done so far, as it counts them itself."""
        files = [self.site.folder / f"enough.{rank}" for rank in range(RANKS)]
        said = [path.read_text() if path.exists() else "" for path in files]
        return {(0, rank): int(text or 0) for rank, text in enumerate(said)}

    def goes_on(self, steps: int) -> None:
        """Wait until each rank has done so many more."""
        before = self.done()
        poll(lambda: all(n >= before[rank] + steps for rank, n in self.done().items()), "steps")

    def is_enough(self) -> None:
        (self.site.folder / "enough").touch()


@pytest.fixture(scope="module")
def suffered(
    slurm_installed: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Sufferer]]:
    with Cluster(Shape(nodes=9)) as cluster, ExitStack() as stack:
        jobs = {}
        for name in ENDS:
            site = SlurmSite(tmp_path_factory.mktemp(name), cluster)
            stack.callback(site.close)
            jobs[name] = Sufferer(name, site)
        _restart_controller(cluster, jobs["restart"])
        _crash(cluster, jobs["crash"])
        _cut_off(cluster, jobs["cut"])
        yield jobs


def _restart_controller(cluster: Cluster, sufferer: Sufferer) -> None:
    sufferer.goes_on(10)
    cluster.kill("ctl", signal.SIGTERM)
    sufferer.goes_on(MEANWHILE)
    cluster.start("ctl")
    sufferer.goes_on(10)
    sufferer.is_enough()


def _crash(cluster: Cluster, sufferer: Sufferer) -> None:
    """Crash a node of ranks, once the tracker has what they told: the node's memory goes."""
    for rank in range(RANKS):
        sufferer.job.made(f"captured.{rank}")
    poll(lambda: sufferer.site.count(TRANSFORMATIONS) == RANKS * N, "all is stored")
    cluster.crash("node2")


def _cut_off(cluster: Cluster, sufferer: Sufferer) -> None:
    sufferer.goes_on(10)
    cluster.cut("node3")
    sufferer.goes_on(MEANWHILE)
    cluster.join("node3")
    sufferer.goes_on(10)
    sufferer.is_enough()


def test_a_restarted_controller_costs_no_record(suffered: dict[str, Sufferer]) -> None:
    restart = suffered["restart"]
    restart.job.end()
    site = accounted(restart.site)
    assert counts(site) == restart.done()
    assert ends(site) == [(f"{restart.job.id}.0", RANKS, "completed")]


def test_a_tracker_that_was_cut_off_gets_all_of_it_later(suffered: dict[str, Sufferer]) -> None:
    cut = suffered["cut"]
    cut.job.end()
    site = accounted(cut.site)
    assert counts(site) == cut.done()
    assert ends(site) == [(f"{cut.job.id}.0", RANKS, "completed")]


def test_a_crashed_node_is_a_node_failure(suffered: dict[str, Sufferer]) -> None:
    crash = suffered["crash"]
    crash.job.end("NODE_FAIL")
    site = accounted(crash.site)
    assert counts(site) == {(0, rank): N for rank in range(RANKS)}
    assert ends(site) == [(f"{crash.job.id}.0", RANKS, "node_failure")]
    assert job_ends(site) == {(crash.job.id, "node_failure")}
