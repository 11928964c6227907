"""Every kind of job: each record is there once, and what is recorded of its end is true.

The jobs run together, each in a project of its own, and the tests look at what came of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from harness import PROGRAMS, SCRIPT, TRANSFORMATIONS

from cluster.jobs import Job, SlurmSite
from cluster.reports import accounted, attempts, counts, ends, job_ends
from cluster.virtual import Cluster

N = 50
"""Transformations of each rank."""
STEPS = f"python {PROGRAMS}/cluster_steps.py {N}"
ON_COMPUTE = '-w "$SPROV_COMPUTE_NODES" -N "$SPROV_COMPUTE_NNODES"'


@dataclass(frozen=True)
class Kind:
    lines: str
    """Of the batch script, between start and stop."""
    options: tuple[str, ...] = ()
    head: str = ""
    """#SBATCH lines."""
    copies: int = 1
    """Jobs, all in one project."""

    @property
    def script(self) -> str:
        return (
            f"#!/bin/bash\n{self.head}\ntrap 'exit 143' TERM\ntrap 'sprov slurm stop' EXIT\n"
            f'eval "$(sprov slurm start --export)"\n{self.lines}\n'
        )


KINDS = {
    "time limit": Kind(f"srun -n2 {STEPS} --hang captured", ("-n2", "--time=1")),
    "requeue": Kind(
        f'[ "$SLURM_RESTART_COUNT" ] || hang="--hang captured"\nsrun -n2 {STEPS} $hang',
        ("-n2", "--requeue"),
    ),
    "scancel": Kind(f"srun -n2 {STEPS} --hang captured", ("-n2",)),
    "script killed": Kind(
        f"srun -n2 {STEPS} --hang captured &\n"
        "until [ -e captured.0 ] && [ -e captured.1 ]; do sleep 0.1; done\nkill -KILL $$",
        ("-n2", "--nodelist=node1"),
    ),
    "pair": Kind(f"srun -n2 {STEPS}", ("-n2",), copies=2),
    "mpi": Kind(
        f"echo tracker: $SPROV_TRACKER_NODE\nsrun {ON_COMPUTE} -n8 {STEPS} --mpi",
        ("-N5", "--ntasks-per-node=2"),
    ),
    "array": Kind(f"srun {STEPS}", ("-n1", "--array=0-7")),
    "het": Kind(
        f"srun --het-group=1 -n4 {STEPS} --mpi",
        head="#SBATCH --ntasks=1\n#SBATCH hetjob\n#SBATCH --nodes=2 --ntasks-per-node=2",
    ),
    "rank killed": Kind(f"srun -n2 {STEPS} --die 1", ("-n2",)),
    "rank failed": Kind(f"srun -n2 {STEPS} --fail 1", ("-n2",)),
    "untouched": Kind(
        f"srun -n2 sprov run -- python {PROGRAMS}/cluster_untouched.py", ("-n2",)
    ),
    "many ranks": Kind(
        f"srun {ON_COMPUTE} --overcommit -n64 {STEPS} --mpi", ("-N5", "--overcommit")
    ),
}  # fmt: skip
STOPPED = ("time limit", "requeue", "scancel")


@dataclass(frozen=True)
class Sent:
    site: SlurmSite

    @property
    def job(self) -> Job:
        return self.site.jobs[0]

    def ended(self, state: str = "COMPLETED") -> SlurmSite:
        """Wait for that end; return the project once it knows of it."""
        for job in self.site.jobs:
            job.end(state)
        return accounted(self.site)


@pytest.fixture(scope="module")
def sent(slurm: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Sent]]:
    """All of the jobs, submitted at once; those that have to be stopped are being stopped."""
    with ExitStack() as stack:
        found = {}
        for name, kind in KINDS.items():
            site = SlurmSite(tmp_path_factory.mktemp(name.replace(" ", "-")), slurm)
            stack.callback(site.close)
            (site.folder / "numbers.txt").write_text("1\n2\n3\n" * 500)
            for _ in range(kind.copies):
                site.submit(kind.script, *kind.options)
            found[name] = Sent(site)
        for name in STOPPED:
            job = found[name].job.made("captured.0").made("captured.1")
            _stop(name, job)
        yield found


def _stop(how: str, job: Job) -> None:
    if how == "scancel":
        job.cancel()
    elif how == "requeue":
        job.cluster.command("scontrol", "requeue", job.id)
    else:  # limits are looked at every 30 s, so the minute that is the least takes up to 90 s
        job.cluster.command("scontrol", "update", f"jobid={job.id}", "EndTime=now+1")


def test_eight_mpi_ranks_on_four_nodes_and_the_tracker_on_its_own(sent: dict[str, Sent]) -> None:
    site = sent["mpi"].ended()
    job = sent["mpi"].job
    assert counts(site) == {(0, rank): N for rank in range(8)}
    assert ends(site) == [(f"{job.id}.0", 8, "completed")]
    hosts = site.select(
        f"SELECT DISTINCT ?h {{ {TRANSFORMATIONS} ; prov:qualifiedAssociation/"
        "prov:agent/prov:atLocation/rdfs:label ?h }"
    )
    assert {row["h"] for row in hosts} == {"node1", "node2", "node3", "node4"}
    assert "tracker: node0" in job.output


