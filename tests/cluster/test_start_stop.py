"""`sprov slurm start` and `stop` in real jobs: where the tracker is, and that nothing is lost."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from harness import PROGRAMS, TRANSFORMATIONS

from cluster.configuration import Shape
from cluster.jobs import Job, SlurmSite, poll
from cluster.virtual import Cluster
from pllib.project import read_endpoint

STEPS = f"python {PROGRAMS}/cluster_steps.py"
START = 'eval "$(sprov slurm start --export)"'
ENDPOINT = "cp .sprov/endpoints/$SLURM_JOB_ID.json endpoint.json"


def endpoint(site: SlurmSite):
    """Return what the job's endpoint file said while its tracker ran."""
    return read_endpoint(site.folder / "endpoint.json")


def recorded(site: SlurmSite, job: Job, n_sessions: int, n_transformations: int) -> None:
    """Check that all is in the project's store, and that nothing else is left of the job."""
    found = site.verify()
    assert found["sessions"] == n_sessions
    assert found["lost"] == 0
    assert site.count(TRANSFORMATIONS) == n_transformations
    assert (site.project.journal / job.id).is_dir()
    assert list(site.project.endpoints.iterdir()) == []
    assert list(site.project.spool.iterdir()) == []


def test_a_dedicated_tracker_keeps_no_later_srun_waiting(site: SlurmSite):
    """It has the first node, nothing of the script's descriptors, and leaves nothing there."""
    job = site.submit(
        f"""
exec 7> kept-open
{START}
{ENDPOINT}
for pid in $(pgrep -g $(pgrep -f 'sprov serve')); do readlink /proc/$pid/fd/*; done > descriptors
srun --relative=1 -N3 -n6 {STEPS} 50
srun -N4 -n8 {STEPS} 10
srun -w $SPROV_COMPUTE_NODES -N$SPROV_COMPUTE_NNODES -n3 hostname > hosts
ls -d /tmp/sprov-*/$SLURM_JOB_ID-*
sprov slurm stop
""",
        "-N4",
        "--ntasks-per-node=2",
    ).end()
    assert endpoint(site).host == endpoint(site).tracker.removeprefix("tcp://").partition(":")[0]
    hosts = (site.folder / "hosts").read_text().split()
    assert len(set(hosts)) == 3
    assert endpoint(site).host not in hosts
    descriptors = (site.folder / "descriptors").read_text()
    assert "/dev/null" in descriptors
    assert "kept-open" not in descriptors
    assert f"slurm-{job.id}.out" not in descriptors
    assert "14 session(s)" in job.output
    assert re.search(rf"/tmp/sprov-\d+/{job.id}-\w+\n", job.output)
    assert not list(Path("/tmp").glob(f"sprov-*/{job.id}-{site.project.key[:8]}"))
    recorded(site, job, 14, 380)
    (accounting,) = site.select(f"""SELECT ?state {{ ?a sprov:accountOf ?job ; sprov:state ?state .
        ?job rdfs:label ?name FILTER(STRENDS(?name, "{job.id}")) }}""")
    assert accounting["state"] == "RUNNING"


def test_a_small_job_shares_its_node_and_ports_are_as_told(site: SlurmSite):
    job = site.submit(
        f"""
eval "$(sprov slurm start --export --interface lo --ports 40100-40109)"
{ENDPOINT}
eval "$(sprov slurm start --export --interface lo --ports 40100-40109)"
cmp endpoint.json .sprov/endpoints/$SLURM_JOB_ID.json && echo started once
srun {STEPS} 50
sprov slurm stop
""",
        "-N1",
        "-n2",
    ).end()
    ports = {
        int(address.rpartition(":")[2])
        for address in (endpoint(site).tracker, endpoint(site).manager)
    }
    assert len(ports) == 2
    assert ports <= set(range(40100, 40110))
    assert endpoint(site).tracker.startswith("tcp://127.0.0.1:")
    assert "started once" in job.output
    recorded(site, job, 2, 100)


def test_a_tracker_in_a_component_of_its_own_may_be_on_another_node(site: SlurmSite):
    """It is a job step there, and the ranks' points can be asked for from here."""
    job = site.submit(
        f"""
{START}
{ENDPOINT}
srun --het-group=$SPROV_COMPUTE_HET_GROUPS {STEPS} 50
srun -n1 python {PROGRAMS}/training.py
touch trained
until [ -e asked ]; do sleep 0.1; done
sprov slurm stop
""",
        "-N2",
        "-n4",
        ":",
        "-N1",
        "-n1",
    ).made("trained")
    assert site.cluster.on("node0", "hostname").strip() != endpoint(site).host
    points = site.sprov("metrics", "@last", "loss", "--csv", "--live", SPROV_ENDPOINT=job.id)
    assert points.count("loss") == 2
    (site.folder / "asked").touch()
    job.end()
    recorded(site, job, 5, site.count(TRANSFORMATIONS))
    assert site.sprov("metrics", "@last", "loss", "--csv") == points


