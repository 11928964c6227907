"""Where a job's tracker goes: on a node of its own, or beside the ranks."""

from __future__ import annotations

import os
from collections.abc import Mapping

import msgspec

from pllib.errors import SettingsError, UnavailableError

from . import nodes

DEDICATED_FROM = 3
"""Nodes of a job that gives one of them to the tracker without being told to."""


class Placement(msgspec.Struct, frozen=True):
    node: str
    """Of the tracker."""
    compute: list[str]
    """Nodes that are left to the ranks; all of them when the tracker shares one."""
    het_group: int | None = None
    """Component of a het job that the tracker is in."""
    compute_groups: tuple[int, ...] = ()
    """Components that are left to the ranks."""

    def hints(self) -> dict[str, str]:
        """Return variables that help a script to keep its ranks off the tracker's node."""
        found = {
            "SPROV_TRACKER_NODE": self.node,
            "SPROV_COMPUTE_NODES": nodes.fold(self.compute),
            "SPROV_COMPUTE_NNODES": str(len(self.compute)),
        }
        if self.compute_groups:
            found["SPROV_COMPUTE_HET_GROUPS"] = ",".join(map(str, self.compute_groups))
        return found


def this_node(environ: Mapping[str, str]) -> str:
    return environ.get("SLURMD_NODENAME") or os.uname().nodename.partition(".")[0]


def job_id(environ: Mapping[str, str]) -> str:
    """Return the job's id, of an array task the raw one.

    Raises:
        UnavailableError: This is no job.
    """
    if found := environ.get("SLURM_JOB_ID"):
        return found
    raise UnavailableError(
        "this is no Slurm job", "Call it in a batch script; elsewhere there is `sprov serve`"
    )


def components(environ: Mapping[str, str]) -> list[list[str]]:
    """Return the nodes of each component of a job; a job that is not het has one."""
    size = environ.get("SLURM_HET_SIZE", "")
    if not size.isdigit():
        return [nodes.expand(environ.get("SLURM_JOB_NODELIST", ""))]
    names = (f"SLURM_JOB_NODELIST_HET_GROUP_{n}" for n in range(int(size)))
    return [nodes.expand(environ.get(name, "")) for name in names]


def place(
    environ: Mapping[str, str], wanted: str = "auto", het_group: int | None = None
) -> Placement:
    """Choose the tracker's node.

    Args:
        wanted: auto, dedicated or shared.
        het_group: Component of a het job to take; by default the first of one node.

    Raises:
        SettingsError: The job has no such component, or no node to spare.
        UnavailableError: This is no job.
    """
    job_id(environ)
    groups = components(environ)
    if not all(groups):
        raise UnavailableError("Slurm does not say which nodes this job has")
    if het_group is not None and het_group not in range(len(groups)):
        raise SettingsError(f"this job has no component {het_group}", f"It has {len(groups)}")
    if len(groups) > 1 and wanted != "shared":
        return _in_component(groups, het_group)
    found = [node for group in groups for node in group]
    here = this_node(environ)
    if wanted == "shared" or (wanted == "auto" and len(found) < DEDICATED_FROM):
        return Placement(here if here in found else found[0], found)
    if len(found) == 1:
        raise SettingsError(
            "a job of one node has none to spare for the tracker", "Ask for one more, or --shared"
        )
    return Placement(found[0], found[1:])


def _in_component(groups: list[list[str]], chosen: int | None) -> Placement:
    if chosen is None:
        small = [n for n, group in enumerate(groups) if len(group) == 1]
        chosen = small[0] if small else None
    if chosen is None:
        everything = [node for group in groups for node in group]
        return Placement(groups[0][0], everything, 0, tuple(range(len(groups))))
    others = tuple(n for n in range(len(groups)) if n != chosen)
    return Placement(groups[chosen][0], [n for at in others for n in groups[at]], chosen, others)
