"""`sprov slurm`: what a job script, its author and the site's admins call."""

from __future__ import annotations

import click

from .formats import check_project
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


UNCHECKED = ("submit",)
"""It checks the project itself, since no fault of it may keep a job from being submitted."""


@click.group(cls=LazyGroup, table=COMMANDS)
@click.pass_context
def slurm(ctx: click.Context) -> None:
    """Provenance of Slurm jobs."""
    if ctx.invoked_subcommand not in UNCHECKED:
        check_project()
