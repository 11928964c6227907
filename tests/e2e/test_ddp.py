"""A DistributedDataParallel training that is killed and goes on: one plan, each attempt whole."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from harness import PROGRAMS, TIMEOUT_S, Site, require_module

require_module("torch", "lifecycle")

RANKS = 2
DIED_AT, EPOCHS, BATCHES = 2, 4, 4
TORCHRUN = ("-m", "torch.distributed.run")
STANDALONE = (*TORCHRUN, "--standalone")
NO_ID = ("--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0")
"""As ``--standalone``, on a port that the kernel picks; but the launch's id is "none"."""
JOB = {
    "SLURM_JOB_ID": "4242", "SLURM_CLUSTER_NAME": "lab", "SLURM_STEP_ID": "0",
    "SLURM_STEP_NUM_TASKS": "1",
}  # fmt: skip
RUNS = "?run a provml:LearningExperimentExecution"
Points = set[tuple[int, int, float]]
"""(rank, step, loss)"""


def launch(site: Site, launcher: tuple[str, ...], *program: str, **extra: str) -> Any:
    """Start a program of tests/programs on two ranks."""
    name, *arguments = program
    return subprocess.Popen(
        [
            sys.executable,
            *launcher,
            "--nproc-per-node",
            str(RANKS),
            str(PROGRAMS / name),
            *arguments,
        ],
        cwd=site.folder,
        env=site.environment(OMP_NUM_THREADS="1", **extra),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def train(site: Site, launcher: tuple[str, ...], *arguments: str, **extra: str) -> Points:
    """Train until the end or death; return what the ranks say that they captured."""
    folder = site.folder / "model"
    folder.mkdir(exist_ok=True)
    settings = (str(folder), "--epochs", str(EPOCHS), *arguments)
    ranks = launch(site, launcher, "ddp_training.py", *settings, **extra)
    _, errors = ranks.communicate(timeout=TIMEOUT_S)
    assert (ranks.returncode == 0) == ("--die-at" not in arguments), errors
    assert "sprov:" not in errors
    said = set()
    for rank in range(RANKS):
        path = folder / f"captured-{rank}.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        said |= {(rank, line["step"], line["loss"]) for line in lines}
        path.unlink()
    return said


def points(site: Site, run: str) -> Points:
    found = json.loads(site.sprov("metrics", run, "batch_loss", "--format", "json", "--live"))
    return {(point["rank"], point["step"], point["value"]) for point in found}


def epochs(site: Site, whole: str) -> dict[str, list[int]]:
    """Return the epochs of each run or attempt, by its class."""
    rows = site.select(
        f"""SELECT ?whole ?index {{
              ?epoch a sprov:Collective, provml:LearningStageSectionExecution ;
              sprov:index ?index ; provml:isPartOf+ ?whole . ?whole a {whole} }} ORDER BY ?index"""
    )
    found: dict[str, list[int]] = {}
    for row in rows:
        found.setdefault(row["whole"], []).append(int(row["index"]))
    return found


def resumptions(site: Site) -> list[dict[str, str]]:
    """Return, for each rank that resumed, from whose checkpoint of which epoch."""
    return site.select(
        """SELECT ?run ?attempt ?plan ?from_run ?from_attempt ?from_plan ?index {
             ?training sprov:resumedFrom/prov:wasGeneratedBy ?epoch ;
               prov:qualifiedAssociation/prov:hadPlan ?plan ; provml:isPartOf+ ?attempt .
             ?attempt a sprov:Attempt ; provml:isPartOf ?run .
             ?epoch sprov:index ?index ; provml:isPartOf ?from ; provml:isPartOf+ ?from_attempt .
             ?from a provml:TrainingExecution ; prov:qualifiedAssociation/prov:hadPlan ?from_plan .
             ?from_attempt a sprov:Attempt ; provml:isPartOf ?from_run }"""
    )


def best_step(site: Site) -> int:
    rows = site.select(
        """SELECT ?step { ?model a provml:Checkpoint ; sprov:best true ; sprov:score ?score ;
             sprov:step ?step } ORDER BY DESC(?score) LIMIT 1"""
    )
    return int(rows[0]["step"])


def epoch_of_least_loss(said: Points) -> int:
    losses: dict[int, list[float]] = {}
    for _, step, loss in said:
        losses.setdefault(step // BATCHES, []).append(loss)
    whole = {epoch: values for epoch, values in losses.items() if len(values) == RANKS * BATCHES}
    return min(whole, key=lambda epoch: sum(whole[epoch]))


def test_a_killed_training_goes_on_in_another_run(served: Site):
    """
    Rank 1 is killed in the third epoch.  All that it captured is kept, and the run that resumes
    goes on from the checkpoint that the killed one left, as the same plan.
    """
    before = train(served, STANDALONE, "--die-at", str(DIED_AT))
    served.sprov("ingest")
    (first,) = [row["run"] for row in served.select(f"SELECT ?run {{ {RUNS} }}")]
    kept = points(served, first)
    assert before <= kept
    assert {p for p in before if p[0] == 1} == {p for p in kept if p[0] == 1}

    after = train(served, STANDALONE, "--resume")
    (second,) = {row["run"] for row in served.select(f"SELECT ?run {{ {RUNS} }}")} - {first}
    assert points(served, second) == after
    assert epochs(served, "provml:LearningExperimentExecution") == {
        first: [0, 1, DIED_AT],
        second: [DIED_AT, 3],
    }
    resumed = resumptions(served)
    assert len(resumed) == RANKS
    for row in resumed:
        assert (row["run"], row["from_run"], row["index"]) == (second, first, str(DIED_AT - 1))
        assert row["plan"] == row["from_plan"]
    assert best_step(served) == epoch_of_least_loss(before | after)
    served.verify()


def test_a_requeued_job_is_another_attempt_of_its_run(served: Site):
    """Slurm gives a requeued job its id again, and a restart count."""
    launcher = (*TORCHRUN, *NO_ID, "--rdzv-id", JOB["SLURM_JOB_ID"])
    before = train(served, launcher, "--die-at", str(DIED_AT), **JOB)
    served.sprov("ingest")
    after = train(served, launcher, "--resume", SLURM_RESTART_COUNT="1", **JOB)
    (run,) = served.select(f"SELECT ?run {{ {RUNS} }}")
    assert points(served, run["run"]) >= before | after
    attempts = served.select("SELECT ?a { ?a a sprov:Attempt ; sprov:restart ?n } ORDER BY ?n")
    first, second = (row["a"] for row in attempts)
    assert epochs(served, "sprov:Attempt") == {first: [0, 1, DIED_AT], second: [DIED_AT, 3]}
    assert {(r["attempt"], r["from_attempt"]) for r in resumptions(served)} == {(second, first)}
    served.verify()


def test_launches_without_an_id_are_runs_of_their_own(served: Site):
    """torchrun without --rdzv-id calls every launch "none", and goes by other names too."""
    own = str(PROGRAMS / "launcher.py")
    launchers = [TORCHRUN, TORCHRUN, (own,)]
    started = [launch(served, (*launcher, *NO_ID), "training.py") for launcher in launchers]
    for ranks in started:
        _, errors = ranks.communicate(timeout=TIMEOUT_S)
        assert ranks.returncode == 0, errors
    rows = served.select(
        f"""SELECT ?run (COUNT(DISTINCT ?rank) AS ?n) {{ {RUNS} .
              ?agent sprov:run ?run ; sprov:rank ?rank }} GROUP BY ?run"""
    )
    assert [row["n"] for row in rows] == [str(RANKS)] * len(launchers)
