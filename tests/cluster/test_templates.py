"""Every job template, submitted as it is printed, on the real Slurm."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cluster.jobs import Job, SlurmSite, poll
from cluster.virtual import Cluster
from slurm.template import names

RANKS = {
    "array-sweep": 4,
    "dedicated-node": 4,
    "het-job": 4,
    "offline": 4,
    "site-job": 2,
    "small-job": 2,
    "untouched-program": 2,
}
"""How many processes each template's program has, each of which writes a file."""
LATER = ("array-sweep", "offline", "untouched-program")
"""Templates whose records wait for `sprov ingest`."""
# Files whose writer was seen: virtual nodes are of one kernel, whose inotify tells each node
# of what the others write.
WRITTEN = """SELECT DISTINCT ?rank ?file {
  ?rank a provml:WorkflowExecution . ?file prov:qualifiedGeneration ?how ; sprov:path ?path .
  ?how prov:activity ?rank ; prov:hadRole/rdfs:label "files_written" }"""


class Submitted:
    """A template's job in a project of its own."""

    def __init__(self, name: str, site: SlurmSite) -> None:
        self.name, self.site = name, site
        path = site.folder / f"{name}.sbatch"
        site.sprov("slurm", "template", name, "-o", str(path))
        self.job: Job = site.submit(path.read_text())

    @property
    def printed(self) -> str:
        return "".join(path.read_text() for path in self.site.folder.glob(f"{self.name}-*.out"))


@pytest.fixture(scope="module")
def submitted(
    slurm: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Submitted]]:
    """All templates' jobs, at once, in each the event that it is made for.

    The one that uses the site's tracker is submitted once that runs, and the one that saves itself
    gets the signal that Slurm sends before the time is over.
    """
    folder = tmp_path_factory.mktemp("templates")
    sites: dict[str, SlurmSite] = {}

    def submit(name: str, project: str) -> Submitted:
        if project not in sites:
            (folder / project).mkdir()
            sites[project] = SlurmSite(folder / project, slurm)
        return Submitted(name, sites[project])

    found = {"site-tracker": submit("site-tracker", "site")}
    for name in ("requeue", *sorted(RANKS.keys() - {"site-job"})):
        found[name] = submit(name, name)
    poll(lambda: found["requeue"].printed.count("starts at 0") == 2, "both ranks count")
    found["requeue"].job.cancel("--batch", "--signal=USR1")
    poll(lambda: "serving" in found["site-tracker"].printed, "the site's tracker serves")
    found["site-job"] = submit("site-job", "site")
    yield found
    for site in sites.values():
        site.close()


def test_each_template_is_tried_here():
    assert sorted({*RANKS, "requeue", "site-tracker"}) == names()


@pytest.mark.parametrize("name", RANKS)
def test_a_template_runs_as_it_is(submitted, name):
    """Its job completes, and what each of its ranks wrote is in the graph."""
    job = submitted[name]
    job.job.end()
    if name in LATER:
        job.site.sprov("ingest")
    written = job.site.select(WRITTEN)
    assert len(written) == len({row["rank"] for row in written}) == RANKS[name], job.printed
    _check(job, RANKS[name])


def _check(job: Submitted, sessions: int) -> None:
    found = job.site.verify()
    assert found["agree"]
    assert (found["sessions"], found["sessions_not_ended"], found["lost"]) == (sessions, 0, 0)
    assert found["captured"] == found["journalled"] > 0


def test_the_sites_tracker_ends_before_its_time_is_over(submitted):
    submitted["site-job"].job.end()
    tracker = submitted["site-tracker"].job
    tracker.cancel("--batch", "--signal=TERM")
    tracker.end()


def test_a_requeued_job_goes_on_where_it_was(submitted):
    """It was told to save itself: one run in two attempts."""
    job = submitted["requeue"]
    job.job.end()
    assert job.printed.count("goes on from") == 2
    for rank in range(2):
        (checkpoint,) = job.site.folder.glob(f"checkpoint-*-{rank}.txt")
        assert checkpoint.read_text() == "20"
    assert len(job.site.select("SELECT ?run { ?run a provml:LearningExperimentExecution }")) == 1
    _check(job, sessions=4)
