"""A week's records through one tracker: nothing in it grows with the number of records.

Ten million, mostly points of series, from ranks that are as fast as the spool lets them be.
SPROV_TEST_RECORDS makes it fewer.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest
from figures import figure
from harness import TRANSFORMATIONS, Site, wait_until

from pllib.delivery import ask_status
from query.engine import find_engine
from tracker.journal import segments
from tracker.sealing import summary_of

N_RECORDS = int(os.environ.get("SPROV_TEST_RECORDS", "10_000_000"))
N_EXECUTIONS = N_RECORDS * 3 // 100
WAVES, RANKS = 5, 3
FILES = """SELECT ?file { ?run sprov:seriesFile ?file
           FILTER NOT EXISTS { ?run sprov:supersededFile ?file } }"""
MIB = 1 << 20


@dataclass
class Samples:
    """What two daemons and their folders take up, twice a second."""

    site: Site
    rows: list[dict[str, int]] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        endpoint = self.site.endpoint
        self.daemons = {
            "tracker": psutil.Process(endpoint.tracker_pid),
            "manager": psutil.Process(endpoint.manager_pid),
        }
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        while not self.done.wait(0.5):
            self.rows.append(self.take())

    def take(self) -> dict[str, int]:
        found = {"tables": len(list(self.site.project.store.glob("*.sst")))}
        for name, process in self.daemons.items():
            found[f"{name} MiB"] = process.memory_info().rss // MIB
            found[f"{name} files"] = process.num_fds()
        return found

    def end(self) -> None:
        self.done.set()
        self.thread.join()

    def halves(self, name: str) -> tuple[int, int]:
        """Return the most of the first and of the second half, once all is warm."""
        values = [row[name] for row in self.rows][len(self.rows) // 10 :]
        middle = len(values) // 2
        return max(values[:middle]), max(values[middle:])


def run_wave(site: Site, wave: int) -> tuple[int, int]:
    """Have ranks record their share; return how many executions and points that was."""
    executions = N_EXECUTIONS // (WAVES * RANKS)
    points = (N_RECORDS - N_EXECUTIONS) // (WAVES * RANKS)
    settings = {"SPROV_SPOOL_FULL": "block", "SPROV_CLOSE_TIMEOUT_S": "120"}
    ranks = [site.start("week.py", str(executions), str(points), **settings) for _ in range(RANKS)]
    told = 0
    for rank in ranks:
        out, errors = rank.communicate(timeout=1500)
        assert rank.returncode == 0, errors
        told += int(out)
    return executions * RANKS, told


def points_stored(site: Site) -> tuple[int, int]:
    """Return the points in all files that count, and the number of these."""
    rows = find_engine(site.project).select(FILES)
    paths = [site.project.series / row["file"] for row in rows]
    return sum(pq.read_metadata(path).num_rows for path in paths), len(paths)


def on_disk(folder: Path, pattern: str) -> int:
    return len(list(folder.glob(pattern)))


@pytest.mark.timeout(3000)
def test_ten_million_records_through_one_tracker(served: Site) -> None:
    samples = Samples(served)
    begun = time.monotonic()
    n_executions = n_points = 0
    try:
        for wave in range(WAVES):
            executions, points = run_wave(served, wave)
            n_executions, n_points = n_executions + executions, n_points + points
        wait_until(lambda: ask_status(served.endpoint)["settled"], 2000)
        find_engine(served.project, timeout_s=600).flush()
    finally:
        samples.end()
    taken = time.monotonic() - begun

    assert served.count(TRANSFORMATIONS) == n_executions
    assert points_stored(served)[0] == n_points
    check_flat(samples)
    check_tidy(served, samples)
    report(served, samples, n_executions + n_points, taken)


def check_flat(samples: Samples) -> None:
    for daemon in samples.daemons:
        first, second = samples.halves(f"{daemon} MiB")
        assert second <= 1.25 * first + 32, (daemon, first, second)
        first, second = samples.halves(f"{daemon} files")
        assert second <= first + 32, (daemon, first, second)


def check_tidy(site: Site, samples: Samples) -> None:
    """What is made as it goes on is compacted, sealed and cleaned up, soon after if not at once."""
    project = site.project
    journal = project.journal / "local"
    full = [path for _, path in segments(journal)[:-1]]
    wait_until(lambda: all(summary_of(path) for path in full))
    assert on_disk(project.snapshots, "[0-9]*") <= 3
    wait_until(lambda: points_stored(site)[1] <= 8 * WAVES * RANKS, 180)
    wait_until(lambda: on_disk(project.series, "run=*/*.parquet") <= 10 * WAVES * RANKS, 180)
    assert max(row["tables"] for row in samples.rows) < 3000
    wait_until(lambda: on_disk(project.store, "*.sst") < 300, 180)


def report(site: Site, samples: Samples, n_records: int, taken: float) -> None:
    told: dict[str, Any] = {
        name: "{} then {}".format(*samples.halves(name)) for name in samples.rows[0]
    }
    known = segments(site.project.journal / "local")
    size = sum(path.stat().st_size for _, path in known)
    figure(
        "week",
        f"{n_records:,} records in {taken:.0f} s; most in the first and second half: "
        + ", ".join(f"{name} {value}" for name, value in told.items())
        + f"; at the end {len(known)} journal segments of {size // MIB} MiB, "
        f"{points_stored(site)[1]} series files, {on_disk(site.project.store, '*.sst')} tables, "
        f"{on_disk(site.project.snapshots, '[0-9]*')} snapshots",
    )