def test_an_array_of_eight_into_one_project(sent: dict[str, Sent]) -> None:
    """Eight trackers at once; each task is a run of its own."""
    site = sent["array"].ended()
    assert site.count(TRANSFORMATIONS) == 8 * N
    job = sent["array"].job.id
    assert ends(site) == [(f"{job}_{task}.0", 1, "completed") for task in range(8)]
    assert site.count(f'?t provml:isPartOf ?a . ?a a sprov:JobArray ; rdfs:label "{job}"') == 8


def test_a_het_job_is_one_job(sent: dict[str, Sent]) -> None:
    site = sent["het"].ended()
    assert counts(site) == {(0, rank): N for rank in range(4)}
    assert ends(site) == [(f"{sent['het'].job.id}.0", 4, "completed")]


def test_a_requeued_job_is_a_second_attempt_of_its_run(sent: dict[str, Sent]) -> None:
    site = sent["requeue"].ended()
    assert counts(site) == {(restart, rank): N for restart in (0, 1) for rank in (0, 1)}
    assert ends(site) == [(f"{sent['requeue'].job.id}.0", 2, "completed")]
    assert attempts(site) == [("preempted", 2), ("completed", 0)]


def test_a_cancelled_job_was_cancelled(sent: dict[str, Sent]) -> None:
    site = sent["scancel"].ended("CANCELLED")
    assert counts(site) == {(0, 0): N, (0, 1): N}
    assert ends(site) == [(f"{sent['scancel'].job.id}.0", 2, "cancelled")]
    assert job_ends(site) == {(sent["scancel"].job.id, "cancelled")}


def test_what_a_killed_script_left_on_a_node_is_taken_in_there(sent: dict[str, Sent]) -> None:
    """Nobody could collect: the records are in the node's memory, for the next job or `ingest`."""
    killed = sent["script killed"]
    killed.job.end("FAILED")
    environment = killed.site.environment()
    killed.site.cluster.on("node1", SCRIPT, "ingest", **environment)
    site = accounted(killed.site)
    assert counts(site) == {(0, 0): N, (0, 1): N}
    assert ends(site) == [(f"{killed.job.id}.0", 2, "killed")]


def test_two_jobs_at_once_into_one_project(sent: dict[str, Sent]) -> None:
    site = sent["pair"].ended()
    assert site.count(TRANSFORMATIONS) == 2 * 2 * N
    assert ends(site) == [(f"{job.id}.0", 2, "completed") for job in site.jobs]


def test_a_killed_rank_was_killed_and_the_other_completed(sent: dict[str, Sent]) -> None:
    site = sent["rank killed"].ended("FAILED")
    assert counts(site) == {(0, 0): N, (0, 1): N}
    assert ends(site) == [(f"{sent['rank killed'].job.id}.0", 2, "killed")]
    assert attempts(site) == [("killed", 1)]
    assert job_ends(site) == {(sent["rank killed"].job.id, "failed")}


def test_a_rank_that_raised_failed(sent: dict[str, Sent]) -> None:
    site = sent["rank failed"].ended("FAILED")
    assert counts(site) == {(0, 0): N, (0, 1): N}
    assert ends(site) == [(f"{sent['rank failed'].job.id}.0", 2, "failed")]
    assert attempts(site) == [("failed", 1)]


def test_an_untouched_program_and_what_it_read_and_wrote(sent: dict[str, Sent]) -> None:
    site = sent["untouched"].ended()
    assert ends(site) == [(f"{sent['untouched'].job.id}.0", 2, "completed")]
    assert site.count('?a prov:used ?f . ?f rdfs:label "numbers.txt"') == 2
    rows = site.select("SELECT ?name { ?f prov:wasGeneratedBy ?a ; rdfs:label ?name }")
    assert sorted(row["name"] for row in rows if row["name"].startswith("sum.")) == [
        "sum.0", "sum.1",
    ]  # fmt: skip


def test_sixty_four_ranks(sent: dict[str, Sent]) -> None:
    site = sent["many ranks"].ended()
    assert counts(site) == {(0, rank): N for rank in range(64)}
    assert ends(site) == [(f"{sent['many ranks'].job.id}.0", 64, "completed")]


def test_a_job_over_its_time_limit_timed_out(sent: dict[str, Sent]) -> None:
    site = sent["time limit"].ended("TIMEOUT")
    assert counts(site) == {(0, 0): N, (0, 1): N}
    assert ends(site) == [(f"{sent['time limit'].job.id}.0", 2, "timed_out")]
    assert job_ends(site) == {(sent["time limit"].job.id, "timed_out")}
