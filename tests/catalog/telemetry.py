"""Answers about what ranks and nodes used, from the diaries."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

from .asked import Asked, Rows, answers
from .learning import spans
from .study import Between, Study, lasted

SAMPLED = {
    "node_cpu": ("cores", [1.5, 3.5, 1.0]),
    "node_memory_used": ("MiB", [1000.0, 4000.0, 2500.0]),
    "node_network_received_bytes": ("B", [0.0, 700.0, 4096.0]),
    "gpu0_power": ("W", [60.0, 300.0, 240.0]),
    "cpu_energy": ("J", [0.0, 90.0, 270.0]),
}
"""What `catalog_data.py` says of its node."""


def used(told: list[dict[str, Any]], name: str) -> Between:
    """Return what spans used, between the readings around and inside of their ends."""
    (least, most) = zip(
        *((span["least_used"][name], span["most_used"][name]) for span in told), strict=True
    )
    return Between(sum(least), sum(most))


@answers("stage-resources")
def stage_resources(study: Study) -> Iterator[Asked]:
    rows: Rows = []
    for run in study.of("adapted"):
        for kind, plan in (("training", "fit"), ("evaluation", "test")):
            told = spans(run, kind)
            if told:
                rows.append({
                    "kind": kind, "plan": plan, "rank": run["rank"], "executions": 1,
                    "host": socket.gethostname(), "seconds": lasted(told[0]),
                    "max_rss_bytes": Between(1, told[0]["max_rss_bytes"]),
                    **{name: used(told, name)
                       for name in ("cpu_seconds", "read_bytes", "written_bytes")},
                })  # fmt: skip
        rows.append({"kind": "workflow", "plan": "mlp", "rank": run["rank"], "executions": 1})
    assert len(rows) == 5
    yield Asked({"run": "adapted"}, rows)


@answers("node-telemetry")
def node_telemetry(study: Study) -> Iterator[Asked]:
    rows: Rows = []
    for name, (unit, values) in SAMPLED.items():
        row = {"host": socket.gethostname(), "name": name, "unit": unit, "samples": len(values)}
        if unit in ("B", "J"):
            row |= {"grown": values[-1] - values[0], "least": None, "mean": None, "most": None}
        else:
            mean = sum(values) / len(values)
            row |= {"least": min(values), "mean": mean, "most": max(values), "grown": None}
        rows.append(row)
    yield Asked({"run": "curate"}, rows)


@answers("energy")
def energy(study: Study) -> Iterator[Asked]:
    _, joules = SAMPLED["cpu_energy"]
    row = {"host": socket.gethostname(), "name": "cpu_energy", "joules": joules[-1], "ranks": 1}
    yield Asked({"run": "curate"}, [row])
    counted = [5.0 * (spans(run, "epoch")[-1]["index"]) for run in study.of("plain")]
    row = {"host": socket.gethostname(), "name": "energy", "joules": sum(counted), "ranks": 2}
    yield Asked({"run": "plain"}, [row])
    yield Asked({"run": "fix"}, [])
