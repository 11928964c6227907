"""A study of real programs, and what they wrote down of it themselves."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from harness import PROGRAMS, TIMEOUT_S, Site, wait_until

FACTS = {
    "git_commit": "c0ffee0123456789c0ffee0123456789c0ffee01", "git_dirty": "1",
    "git_diff": '-lr = 0.1\n+lr = "0.01"', "container_image": "train.sif", "conda": "/envs/torch",
    "job_script": "train.sbatch", "gpus": "2", "mem_per_node": "4G", "max_rss": "123456",
    "registry": "https://bob:[redacted:url_password]@host",
}  # fmt: skip

PLAIN = {"lr": 0.1, "dropout": 0.4, "filter": "gauss", "seed": 1}
TRAININGS: list[dict[str, Any]] = [
    {"name": "plain", **PLAIN, "accuracy": 0.8, "nan_in": [1, 1], "facts": FACTS},
    {"name": "seed2", **PLAIN, "seed": 2, "accuracy": 0.84},
    {"name": "again", **PLAIN, "accuracy": 0.78},
    {
        "name": "adapted", "lr": 0.01, "dropout": 0.2, "filter": "median", "accuracy": 0.91,
        "epochs": 6, "stop_after": 3, "best": 2, "adapt": {"2": 0.005, "3": 0.001},
        "slow_in": [1, 1],
    },
]  # fmt: skip
FAILED = {"name": "failed", "lr": 0.3, "accuracy": 0.4, "fail_in": 2, "best": 1}
REQUEUED = {"name": "requeued", "lr": 0.2, "accuracy": 0.7, "epochs": 4, "best": 2}
HUNG = {"name": "hung", "lr": 0.4, "epochs": 5, "best": 0, "hang_in": 1}
MPI = {"ranks": 2}


class Study:
    """The site, and the diaries of what ran there."""

    programs = PROGRAMS

    def __init__(self, site: Site) -> None:
        self.site = site
        self.took: dict[str, float] = {}
        """Run's name → seconds that its processes took, all told."""

    def run_all(self, run_more: Callable[[Study], None]) -> None:
        """Run everything.

        Args:
            run_more: Runs what is not of the study `digits`, before the run that is never done.
        """
        self.run("curate", "catalog_data.py")
        for options in TRAININGS:
            self.train(options)
        self.train(FAILED, fails=True)
        self.train({**FAILED, "name": "continued", "fail_in": None, "first": 2,
                    "resume": "models/failed/epoch-1.pt", "best": 2})  # fmt: skip
        job = {"SLURM_JOB_ID": "4242", "SPROV_RUN": "requeued"}
        self.train({**REQUEUED, "fail_in": 2}, fails=True, **job)
        self.train({**REQUEUED, "first": 2, "restart": 1,
                    "resume": "models/requeued/epoch-1.pt"},
                   SLURM_RESTART_COUNT="1", **job)  # fmt: skip
        self.run("sweep", "catalog_sweep.py")
        self.run("fix", "catalog_data.py", "--fix")
        (self.site.folder / "models/plain/epoch-1.pt").unlink()
        (self.site.folder / "models/seed2/epoch-1.pt").write_text("something else")
        run_more(self)
        self.hang()

    def run(
        self, name: str, program: str, *arguments: str, fails: bool = False, **how: Any
    ) -> None:
        began = time.monotonic()
        process = self.site.start(program, *arguments, **how)
        _, errors = process.communicate(timeout=TIMEOUT_S)
        assert bool(process.returncode) == fails, errors
        self.took[name] = self.took.get(name, 0.0) + time.monotonic() - began

    def train(self, options: dict[str, Any], fails: bool = False, **environment: str) -> None:
        self.run(
            options["name"], "catalog_training.py", json.dumps(options), fails=fails, **MPI,
            **environment,
        )  # fmt: skip

    def hang(self) -> None:
        """Start a training that is never done; wait until all it said so far can be seen."""
        self.site.start("catalog_training.py", json.dumps(HUNG), **MPI)
        said = (
            "?a sprov:index 1 ; prov:qualifiedAssociation/prov:agent/sprov:run ?run . "
            "?run rdfs:label 'hung' . ?model sprov:path ?path "
            "FILTER(STRENDS(?path, '/hung/epoch-1.pt'))"
        )
        wait_until(lambda: self.site.count(said) == MPI["ranks"])
        wait_until(lambda: len(self.site.sprov("metrics", "hung", "--csv").splitlines()) > 20)

    @property
    def diaries(self) -> list[dict[str, Any]]:
        """All diaries so far, by run, restart and rank."""
        paths = sorted(self.site.folder.glob("diary/*.json"))
        return [json.loads(path.read_text()) for path in paths]

    def of(self, name: str) -> list[dict[str, Any]]:
        """Return the diaries of a run, by restart and rank."""
        return [told for told in self.diaries if told["name"] == name]

    def one(self, name: str) -> dict[str, Any]:
        return self.of(name)[0]

    def iri(self, name: str) -> str:
        return str(self.one(name)["run"])

    def trainings(self) -> Iterator[list[dict[str, Any]]]:
        """Yield the diaries of each run that trained in the study `digits`."""
        trained = [told for told in self.diaries if "lr" in told]
        for _, group in groupby(trained, key=lambda told: told["name"]):
            yield list(group)

    def path(self, relative: str | Path) -> str:
        return os.path.join(self.site.folder, relative)  # noqa: PTH118

    def ask(self, name: str, *options: str, **parameters: Any) -> list[dict[str, Any]]:
        """Return a named query's answer."""
        given = [part for key, value in parameters.items() for part in ("-p", f"{key}={value}")]
        printed = self.site.sprov("ask", name, *given, *options, "--format", "json")
        return list(json.loads(printed))


class Between:
    """Equal to any number from `least` to `most`."""

    def __init__(self, least: float, most: float) -> None:
        self.least, self.most = least, most

    def __eq__(self, other: object) -> bool:
        return isinstance(other, int | float) and self.least - 1e-5 <= other <= self.most + 1e-5

    def __repr__(self) -> str:
        return f"from {self.least} to {self.most}"

    __hash__ = None  # type: ignore[assignment]


def lasted(span: dict[str, Any]) -> Between:
    """Return how long an execution took at least and at most."""
    (before, began), (before_end, ended) = span["start"], span["end"]
    return Between(before_end - began, ended - before)
