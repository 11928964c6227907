"""Series from a program to a reader: every point once, whatever files it lies in."""

from __future__ import annotations

import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from harness import Site, fill_once

from manager.store.writable import Store
from pllib.errors import QueryError, UnavailableError
from pllib.log import LogReader, frame_key
from query.engine import Engine
from query.runs import find_run
from query.series import ask_points, read_points, read_series, read_steps
from tracker.journal import Journal

N = 1000
TERM = "https://w3id.org/sprov/ns#"


@pytest.fixture
def stored(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A project with a run of N points a series."""
    return fill_once(site, tmp_path_factory.getbasetemp() / "series", store)


def store(site: Site) -> None:
    site.run("points.py", str(N))
    site.sprov("ingest")


def engine(site: Site) -> Engine:
    return Engine(site.project, None)


def last_run(site: Site) -> str:
    return str(find_run(engine(site), "@last")["run"])


def files(site: Site) -> list[Path]:
    return sorted(site.project.series.glob("*/*"))


def journal_again(site: Site) -> None:
    """Have a second journal with the frames of the first, and take it in."""
    journal = Journal(site.project.journal / "second")
    for path in sorted(site.project.journal.glob("ingest/*.log")):
        with LogReader(path) as reader:
            frames = [located.frame.pack() for located in reader.frames()]
        journal.append([(frame_key(frame), frame) for frame in frames])
    journal.close()
    site.sprov("ingest")


def name_in_store(site: Site, run: str, predicate: str, name: str) -> None:
    store = Store(site.project.store)
    store.load(f'<{run}> <{TERM}{predicate}> "{name}" .\n'.encode())
    store.snapshot(site.project.snapshots)
    store.close()


def assert_whole(site: Site) -> None:
    """Every point is read, once, in order, and as it was recorded."""
    table = read_series(engine(site), last_run(site), ["loss"])
    assert table["step"].to_pylist() == list(range(N))
    values = table["value"].to_pylist()
    assert math.isnan(values.pop(3))
    assert values == [step / 2 for step in range(N) if step != 3]


def test_points_are_read_as_they_were_recorded(stored: Site):
    assert_whole(stored)
    table = read_series(engine(stored), last_run(stored))
    assert table.column_names == ["name", "rank", "step", "at_ns", "value"]
    assert table["name"].to_pylist() == ["gain"] * N + ["loss"] * N
    assert table["value"][4].as_py() == -math.inf
    points = read_points(engine(stored), last_run(stored), ["gain"])
    assert [point["step"] for point in points] == list(range(N))
    assert read_series(engine(stored), last_run(stored), ["no such"]).num_rows == 0


def test_points_that_two_journals_have_are_read_once(stored: Site):
    journal_again(stored)
    assert len(files(stored)) == 2
    assert_whole(stored)
    (count,) = ask_points(
        engine(stored), None, "SELECT count(*) AS n, sum(step) AS steps FROM points"
    ).to_pylist()
    assert count == {"n": 2 * N, "steps": N * (N - 1)}


def test_a_step_is_the_mean_over_ranks_and_nan_shows(stored: Site):
    by_step: dict[int, dict[str, list[float]]] = {}
    for row in read_points(engine(stored), last_run(stored), []):
        by_step.setdefault(row["step"], {}).setdefault(row["name"], []).append(row["value"])
    found = read_steps(engine(stored), last_run(stored))
    assert [row["step"] for row in found] == sorted(by_step) == list(range(N))
    for row in found:
        for name, values in by_step[row["step"]].items():
            assert row[name] == pytest.approx(math.fsum(values) / len(values), nan_ok=True)
    assert math.isnan(found[3]["loss"])


def test_points_of_several_runs_tell_which_run_they_are_of(stored: Site):
    first = last_run(stored)
    stored.run("points.py", "5")
    stored.sprov("ingest")
    second = last_run(stored)
    sql = "SELECT run, count(*) AS n FROM points GROUP BY run ORDER BY n"
    both = [{"run": second, "n": 10}, {"run": first, "n": 2 * N}]
    assert ask_points(engine(stored), None, sql).to_pylist() == both
    assert ask_points(engine(stored), [first, second], sql).to_pylist() == both
    assert ask_points(engine(stored), [second], sql).to_pylist() == both[:1]
    assert ask_points(engine(stored), [], sql).num_rows == 0


def test_the_graph_grows_by_one_entity_a_series(stored: Site, tmp_path_factory):
    few = Site(tmp_path_factory.mktemp("few"))
    few.run("points.py", "5")
    few.sprov("ingest")
    for pattern in ("?s a sprov:Series", "?s a sprov:Series ; ?p ?o", "?s ?p ?o"):
        assert few.count(pattern) == stored.count(pattern)
    assert few.count("?s a sprov:Series") == 2
    assert stored.count('?s a sprov:Series ; rdfs:label "loss" ; sprov:unit "nats"') == 1


def test_a_folder_may_be_called_anything(tmp_path: Path):
    folder = tmp_path / "it's [a] *"
    folder.mkdir()
    site = Site(folder)
    site.run("points.py", str(N))
    site.sprov("ingest")
    assert_whole(site)


def test_files_of_the_first_version_are_read_with_others(stored: Site):
    """They had plain text in their columns, and told no frames."""
    (path,) = files(stored)
    table = pq.ParquetFile(path).read()
    for at, name in enumerate(table.column_names):
        if pa.types.is_dictionary(table[name].type):
            plain = table[name].cast(table[name].type.value_type)
            table = table.set_column(at, name, plain)
    old = path.with_name(f"{0:016x}.parquet")
    pq.write_table(table.replace_schema_metadata(None), old)
    name_in_store(stored, last_run(stored), "seriesFile", f"{old.parent.name}/{old.name}")
    assert_whole(stored)


@pytest.mark.parametrize("name", ["../../secret.parquet", "run=x/y.parquet", "/etc/passwd", "'"])
def test_what_is_no_name_of_a_file_of_the_run_is_not_opened(stored: Site, name: str):
    name_in_store(stored, last_run(stored), "seriesFile", name)
    assert_whole(stored)


def test_a_superseded_file_is_not_opened(stored: Site):
    (path,) = files(stored)
    name = f"{path.parent.name}/{0:016x}.parquet"
    name_in_store(stored, last_run(stored), "seriesFile", name)
    with pytest.raises(UnavailableError, match="sprov rebuild"):
        read_series(engine(stored), last_run(stored))
    name_in_store(stored, last_run(stored), "supersededFile", name)
    assert_whole(stored)


def test_a_file_that_is_no_parquet_is_told(stored: Site):
    (path,) = files(stored)
    path.write_bytes(path.read_bytes()[:100])
    assert "sprov rebuild" in stored.sprov("metrics", "@last", status=UnavailableError.exit_code)
    stored.sprov("rebuild")
    assert_whole(stored)


def test_points_without_steps_are_in_the_order_of_their_times(site: Site):
    site.run("points.py", str(N), "--no-steps")
    site.sprov("ingest")
    table = read_series(engine(site), last_run(site), ["gain"])
    assert table["step"].null_count == N
    gains = table["value"].to_pylist()
    assert gains[5:] == [step * step for step in range(5, N)]


def test_a_wrong_run_and_a_wrong_query_are_told(stored: Site):
    with pytest.raises(QueryError, match="is no run"):
        read_series(engine(stored), "https://w3id.org/sprov/id/run/x> ?p ?o } #")
    with pytest.raises(QueryError, match="query of points"):
        ask_points(engine(stored), None, "SELECT nothing FROM points")
