"""All figures, each in a process of its own, in one table.

python -m benchmarks            about 8 minutes on two shared cores
python -m benchmarks --full     ingest of a million records too
"""

from __future__ import annotations

import argparse
import subprocess
import sys

import msgspec

from . import table

FIGURES = ("imports", "start", "capture", "size", "freshness", "ingest")
GROWTH, FULL_GROWTH = 300_000, 1_000_000


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
    growth = FULL_GROWTH if parser.parse_args().full else GROWTH
    options = {"ingest": ["--growth", str(growth)]}
    found = {figure: rows_of(figure, options.get(figure, [])) for figure in FIGURES}
    print(table.render(row for rows in found.values() for row in rows))
    print(table.machine())
    return 0 if all(found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
