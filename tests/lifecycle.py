"""The lifecycle example as jobs: the programs, how they are started and what they printed."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from harness import TIMEOUT_S, Site

EXAMPLE = Path(__file__).parents[1] / "examples" / "lifecycle"
RAW_NAME = "breast_cancer.csv"
AREA, CONCAVITY = 3, 6
"""Columns of the raw file."""
SPLITS = ("train", "validation", "test")
RANKS = 2
TORCHRUN = (
    "-m", "torch.distributed.run", "--nproc-per-node", str(RANKS),
    "--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0",
)  # fmt: skip
FIRST_EPOCHS, EPOCHS = 4, 60
PATIENCE, SCHEDULED, RATE = 8, 5, 0.02
"""Of train.py: epochs without gain that end it, epochs between rates, the first rate."""
OTHER_SEED, OTHER_RATE = 12, 0.05
MOST_AREA, LEAST_CONCAVITY = 2000.0, 1e-6

Report = dict[str, Any]
"""What train.py printed."""


class Lifecycle(NamedTuple):
    site: Site
    first: Report
    """Of the first epochs."""
    resumed: Report
    """Of the training that went on from there."""
    other: Report
    """Of one with another seed and learning rate."""

    @property
    def reports(self) -> list[Report]:
        return [self.first, self.resumed, self.other]

    @property
    def raw(self) -> Path:
        return self.site.folder / RAW_NAME

    def checkpoint(self, report: Report, epoch: int) -> str:
        folder = "other" if report is self.other else "model"
        return str(self.site.folder / folder / f"epoch-{epoch:02d}.pt")

    def rates(self, report: Report) -> dict[int, float]:
        """Return the learning rates that the schedule came to, by the epoch they began with."""
        initial = OTHER_RATE if report is self.other else RATE
        epochs = range(SCHEDULED, report["epoch"] + 1, SCHEDULED)
        return {epoch: initial * 0.5 ** (epoch // SCHEDULED) for epoch in epochs}

    def curated(self) -> list[list[str]]:
        """Return the raw rows that the curation is to keep."""
        with self.raw.open(newline="") as file:
            rows = list(csv.reader(file))[1:]
        return [
            row
            for row in rows
            if float(row[AREA]) <= MOST_AREA and float(row[CONCAVITY]) >= LEAST_CONCAVITY
        ]


def python(folder: Path, *arguments: str, **extra: str) -> str:
    """Run a program as a job of its own; return what it printed."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1", **extra},
        capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "sprov:" not in done.stderr
    return done.stdout


def prepare(folder: Path, **extra: str) -> None:
    """Curate scikit-learn's own file, and prepare what comes of it."""
    sklearn = find_spec("sklearn")
    assert sklearn is not None and sklearn.origin is not None
    shutil.copy(Path(sklearn.origin).parent / "datasets" / "data" / RAW_NAME, folder)
    python(folder, str(EXAMPLE / "curate.py"), RAW_NAME, "clean.csv", **extra)
    python(folder, str(EXAMPLE / "prepare.py"), "clean.csv", "data", **extra)


def train(folder: Path, *arguments: str, **extra: str) -> Report:
    program = str(EXAMPLE / "train.py")
    return dict(json.loads(python(folder, *TORCHRUN, program, "data", *arguments, **extra)))


def live(site: Site) -> Lifecycle:
    """Declare, prepare, and train three times, of which the second goes on from the first."""
    site.serve()
    site.sprov("declare", str(EXAMPLE / "lifecycle.yaml"))
    site.sprov("ingest")
    prepare(site.folder)
    first = train(site.folder, "model", "--epochs", str(FIRST_EPOCHS))
    resumed = train(site.folder, "model", "--resume")
    changed = ("--seed", str(OTHER_SEED), "--learning-rate", str(OTHER_RATE))
    return Lifecycle(site, first, resumed, train(site.folder, "other", *changed))
