"""The vocabulary as files: PROV-ML, sprov's own terms, shapes of a valid graph, alignments."""

from __future__ import annotations

from importlib.resources import files

NAMES = ("prov-ml", "sprov", "shapes", "alignments")


def turtle(name: str) -> bytes:
    """Return one of `NAMES`, as Turtle."""
    return files(__name__).joinpath(f"{name}.ttl").read_bytes()
