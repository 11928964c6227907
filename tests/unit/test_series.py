"""Points of series: linked in columns, written, read back, compacted; each of them once."""

from __future__ import annotations

import math
import threading
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from harness import wait_until
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from manager.compaction import FAN_IN, Compactor
from manager.mapping import map_batch
from manager.series import read_points, write_points
from manager.store.pointfiles import overlapping, ranges_of, read_ranges, unite
from manager.store.writable import KEEP_SNAPSHOTS
from pllib import identity, linked
from pllib.log import Frame, frame_of
from pllib.records import Context, Metric, Signature, Summary, encode
from tracker.linker import link

LOG, OTHER_LOG = bytes(range(16)), bytes(range(16, 32))
RUN, JOURNAL = "0" * 32, "1" * 32
UNKNOWN = 9

Point = tuple[str, int | None, float]


def frame(
    number: int, metrics: list[Metric], *, log_id: bytes = LOG, others: tuple = (), rank: int = 0
) -> Frame:
    context = Context(
        run=RUN, restart=0, rank=rank, size=2, host="node1", pid=1, user="ada", program="t.py",
        project="p", workflow="w", opened_ns=0,
    )  # fmt: skip
    signatures = [
        Signature(0, "training", "fit", (), ("loss",)),
        Signature(1, "training", "fit", (), ("accuracy",)),
    ]
    bodies = [encode(record) for record in (context, *signatures, *metrics, *others)]
    return frame_of(log_id, number, bodies)


def metrics(values: list[float], first: int = 0) -> list[Metric]:
    """Return points of the loss; seq and step count on from `first`."""
    return [Metric(first + n, 1, 0, first + n, 10**18 + n, value) for n, value in enumerate(values)]


def link_points(*frames: Frame) -> linked.Points:
    """Return the points of frames as the manager decodes them."""
    batch = link(list(enumerate(frames)), JOURNAL, RUN)
    through = linked.decode_batch(linked.encode_batch(batch))
    assert through.points is not None
    return through.points


def rows(table: pa.Table) -> list[dict]:
    return table.to_pylist()


def test_points_come_out_of_a_file_as_they_were_captured(tmp_path: Path):
    given = [
        Metric(5, 1, 0, 0, 10**18, 0.5, "nats"),
        Metric(6, 1, 1, None, 10**18 + 1, 1.0),
        Metric(7, 2, 0, -3, 10**18 + 2, math.inf),
        Metric(9, 2, 0, 2**63 - 1, 0, -0.0),
    ]
    file = write_points(tmp_path, RUN, [link_points(frame(0, given, rank=1))])
    assert file.n_points == 4
    found = rows(read_points(tmp_path / file.name))
    assert [(row["seq"], row["name"], row["step"], row["value"]) for row in found] == [
        (5, "loss", 0, 0.5),
        (6, "accuracy", None, 1.0),
        (7, "loss", -3, math.inf),
        (9, "loss", 2**63 - 1, 0.0),
    ]
    assert {(row["log_id"], row["rank"]) for row in found} == {(LOG, 1)}
    assert [row["activity"] for row in found] == [
        identity.activity(LOG, seq) for seq in (1, 1, 2, 2)
    ]
    assert {row["series"] for row in found} == {
        identity.series(LOG, "loss"), identity.series(LOG, "accuracy")
    }  # fmt: skip


def test_nan_is_a_point(tmp_path: Path):
    file = write_points(tmp_path, RUN, [link_points(frame(0, metrics([math.nan, 1.0])))])
    values = [row["value"] for row in rows(read_points(tmp_path / file.name))]
    assert math.isnan(values[0])
    assert values[1] == 1.0


@pytest.mark.parametrize(
    "wrong",
    [
        Metric(1, 1, UNKNOWN, 1, 1, 1.0),
        Metric(2**63, 1, 0, 1, 1, 1.0),
        Metric(1, -1, 0, 1, 1, 1.0),
        Metric(1, 1, 0, 2**64 - 1, 1, 1.0),
    ],
)
def test_a_point_that_no_pllib_writes_is_passed_over_alone(wrong: Metric):
    points = link_points(frame(0, [*metrics([1.0]), wrong, *metrics([2.0], 7)]))
    assert points.n_points == 2
    assert memoryview(points.value).cast("d").tolist() == [1.0, 2.0]


