"""`sprov verify` knows when series files hold other points than the journals."""

from __future__ import annotations

import random
import shutil
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from harness import Site, fill_once, wait_until

from manager.compaction import Compactor
from manager.store.writable import Store
from sprov.verify import check

N_POINTS = 400
N_FLIPS = 40
LAUNCH = {"SPROV_RUN": "one launch"}


@pytest.fixture
def measured(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A run whose points lie in several files."""

    def measure(site: Site) -> None:
        for _ in range(5):
            site.run("points.py", str(N_POINTS), **LAUNCH)
            site.sprov("ingest")

    return fill_once(site, tmp_path_factory.getbasetemp() / "measured", measure)


def files(site: Site) -> list[Path]:
    return sorted(site.project.series.rglob("*.parquet"))


def problems(site: Site) -> list[str]:
    return list(check(site.project)["problems"])


def test_all_points_are_counted_and_agree(measured: Site):
    assert len(files(measured)) == 5
    found = check(measured.project)
    assert found["agree"]
    assert found["points"] == 5 * 2 * N_POINTS


def answers(path: Path) -> list[pa.Table]:
    """Return what queries read of a file: all of it, and by name."""
    every = [None, *([("name", "=", name)] for name in ("loss", "gain"))]
    columns = ["log_id", "seq", "series", "activity", "rank", "name", "step", "at_ns"]
    return [pq.read_table(path, columns=columns, filters=only) for only in every]


def test_a_flipped_byte_is_found_unless_it_costs_nothing(measured: Site):
    path = files(measured)[0]
    data, right = path.read_bytes(), answers(path)
    seed, n_found = random.randrange(1 << 32), 0
    for at in random.Random(seed).sample(range(len(data)), N_FLIPS):
        broken = bytearray(data)
        broken[at] ^= 0x10
        path.write_bytes(broken)
        if found := problems(measured):
            assert path.name in found[0], f"byte {at}, seed {seed}"
            n_found += 1
        else:
            assert answers(path) == right, f"byte {at}, seed {seed}"
    assert n_found > N_FLIPS // 4, f"seed {seed}"
    path.write_bytes(data)
    assert problems(measured) == []


def test_a_file_that_is_cut_or_gone_is_named_and_its_frames_are_told(measured: Site):
    cut, gone = files(measured)[:2]
    cut.write_bytes(cut.read_bytes()[:-20])
    gone.unlink()
    found = problems(measured)
    assert [line for line in found if cut.name in line and "can't be read" in line]
    assert [line for line in found if gone.name in line and "No such file" in line]
    assert "the points of 2 frame(s) are in no series file" in found[-1]


def test_a_point_that_is_gone_or_another_is_found(measured: Site):
    path = files(measured)[0]
    table = pq.read_table(path)
    pq.write_table(table.slice(1), path)
    assert (
        f"has {2 * N_POINTS - 1} points, the journals have {2 * N_POINTS}" in problems(measured)[0]
    )
    order = [*range(10), 11, 10, *range(12, table.num_rows)]
    swapped = table.set_column(
        table.schema.get_field_index("value"), "value", table["value"].take(order)
    )
    pq.write_table(swapped, path)
    assert "has other points than the journals" in problems(measured)[0]


def test_points_that_no_journal_has_are_a_problem(measured: Site):
    (journal,) = measured.project.journal.glob("ingest/000000000000.log")
    journal.unlink()
    assert "has points of 1 frame(s) that no journal has" in problems(measured)[0]


def test_a_file_that_tells_no_frames_is_compared_with_all_of_its_run(measured: Site):
    """So did compactions write them whose sources told none."""
    path = files(measured)[0]
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata(None), path)
    assert problems(measured) == []
    pq.write_table(table.slice(1).replace_schema_metadata(None), path)
    assert len(problems(measured)) == 1


def test_compacted_files_and_doubled_ones_agree(measured: Site):
    project = measured.project
    store = Store(project.store)
    compactor = Compactor(
        project.series, store.series_files(), store.superseded_files(),
        lambda lines: store.load(lines.encode()),
    )  # fmt: skip
    thread = threading.Thread(target=compactor.run)
    thread.start()
    compactor.tidy()
    wait_until(lambda: compactor.n_done)
    compactor.stop()
    thread.join()
    store.snapshot(project.snapshots)
    store.close()
    assert check(project)["points"] == 5 * 2 * N_POINTS
    assert problems(measured) == []
    shutil.copytree(project.journal / "ingest", project.journal / "again")
    for path in project.journal.glob("ingest/*.log"):
        measured.sprov("ingest", str(path))
    assert problems(measured) == []
