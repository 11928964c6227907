"""`sprov run` around the tasks of real steps: none of them notices."""

from __future__ import annotations

from pathlib import Path

from cluster.jobs import SlurmSite, poll

RANK = """
import os, sys
from mpi4py import MPI
world = MPI.COMM_WORLD
total = world.allreduce(world.rank)
with open(f"rank.{world.rank}", "w") as file:
    file.write(f"{world.size} {total} {os.environ['SLURMD_NODENAME']}")
"""
COUNTING = """
import os, signal, sys
file = open(f"signals.{sys.argv[1]}.{os.environ['SLURM_PROCID']}", "a", buffering=1)
def note(number, frame):
    print(number, file=file)
    if number == signal.SIGUSR2:
        sys.exit(6)
for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM):
    signal.signal(number, note)
print("ready", file=file)
while True:
    signal.pause()
"""
# Virtual nodes are of one kernel, whose inotify tells the wrappers of both nodes of each file; so a
# wrapper may also say of another node's file that it was written while its command ran.
SEEN_WRITER = (
    '?file sprov:path "{path}" ; prov:qualifiedGeneration/prov:hadRole/rdfs:label "files_written"'
)
ENDS = """SELECT ?rank ?outcome ?status ?signal ?error {
    ?agent sprov:rank ?rank . ?a prov:qualifiedAssociation/prov:agent ?agent .
    ?a a provml:WorkflowExecution ; sprov:outcome ?outcome .
    OPTIONAL { ?a sprov:exitStatus ?status } OPTIONAL { ?a sprov:signal ?signal }
    OPTIONAL { ?a sprov:error ?error } } ORDER BY ?rank"""


def test_ranks_of_mpi_know_each_other(site: SlurmSite) -> None:
    (site.folder / "rank.py").write_text(RANK)
    site.submit("srun sprov run -- python rank.py", "-N2", "--ntasks-per-node=2").end()
    said = [(site.folder / f"rank.{rank}").read_text().split() for rank in range(4)]
    assert [words[:2] for words in said] == [["4", "6"]] * 4
    assert len({words[2] for words in said}) == 2
    site.sprov("ingest")
    assert site.count("?run a provml:LearningExperimentExecution") == 1
    assert [row["outcome"] for row in site.select(ENDS)] == ["completed"] * 4
    for rank in range(4):
        assert site.count(SEEN_WRITER.format(path=site.folder / f"rank.{rank}")) == 1


def test_a_plain_binary_that_fails(site: SlurmSite) -> None:
    job = site.submit("srun -n2 sprov run -- sh -c 'exit $((SLURM_PROCID * 7))'", "-n2")
    job.end("FAILED")
    site.sprov("ingest")
    ends = [(row["outcome"], row["status"]) for row in site.select(ENDS)]
    assert ends == [("completed", "0"), ("failed", "7")]


def test_signals_come_as_often_as_without(site: SlurmSite) -> None:
    (site.folder / "counting.py").write_text(COUNTING)
    job = site.submit(
        "srun -n1 --overlap python counting.py plain &\n"
        "srun -n2 --overlap sprov run -- python counting.py run &\nwait",
        "-n2",
    )
    files = [site.folder / f"signals.{name}" for name in ("plain.0", "run.0", "run.1")]
    expected: list[str] = []
    for number, line in ((None, "ready"), ("USR1", "10"), ("USR1", "10"), ("USR2", "12")):
        if number:
            job.cancel("-s", number)
        expected.append(line)
        for file in files:
            poll(lambda file=file: len(noted(file)) >= len(expected), f"{file.name} has {expected}")
    job.end(None)
    assert {file.name: noted(file) for file in files} == {file.name: expected for file in files}
    site.sprov("ingest")
    assert [row["status"] for row in site.select(ENDS)] == ["6", "6"]


def test_a_job_that_is_cancelled(site: SlurmSite) -> None:
    job = site.submit(
        "srun -n2 sprov run -- sh -c 'touch began.$SLURM_PROCID; exec sleep 600'", "-n2"
    )
    for rank in range(2):
        job.made(f"began.{rank}")
    job.cancel()
    job.end("CANCELLED")
    poll(lambda: len(list(site.project.spool.glob("*.log"))) == 2, "both ranks have ended")
    site.sprov("ingest")
    ends = [(row["outcome"], row["signal"]) for row in site.select(ENDS)]
    assert ends == [("killed", "15")] * 2


def noted(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []
