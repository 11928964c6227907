"""A job script that nobody edits, submitted with provenance; and the same thing again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from harness import SCRIPT, TIMEOUT_S

from cluster.jobs import Job, SlurmSite, poll

READER = "print(open('data.txt').read().strip())"
STEPS = f"""#!/bin/bash -l
#SBATCH --ntasks=4
#SBATCH --nodes=2

# Directives end here.
echo "script $0 with $# arguments: $*"
[ -r "$0" ] && grep -c 'Directives end here' "$0"
srun {sys.executable} -c "{READER}"
srun -n1 -N1 true && srun -N2 --version
sbatch --parsable next.sh
exit 5
"""
NEXT = """#!/bin/bash
env | grep -E '^SPROV_|BASH_FUNC|^PYTHONPATH|PATH=.*sprov-'
srun -N1 -n1 echo ran
"""
TRAIN = """
import time
import pllib
with pllib.open(study="one") as session:
    for step in range(20):
        session.metric("loss", 1.0, step=step)
        time.sleep(0.1)
"""
SIGNALS = """#!/bin/bash
#SBATCH --nodes=1
trap 'echo got USR1' USR1
trap 'echo got TERM; exit 9' TERM
echo ready
while :; do sleep 0.1; done
"""


def submit(site: SlurmSite, *words: str) -> Job:
    said = site.sprov("slurm", "submit", *words).split()
    assert said[:3] == ["Submitted", "batch", "job"]
    site.jobs.append(Job(site.cluster, said[3], site.folder))
    return site.jobs[-1]


def facts(site: SlurmSite, job: str) -> dict[str, str]:
    """Return the facts of the run of a job's script."""
    (run,) = (run for run in json.loads(site.sprov("runs", "--format", "json"))
              if run["job"] == job)  # fmt: skip
    digest = run["run"].rpartition("/")[2]
    return dict(json.loads(site.sprov("show", digest, "--format", "json"))["facts"])


def test_a_script_is_recorded_as_it_is_and_submitted_again(site: SlurmSite) -> None:
    script = site.folder / "train.sbatch"
    script.write_text(STEPS)
    data = site.folder / "data.txt"
    data.write_text("first\n")
    (site.folder / "next.sh").write_text(NEXT)
    job = submit(site, "--comment=it's", "train.sbatch", "--lr", "0.1  x").end("FAILED")
    _check_job(site, job)
    _check_graph(site, job)
    _check_again(site, job, script, data)


def _check_job(site: SlurmSite, job: Job) -> None:
    """To the script and to Slurm it is as it would be without us."""
    lines = job.output.splitlines()
    assert lines[0].endswith("train.sbatch with 2 arguments: --lr 0.1  x")
    assert lines[1] == "2"  # the directive's comment, and this line of the script itself
    assert lines.count("first") == 4
    assert lines[-2].startswith("slurm")
    _check_next(site, lines[-1])
    shown = site.cluster.command("squeue", "-h", "-t", "all", "-j", job.id, "-o", "%j|%k|%D|%C")
    assert shown.strip() == "train.sbatch|it's|2|4"


def _check_next(site: SlurmSite, job_id: str) -> None:
    """A job that the script submits is as if there were no provenance."""
    site.jobs.append(Job(site.cluster, job_id, site.folder))
    said = site.jobs[-1].end().output.split()
    assert said == [f"SPROV_DIR={site.project.root}", "ran"]


def _check_graph(site: SlurmSite, job: Job) -> None:
    """The first step is of the script's run, the second is one; Slurm says how they ended."""
    site.sprov("slurm", "sync")
    runs = {run["job"]: run for run in json.loads(site.sprov("runs", "--format", "json"))}
    assert set(runs) == {job.id, f"{job.id}.1"}
    assert (runs[job.id]["ranks"], runs[job.id]["state"]) == (4, "failed")
    assert (runs[f"{job.id}.1"]["ranks"], runs[f"{job.id}.1"]["state"]) == (1, "completed")
    read = f"?run sprov:fact ?any . ?file sprov:path '{site.folder / 'data.txt'}'"
    assert site.count(f"{read} FILTER(?any = 'job_id={job.id}')") >= 1
    kept = site.project.kept / facts(site, job.id)["job_script"]
    assert kept.read_text() == STEPS


