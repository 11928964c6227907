"""`sprov slurm doctor` on a real Slurm, with and without a test job."""

from __future__ import annotations

import json
from pathlib import Path

from examined import examine, statuses
from harness import SCRIPT

from cluster.configuration import Shape
from cluster.jobs import SlurmSite
from cluster.virtual import Cluster


def test_a_test_job_finds_out_what_only_a_job_can(site: SlurmSite):
    """Two nodes see the project and reach each other; MPI is whole; nothing stays behind."""
    found = examine(site, "--job", "--", "-w", "node[1-2]")
    assert "2 tasks on node[1-2]" in found["test job"][0]["found"]
    assert statuses(
        found, "Slurm", "squeue --json", "accounting", "shared folder", "between nodes", "clocks",
        "MPI",
    ) == {"ok"}  # fmt: skip
    assert "node2 reached node1" in found["between nodes"][0]["found"]
    assert "node2 is" in found["clocks"][0]["found"]
    assert any("/dev/shm" in finding["found"] for finding in found["disk"] if finding["nodes"])
    assert not list(site.project.root.glob(".doctor*"))


def test_without_a_job_it_says_what_was_not_tried(site: SlurmSite):
    found = examine(site)
    assert found["test job"][0]["status"] == "skip"
    assert "--job" in found["test job"][0]["advice"]
    assert "MPI" not in found


def test_in_a_job_it_needs_no_other(site: SlurmSite):
    """In a batch script, beside a step that has all CPUs."""
    job = site.submit(
        f"srun sleep 60 &\n{SCRIPT} slurm doctor --job --format json > found.json\nkill %1\nwait",
        "-N1",
        "-n2",
    )
    job.end()
    found = {finding["check"]: finding for finding in json.loads(
        (site.folder / "found.json").read_text())}  # fmt: skip
    assert found["test job"]["status"] == found["MPI"]["status"] == "ok"
    assert found["between nodes"]["status"] == "skip"


def test_a_job_that_nobody_may_have_is_told_in_slurms_words(site: SlurmSite):
    found = examine(site, "--job", "--", "-p", "none-such", status=1)
    assert "none-such" in found["test job"][0]["found"]
    assert "--partition" in found["test job"][0]["advice"]


def test_daemons_that_other_nodes_can_not_reach(site: SlurmSite):
    """Told to listen on the loopback interface, which each node has of its own."""
    site.project.config.write_text('[serve]\ninterface = "lo"\n')
    found = examine(site, "--job", status=1)
    assert statuses(found, "between nodes", "interface") == {"fail"}
    assert "refused" in found["between nodes"][0]["found"]
    assert statuses(found, "shared folder") == {"ok"}


def test_tasks_that_mpi_does_not_know_of(slurm_installed: None, tmp_path: Path):
    """With MpiDefault none each task is alone; the doctor finds the kind that works."""
    with Cluster(Shape(nodes=2, cpus=1, mpi="none")) as cluster:
        site = SlurmSite(tmp_path, cluster)
        found = examine(site, "--job")
        site.close()
    assert statuses(found, "MPI", "MPI under srun", "accounting") == {"warn"}
    assert "alone" in found["MPI"][0]["found"]
    assert "srun --mpi=pmi2" in found["MPI"][0]["advice"]
