"""`sprov slurm submit`: no fault of a project keeps a job from being submitted."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from harness import SCRIPT, TIMEOUT_S, lack

SBATCH = """#!/bin/sh
printf '%s\\n' "$@" > {log}
echo Submitted batch job 17
"""
JOB = "#!/bin/bash\nsrun true\n"


def broken_settings(folder: Path) -> None:
    (folder / ".sprov").mkdir()
    (folder / ".sprov" / "config.toml").write_text("mode = = 1")


def broken_pattern(folder: Path) -> None:
    (folder / ".sprov").mkdir()
    (folder / ".sprov" / "config.toml").write_text('[redaction.patterns]\nx = "("\n')


def newer_project(folder: Path) -> None:
    (folder / ".sprov").mkdir()
    (folder / ".sprov" / "format").write_text("99")


def unwritable(folder: Path) -> None:
    (folder / ".sprov").touch()


def of_another(folder: Path) -> None:
    if os.geteuid():
        lack("only root can be two users")
    (folder / ".sprov").mkdir()
    os.chown(folder / ".sprov", 5009, 5009)


class Cluster:
    """A folder with a job, and an `sbatch` in PATH that notes how it was called."""

    def __init__(self, place: Path) -> None:
        self.folder, commands = place / "work", place / "commands"
        for made in (self.folder, commands):
            made.mkdir()
        self.log = place / "log"
        sbatch = commands / "sbatch"
        sbatch.write_text(SBATCH.format(log=self.log))
        sbatch.chmod(0o755)
        (self.folder / "job.sbatch").write_text(JOB)
        self.environ = {**os.environ, "PATH": f"{commands}:{os.environ['PATH']}"}

    def submit(self) -> list[str]:
        """Submit the job; return what is said on stderr."""
        done = subprocess.run(
            [SCRIPT, "slurm", "submit", "--nodes", "2", "job.sbatch", "--epochs", "3"],
            cwd=self.folder, env=self.environ, text=True, capture_output=True, timeout=TIMEOUT_S,
            check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (0, "Submitted batch job 17\n"), done.stderr
        return done.stderr.splitlines()

    @property
    def words(self) -> list[str]:
        return self.log.read_text().splitlines()


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


@pytest.mark.parametrize(
    "fault", [broken_settings, broken_pattern, newer_project, unwritable, of_another]
)
def test_a_job_is_submitted_as_it_is_where_the_project_is_at_fault(cluster: Cluster, fault):
    fault(cluster.folder)
    said = cluster.submit()
    assert said[-1].endswith("the job is submitted without provenance")
    assert all("passed over" in line for line in said[:-1])
    assert cluster.words == ["--nodes", "2", "job.sbatch", "--epochs", "3"]


def test_a_wrong_name_in_the_settings_is_said_and_the_job_has_provenance(cluster: Cluster):
    (cluster.folder / ".sprov").mkdir()
    (cluster.folder / ".sprov" / "config.toml").write_text("[redaction]\nnmaes = ['x']\n")
    (line,) = cluster.submit()
    assert "'nmaes'" in line
    assert any("/.sprov/submitted/" in word for word in cluster.words)


@pytest.mark.parametrize("fault", [broken_settings, broken_pattern, unwritable, of_another])
def test_a_job_runs_on_where_the_project_is_at_fault(cluster: Cluster, fault):
    """What is said holds for its ranks: they are not told to keep what they can't."""
    fault(cluster.folder)
    program = 'eval "$(sprov slurm start --export)" && env | grep -e ^SPROV_MODE -e ^SPROV_ENDPOINT'
    done = subprocess.run(
        ["sh", "-ec", f'PATH={Path(SCRIPT).parent}:"$PATH"; {program}'],
        cwd=cluster.folder, env={**cluster.environ, "SLURM_JOB_ID": "17"}, text=True,
        capture_output=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "SPROV_MODE=off\n"), done.stderr
    assert done.stderr.splitlines()[-1].endswith("nothing of this job is recorded")