def test_a_point_that_can_not_be_decoded_is_passed_over_alone():
    intact = frame(0, metrics([1.0, 2.0]))
    broken = encode(Metric(3, 1, 0, 3, 3, 3.0))[:-3]
    bodies = intact.payload + frame_of(LOG, 0, [broken]).payload
    after = frame(0, metrics([4.0], 4)).payload
    points = link_points(replace(intact, payload=bodies + after))
    assert memoryview(points.value).cast("d").tolist() == [1.0, 2.0, 4.0]


@pytest.mark.parametrize(
    "changes",
    [
        {"value": b"1234567"},
        {"step": b""},
        {"source": b"\0\0\0"},
        {"has_step": b"\1\1"},
        {"source": b"\1\0\0\0"},
        {"activity": b"\xff\xff\xff\xff"},
        {"activities": ["no identity, of the right length"]},
        {"sources": [linked.PointSource(b"short", "0" * 32, 0, "loss")]},
        {"sources": [linked.PointSource(LOG, "0" * 32, 1 << 31, "loss")]},
        {"frames": [(LOG, -1)]},
    ],
)
def test_columns_that_do_not_fit_together_are_refused(changes: dict):
    batch = link([(0, frame(0, metrics([1.0])))], JOURNAL, RUN)
    assert batch.points is not None
    wrong = replace(batch, points=replace(batch.points, **changes))
    with pytest.raises(msgspec.ValidationError):
        linked.decode_batch(linked.encode_batch(wrong))


@pytest.mark.parametrize("n_points", [1, 1000])
def test_a_series_is_one_entity_whatever_it_holds(n_points: int):
    """Points make no triple: as many lines for a thousand as for one."""
    summary = Summary(n_points, 0, n_points, 0, 1.0, 1.0, 1.0, 1.0, float(n_points))
    several = [
        frame(0, metrics([1.0] * n_points)),
        frame(1, metrics([1.0] * n_points, n_points), others=(summary,)),
    ]
    batch = link(list(enumerate(several)), JOURNAL, RUN)
    assert {(each.id, each.name) for each in batch.series} == {(batch.series[0].id, "loss")}
    assert len(set("".join(map_batch(batch)).splitlines())) == len(
        set("".join(map_batch(link(list(enumerate(SHORT)), JOURNAL, RUN))).splitlines())
    )


SHORT = [
    frame(0, metrics([1.0])),
    frame(1, metrics([1.0], 1), others=(Summary(1, 0, 1, 0, 1.0, 1.0, 1.0, 1.0, 1.0),)),
]


def test_the_unit_is_known_wherever_it_was_said():
    summary = Summary(3, 0, 1, 0, 1.0, 1.0, 1.0, 1.0, 1.0)
    batch = link(
        [(0, frame(0, [Metric(0, 1, 0, 0, 0, 1.0, "nats")], others=(summary,)))], JOURNAL, RUN
    )
    assert {each.unit for each in batch.series} == {"nats", None}
    assert len({each.id for each in batch.series}) == 1
    assert sum(each.summary is not None for each in batch.series) == 1


def test_a_frame_that_comes_twice_in_a_commit_is_written_once(tmp_path: Path):
    one, two = frame(0, metrics([1.0, 2.0])), frame(1, metrics([3.0], 2))
    file = write_points(tmp_path, RUN, [link_points(one, two), link_points(one)])
    assert file.n_points == 3
    assert sorted(row["value"] for row in rows(read_points(tmp_path / file.name))) == [1, 2, 3]
    assert read_ranges(tmp_path / file.name) == {LOG.hex(): [(0, 1)]}


FRAMES = st.sets(st.tuples(st.sampled_from([LOG, OTHER_LOG]), st.integers(0, 12)))


@given(st.lists(FRAMES, max_size=6))
def test_files_overlap_if_they_have_a_frame_in_common(files: list[set[tuple[bytes, int]]]):
    names = {str(nth): frames for nth, frames in enumerate(files)}
    expected = {
        name
        for name, frames in names.items()
        if any(frames & others for other, others in names.items() if other != name)
    }
    assert overlapping({name: ranges_of(frames) for name, frames in names.items()}) == expected


@given(st.lists(FRAMES, max_size=6))
def test_united_ranges_are_those_of_all_frames(files: list[set[tuple[bytes, int]]]):
    everything = {frame for frames in files for frame in frames}
    assert unite(ranges_of(frames) for frames in files) == ranges_of(everything)


def test_a_file_that_tells_no_frames_may_overlap_all():
    assert overlapping({"a": ranges_of([(LOG, 1)]), "b": None}) == {"a", "b"}