def _check_again(site: SlurmSite, job: Job, script: Path, data: Path) -> None:
    """Changes are shown, nothing is submitted without a yes, and it is the script of then."""
    script.write_text(STEPS.replace("exit 5", "exit 0"))
    data.write_text("second, longer\n")
    asked = subprocess.run(
        [SCRIPT, "slurm", "submit", "--again", job.id], cwd=site.folder, input="n\n", text=True,
        env=site.environment(), capture_output=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    assert asked.returncode == 130
    assert asked.stdout == ""
    for shown in ("-exit 5", "+exit 0", "data.txt: 6 bytes then, 15 now"):
        assert shown in asked.stderr
    again = submit(site, "--again", job.id, "--yes", "--job-name=again").end("FAILED")
    assert again.output.splitlines().count("second, longer") == 4
    first = json.loads(site.sprov("runs", "--format", "json"))
    (run,) = (run["run"] for run in first if run["job"] == job.id)
    assert facts(site, again.id)["again_of"] == run.rpartition("/")[2]
    name = site.cluster.command("squeue", "-h", "-t", "all", "-j", again.id, "-o", "%j")
    assert name.strip() == "again"


@pytest.mark.parametrize("step", ["", "srun ", "sprov run -- ", "srun sprov run -- "])
def test_a_launch_is_one_run_with_all_that_wrappers_know(site: SlurmSite, step: str) -> None:
    (site.folder / "train.py").write_text(TRAIN)
    torchrun = f"{sys.executable} -m torch.distributed.run --standalone --nproc-per-node 2"
    script = site.folder / "train.sbatch"
    script.write_text(f"#!/bin/bash\n{step}{torchrun} train.py\n")
    job = submit(site, "--array=1-2", "-N1", "-n1", "train.sbatch").end()
    rows = json.loads(site.sprov("runs", "--format", "json"))
    assert len(rows) == 2, job.output
    for row in rows:
        assert (row["ranks"], row["ranks_seen"], row["state"]) == (2, 2, "completed")
        digest = row["run"].rpartition("/")[2]
        shown = json.loads(site.sprov("show", digest, "--format", "json"))
        assert {"command", "package.torch", "job_script"} <= shown["facts"].keys()
        assert shown["rivals"] == []
        series = {found["name"]: found["ranks"] for found in shown["series"]}
        assert series["loss"] == 2
        assert len(series) > 1  # telemetry


@pytest.mark.parametrize(
    ("signal", "said", "state"),
    [(("-b", "-s", "USR1"), "got USR1", None), ((), "got TERM", "CANCELLED")],
)
def test_signals_reach_the_script_once(site, signal, said, state):
    (site.folder / "signals.sbatch").write_text(SIGNALS)
    job = submit(site, "signals.sbatch").says("ready")
    job.cancel(*signal)
    job.says(said)
    if state is None:
        job.cancel()
    job.end("CANCELLED")
    assert job.output.count(said) == 1
    assert job.output.count("got TERM") == 1
    batch = "sacct", "-n", "-X", "-P", "-j", job.id, "--format=DerivedExitCode,State"
    poll(lambda: "CANCELLED" in site.cluster.look(*batch), "it is accounted for")


def test_sbatch_says_what_is_wrong_and_its_exit_status_is_ours(site: SlurmSite) -> None:
    (site.folder / "plain.sh").write_text("hostname\n")
    (site.folder / "good.sh").write_text("#!/bin/sh\nhostname\n")
    assert "does not look like a batch script" in site.sprov(
        "slurm", "submit", "plain.sh", status=1
    )
    assert "Unable to open" in site.sprov("slurm", "submit", "missing.sh", status=1)
    refused = site.sprov("slurm", "submit", "--partition=none", "good.sh", status=1)
    assert "invalid partition" in refused
    assert site.sprov("slurm", "submit", "--version").startswith("slurm")
    job_id = site.sprov("slurm", "submit", "--parsable", "--wrap", "exit 3", "-N1").strip()
    site.jobs.append(Job(site.cluster, job_id, site.folder))
    site.jobs[-1].end("FAILED")


def test_a_job_whose_sprov_is_gone_runs_all_the_same(site: SlurmSite) -> None:
    """The folder of the project is deleted between submitting and starting."""
    (site.folder / "good.sh").write_text('#!/bin/sh\nsrun echo "ran with $1"\n')
    job = submit(site, "--hold", "good.sh", "it")
    made = next(site.project.root.glob("submitted/*/good.sh"))
    assert made.read_text().count("ran with") == 1
    site.project.root.rename(site.folder / "elsewhere")
    site.cluster.command("scontrol", "release", job.id)
    job.end()
    assert "ran with it" in job.output
