"""All figures, each in a process of its own, in one table.

python -m benchmarks            about 25 minutes on two shared cores
python -m benchmarks --full     also ingest of 1 M records, named queries on 10 M triples
"""

from __future__ import annotations

import argparse
import subprocess
import sys

import msgspec

from . import table

FIGURES = (
    "imports",
    "start",
    "capture",
    "size",
    "telemetry",
    "running",
    "overhead",
    "jobs",
    "freshness",
    "live",
    "acks",
    "restart",
    "full_disk",
    "redaction",
    "hostile",
    "ingest",
    "series",
    "lineage",
    "catalog",
)
GROWTH, FULL_GROWTH = 300_000, 1_000_000
TRIPLES, FULL_TRIPLES = 1_000_000, 10_000_000


def rows_of(figure: str, options: list[str]) -> list[table.Row]:
    table.note(f"{figure} ...")
    command = [sys.executable, "-m", f"benchmarks.{figure}", "--json", *options]
    found = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if found.returncode:
        table.note(f"{figure} failed with {found.returncode}")
        return []
    return msgspec.json.decode(found.stdout, type=list[table.Row])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help=f"growth at {FULL_GROWTH:,} records")
    full = parser.parse_args().full
    options = {
        "ingest": ["--growth", str(FULL_GROWTH if full else GROWTH)],
        "catalog": ["--triples", str(FULL_TRIPLES if full else TRIPLES)],
    }
    found = {figure: rows_of(figure, options.get(figure, [])) for figure in FIGURES}
    print(table.render(row for rows in found.values() for row in rows))
    print(table.machine())
    return 0 if all(found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
