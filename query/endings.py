"""Which format a file that is named with ``-o`` gets: by its ending, or as ``--format`` says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath

import click

LINEAGES = {
    ".svg": "svg", ".html": "html", ".htm": "html", ".json": "json", ".dot": "dot", ".gv": "dot",
    ".txt": "tree",
}  # fmt: skip
GRAPHS = {
    ".ttl": "turtle", ".nq": "nquads", ".provn": "prov-n", ".json": "prov-json", ".zip": "ro-crate",
}  # fmt: skip
PICTURE = "picture"
PICTURES = ("png", "svg", "pdf", "jpg", "jpeg", "webp", "tif", "tiff", "eps", "ps")
POINTS = {".csv": "csv", ".json": "json", **{f".{ending}": PICTURE for ending in PICTURES}}


def chosen(output: str, given: str | None, formats: Mapping[str, str], default: str) -> str:
    """Return the format of an output.

    Args:
        output: A path, or ``-`` for stdout.
        given: With ``--format``; None for none.
        formats: By the endings that say one.
        default: Of stdout.

    Raises:
        BadParameter: The ending says no format and none is given, or says another one.
    """
    if output == "-":
        return given or default
    ending = PurePath(output).suffix.lower()
    meant = formats.get(ending)
    if given is not None and meant not in (None, given):
        raise click.BadParameter(
            f"{output} is {meant} by its ending, and --format says {given}", param_hint="-o"
        )
    form = given or meant
    if form is None:
        raise click.BadParameter(
            f"{output}: no format has this ending, or it is not supported; there are "
            f"{' '.join(formats)}, or say --format",
            param_hint="-o",
        )
    return form