def test_what_a_killed_rank_left_on_its_node_is_collected(site: SlurmSite):
    """Its end is told too: it could not."""
    spools = f"/dev/shm/{site.folder.name}"
    job = site.submit(
        f"""
{START}
srun {STEPS} 50 --die 3
sprov slurm stop
""",
        "-N3",
        "-n6",
        SPROV_SPOOL_DIR=spools,
        SPROV_FLUSH_AGE_S="600",
    ).end()
    assert "1 rank(s) were killed" in job.output
    recorded(site, job, 6, 300)
    (outcome,) = site.select("""SELECT ?outcome ?rank { ?a sprov:outcome ?outcome .
        OPTIONAL { ?a sprov:rank ?rank } }""")
    assert outcome["outcome"] == "killed"
    for node in site.cluster.nodes:
        assert site.cluster.on(node, "find", "/dev/shm", "-name", "*.spool") == ""


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        ("--interface ib9", "ib9 is no interface"),
        ("--ports 70000", "'70000' is no range of ports"),
        ("--dedicated", "a job of one node has none to spare"),
    ],
)
def test_a_start_that_fails_lets_the_job_run_on(site: SlurmSite, break_it: str, says: str):
    job = site.submit(
        f"""
sprov slurm start {break_it} || echo status $?
eval "$(sprov slurm start --export {break_it})" && echo went on
srun {STEPS} 50
sprov slurm stop && echo stopped
""",
        "-N1",
        "-n2",
    ).end()
    assert says in job.output
    assert "went on" in job.output
    assert "status" in job.output
    assert "stopped" in job.output
    site.sprov("ingest")
    assert site.count(TRANSFORMATIONS) == 100


def test_a_project_that_cannot_be_made_lets_the_job_run_on(site: SlurmSite):
    job = site.submit(
        f"""
cd "$(mktemp -d)" && touch .sprov
{START}
srun {STEPS} 50
sprov slurm stop || true
""",
        "-N1",
        "-n2",
    ).end()
    assert job.output.count("nothing of this job is recorded") == 1


def test_a_tracker_that_was_killed_is_made_up_for(site: SlurmSite):
    job = site.submit(
        f"""
{START}
srun {STEPS} 50
grep -o '_pid": [1-9][0-9]*' .sprov/endpoints/$SLURM_JOB_ID.json > pids
kill -KILL $(tac pids | cut -d' ' -f2)
srun {STEPS} 50
sprov slurm stop && echo stopped
""",
        "-N2",
        "-n4",
    ).end()
    assert "stopped" in job.output
    recorded(site, job, 8, 400)


def test_the_trackers_node_dies_and_the_ranks_go_on(slurm_installed: None, tmp_path: Path):
    """Their records are in spools and in the project, and `stop` takes them in itself."""
    with Cluster(Shape(nodes=3, cpus=2, slurmd_timeout_s=5)) as cluster:
        site = SlurmSite(tmp_path, cluster)
        job = site.submit(
            f"""
{START}
{ENDPOINT}
srun --het-group=0 {STEPS} 10 --until enough --pace 0.05
sprov slurm stop; echo stopped $?
""",
            *("-N2", "-n2", "--no-kill", ":", "-N1", "-n1", "--no-kill", "--no-requeue"),
        )
        done = [site.folder / f"enough.{rank}" for rank in range(2)]
        poll(lambda: all(path.exists() for path in done), "steps")
        cluster.crash(endpoint(site).host)
        enough = max(int(path.read_text() or 0) for path in done) + 40
        poll(lambda: all(int(path.read_text() or 0) > enough for path in done), "more steps")
        (site.folder / "enough").touch()
        job.says("stopped 0")
        assert f"the tracker on {endpoint(site).host} went with its node" in job.output
        assert f"{endpoint(site).host} did not answer" in job.output
        recorded(site, job, 2, sum(int(path.read_text()) for path in done))
        job.end(None)
        site.close()


def test_a_script_that_dies_early_takes_its_tracker_along_and_loses_nothing(site: SlurmSite):
    """The daemons end with it, and the next `sprov ingest` takes in what is left."""
    site.submit(
        f"""
{START}
{ENDPOINT}
srun {STEPS} 50 --hang hanging &
for rank in 0 1 2 3; do until [ -e hanging.$rank ]; do sleep 0.1; done; done
kill -KILL $$
""",
        "-N2",
        "-n4",
    ).end(None)
    host, pid = endpoint(site).host, endpoint(site).serve_pid
    poll(lambda: not site.cluster.on(host, "sh", "-c", f"ls -d /proc/{pid} || true"), "it ends")
    site.sprov("ingest")
    assert site.verify()["sessions"] == 4
    assert site.count(TRANSFORMATIONS) == 200


def test_outside_a_job_it_says_so(site: SlurmSite):
    assert "this is no Slurm job" in site.sprov("slurm", "start", status=4)
    assert "SPROV_MODE=offline" in site.sprov("slurm", "start", "--export")
    assert "this is no Slurm job" in site.sprov("slurm", "stop", status=4)