def compacted(folder: Path, names: set[str], superseded: set[str] = frozenset()) -> tuple:
    """Compact what there is once; return the compactor and what it committed."""
    commits: list[str] = []
    compactor = Compactor(folder, names, superseded, commits.append)
    thread = threading.Thread(target=compactor.run)
    thread.start()
    compactor.tidy()
    wait_until(lambda: compactor.n_done or compactor.trouble)
    compactor.stop()
    thread.join()
    return compactor, commits


def files_on_disk(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.glob("run=*/*")}


def test_compaction_makes_one_file_and_keeps_the_old_until_no_snapshot_needs_them(tmp_path: Path):
    """Two of the files have a frame in common, whose points are once in the new one."""
    written = [
        write_points(tmp_path, RUN, [link_points(frame(n, metrics([n * 1.0, math.nan], 2 * n)))])
        for n in (*range(FAN_IN), 3)
    ]
    names = {file.name for file in written}
    compactor, (commit,) = compacted(tmp_path, names)
    (new,) = files_on_disk(tmp_path) - names
    assert sorted(row["seq"] for row in rows(read_points(tmp_path / new))) == [*range(2 * FAN_IN)]
    assert read_ranges(tmp_path / new) == {LOG.hex(): [(0, FAN_IN - 1)]}
    assert commit.count("seriesFile") == 1
    assert f'seriesFile> "{new}"' in commit
    assert all(f'supersededFile> "{name}"' in commit for name in names)
    for _ in range(KEEP_SNAPSHOTS):
        assert files_on_disk(tmp_path) == {new, *names}
        compactor.snapshot_made(compactor.superseded())
    assert files_on_disk(tmp_path) == {new}


def test_what_an_earlier_process_superseded_goes_too(tmp_path: Path):
    old = write_points(tmp_path, RUN, [link_points(frame(0, metrics([1.0])))]).name
    compactor = Compactor(tmp_path, {old}, {old, "../../etc/passwd"}, print)
    assert compactor.superseded() == {old}
    for _ in range(KEEP_SNAPSHOTS):
        compactor.snapshot_made(compactor.superseded())
    assert files_on_disk(tmp_path) == set()


def test_a_file_that_can_not_be_read_stays_and_stops_nothing(tmp_path: Path):
    names = {
        write_points(tmp_path, RUN, [link_points(frame(n, metrics([1.0], n)))]).name
        for n in range(FAN_IN)
    }
    broken = tmp_path / min(names)
    data = bytearray(broken.read_bytes())
    data[4:40] = bytes(36)
    broken.write_bytes(data)
    compactor, commits = compacted(tmp_path, names)
    assert compactor.trouble
    assert commits == []
    assert files_on_disk(tmp_path) == names


def test_a_commit_that_fails_leaves_everything_as_it_was(tmp_path: Path):
    names = {
        write_points(tmp_path, RUN, [link_points(frame(n, metrics([1.0], n)))]).name
        for n in range(FAN_IN)
    }

    def fail(lines: str) -> None:
        raise OSError(28, "No space left on device")

    compactor = Compactor(tmp_path, names, set(), fail)
    thread = threading.Thread(target=compactor.run)
    thread.start()
    compactor.tidy()
    wait_until(lambda: compactor.trouble)
    compactor.stop()
    thread.join()
    assert "No space left" in compactor.trouble
    assert names <= files_on_disk(tmp_path)
    assert compactor.superseded() == frozenset()


def test_files_of_the_first_version_are_compacted_with_others(tmp_path: Path):
    """They had plain text in their columns, and told no frames."""
    new = write_points(tmp_path, RUN, [link_points(frame(0, metrics([1.0])))]).name
    table = read_points(tmp_path / new)
    fixed = table["log_id"].cast(pa.binary()).cast(pa.binary(16))
    plain = table.set_column(0, "log_id", fixed)
    for name in ("series", "activity", "name"):
        at = plain.column_names.index(name)
        plain = plain.set_column(at, name, plain[name].cast(pa.string()))
    names = {new}
    for n in range(FAN_IN):
        names.add(f"run={RUN}/{n:016x}.parquet")
        pq.write_table(plain, tmp_path / f"run={RUN}/{n:016x}.parquet")
    compacted(tmp_path, names)
    (made,) = files_on_disk(tmp_path) - names
    assert rows(read_points(tmp_path / made)) == rows(table)
    assert read_ranges(tmp_path / made) is None
