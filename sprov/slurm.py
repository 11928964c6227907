"""`sprov slurm`: what a job script, its author and the site's admins call."""

from __future__ import annotations

import click

from .lazy import Entry, LazyGroup

COMMANDS = {
    "start": Entry("slurm.start:start", "In a job script: start tracker and manager."),
    "stop": Entry("sprov.finish:stop", "In a job script: collect, drain, publish, end them."),
    "template": Entry("slurm.template:template", "Print a job script to start from.", ""),
    "submit": Entry("sprov.submit:submit", "Submit a job script with provenance, unedited."),
    "sync": Entry("sprov.sync:sync", "Record how jobs ended, and what they used."),
    "doctor": Entry("slurm.doctor.command:doctor", "Check a site before a first job.", ""),
    "collect": Entry("slurm.collect:collect", "On each node: take dead ranks' records.", "", True),
}


@click.group(cls=LazyGroup, table=COMMANDS)
def slurm() -> None:
    """Provenance of Slurm jobs."""
