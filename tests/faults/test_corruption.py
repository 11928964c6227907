"""A flipped byte is found, said where, and costs its frame alone; what can be is made again."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from harness import TRANSFORMATIONS, Site

from pllib.log import (
    FRAME_BYTES,
    HEADER_BYTES,
    RAW,
    ZLIB,
    Frame,
    LogReader,
    LogWriter,
    Owner,
    frame_of,
    new_header,
    open_header,
    pack_file_header,
)
from pllib.records import Ended, Transformation, encode

LOG = bytes(range(16))
STRIDE = 512
STEPS = 2000
OWNER = Owner("node1", "boot", 42, 1.5, "run", "4242", "project")


def some_frames() -> list[Frame]:
    """Frames of several sizes, whose lengths are each a flipped bit away from another's end."""
    return [
        frame_of(LOG, number, [encode(Ended(n, n, n)) for n in range(size)])
        for number, size in enumerate((3, 1, 9, 1, 1, 5, 2))
    ]


def packed_log(path: Path, codec: int) -> list[tuple[int, int]]:
    """Write a packed log; return where its frames begin and end."""
    writer = LogWriter(path, new_header(OWNER))
    spans = []
    for frame in some_frames():
        at = writer.size
        writer.append([frame.pack(codec)])
        spans.append((at, writer.size))
    writer.close()
    return spans


def spool_log(path: Path) -> list[tuple[int, int]]:
    """Write what a spool looks like: a frame a chunk, one of them free, the last one not sealed."""
    data = pack_file_header(msgspec.structs.replace(new_header(OWNER, STRIDE), log_id=LOG))
    spans = []
    *sealed, unsealed = some_frames()
    for frame in sealed:
        packed = frame.pack()
        spans.append((len(data), len(data) + len(packed)))
        data += packed.ljust(STRIDE, b"\0")
    data += bytes(STRIDE)
    data += (open_header(LOG, unsealed.number) + unsealed.payload).ljust(STRIDE, b"\0")
    path.write_bytes(data)
    return spans


def flipped(path: Path, every: int = 1) -> Iterator[int]:
    """Flip each byte of a file in turn, one bit or more of it; yield where, and put it right."""
    draw = random.Random(5)
    whole = path.read_bytes()
    with path.open("r+b", buffering=0) as file:
        for at in range(0, len(whole), every):
            file.seek(at)
            file.write(bytes([whole[at] ^ draw.choice((1, 2, 16, 128, draw.randint(1, 255)))]))
            yield at
            file.seek(at)
            file.write(whole[at : at + 1])


def check_flip(path: Path, at: int, spans: list[tuple[int, int]], numbers: list[int]) -> None:
    """Assert that a byte flipped at `at` is noted, and costs only the frame that it is in."""
    hit = next((nth for nth, (start, end) in enumerate(spans) if start <= at < end), None)
    with LogReader(path) as reader:
        found = [located.frame for located in reader.frames()]
    intact = [frame for frame in found if frame.sealed]
    assert [frame.number for frame in intact] == [n for n in numbers if n != hit], at
    assert intact == [
        frame for frame in some_frames() if frame.number in numbers and frame.number != hit
    ]
    if hit is not None:
        assert [exc.offset for exc in reader.corrupt] == [spans[hit][0]], at
    elif at < HEADER_BYTES:
        (said,) = reader.corrupt
        assert said.offset in (0, at, at + HEADER_BYTES // 2), at
        assert reader.header.owner == OWNER
    assert reader.torn == 0


@pytest.mark.parametrize("codec", [RAW, ZLIB])
def test_every_byte_of_a_packed_log(tmp_path: Path, codec: int) -> None:
    path = tmp_path / "a.log"
    spans = packed_log(path, codec)
    numbers = list(range(len(spans)))
    for at in flipped(path):
        check_flip(path, at, spans, numbers)


def test_every_byte_of_a_spool(tmp_path: Path) -> None:
    """Between frames nothing is noted; a frame that nobody sealed has no checksum to fail."""
    path = tmp_path / "a.spool"
    spans = spool_log(path)
    numbers = list(range(len(spans)))
    unsealed = path.stat().st_size - STRIDE
    for at in flipped(path):
        free = unsealed - STRIDE <= at < unsealed - STRIDE + FRAME_BYTES
        if free or at >= unsealed:
            with LogReader(path) as reader:
                kept = [located.frame.number for located in reader.frames() if located.frame.sealed]
            assert kept == numbers, at
            assert len(reader.corrupt) == 1 or at >= unsealed, at
        else:
            check_flip(path, at, spans, numbers)


def test_several_damaged_frames_side_by_side_and_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    spans = packed_log(path, RAW)
    whole = path.read_bytes()
    draw = random.Random(6)
    for _ in range(300):
        data = bytearray(whole)
        hit = sorted(draw.sample(range(len(spans)), draw.randint(2, 4)))
        for nth in hit:
            data[draw.randrange(*spans[nth])] ^= draw.randint(1, 255)
        path.write_bytes(data)
        with LogReader(path) as reader:
            found = [located.frame.number for located in reader.frames()]
        assert found == [n for n in range(len(spans)) if n not in hit]
        starts = {spans[nth][0] for nth in hit}
        assert {exc.offset for exc in reader.corrupt} <= starts
        assert reader.corrupt or reader.torn


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose store has two runs, one with points, from one journal."""
    site = Site(tmp_path_factory.mktemp("prepared"))
    site.run("steps.py", str(STEPS))
    site.run("points.py", str(STEPS))
    site.sprov("ingest")
    site.verify()
    return site.folder


@pytest.fixture
def stored(tmp_path: Path, prepared: Path) -> Site:
    shutil.copytree(prepared, tmp_path, symlinks=True, copy_function=_link, dirs_exist_ok=True)
    return Site(tmp_path)


def _link(source: str, target: str) -> None:
    """Copy, and keep table files of store and snapshot one file as they are."""
    made = Path(target)
    twin = made.parents[2] / "store" / made.name
    if "snapshots" in made.parts and made.suffix == ".sst" and twin.exists():
        made.hardlink_to(twin)
    else:
        shutil.copy2(source, target)


def problems(site: Site) -> str:
    """Return what `sprov verify` finds; it must find something."""
    found = json.loads(_verify(site))
    assert not found["agree"]
    return "\n".join(found["problems"])


def _verify(site: Site) -> str:
    done = subprocess.run(
        site.command("verify", "--format", "json"), cwd=site.folder, env=site.environment(),
        text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 0x20]))


def test_a_journal_with_a_flipped_byte_costs_that_frame_alone(stored: Site) -> None:
    """It is said where; the store has what the journal has lost until it is made again."""
    (path,) = stored.project.journal.glob("*/*.log")
    with LogReader(path) as reader:
        held = {
            each.offset: sum(isinstance(record, Transformation) for record in each.frame.records())
            for each in reader.frames()
        }
    at = max(held, key=lambda offset: held[offset])
    flip(path, at + FRAME_BYTES + 100)
    assert f"{path}: bad frame at byte {at}" in problems(stored)
    stored.run("steps.py", "10")
    stored.sprov("ingest")
    assert stored.count(TRANSFORMATIONS) == STEPS + 10
    stored.sprov("rebuild")
    assert held[at] > 0
    assert stored.count(TRANSFORMATIONS) == STEPS + 10 - held[at]


def tables(site: Site) -> list[Path]:
    return sorted(
        site.project.snapshots.glob("current/*.sst"), key=lambda path: path.stat().st_size
    )


def in_tables(site: Site) -> None:
    """In the middle of each table file, which is the store's too, by a hard link."""
    for path in tables(site):
        flip(path, path.stat().st_size // 2)


def table_gone(site: Site) -> None:
    tables(site)[-1].unlink()


def table_torn(site: Site) -> None:
    path = tables(site)[-1]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def in_manifest(site: Site) -> None:
    for folder in (site.project.store, site.project.snapshots / "current"):
        for path in folder.glob("MANIFEST-*"):
            flip(path, path.stat().st_size // 2)


def points_file(site: Site) -> Path:
    (path,) = site.project.series.glob("run=*/*.parquet")
    return path


def points_gone(site: Site) -> None:
    points_file(site).unlink()


def points_flipped(site: Site) -> None:
    path = points_file(site)
    flip(path, path.stat().st_size // 2)


def points_torn(site: Site) -> None:
    path = points_file(site)
    path.write_bytes(path.read_bytes()[:-20])


DAMAGE: list[Callable[[Site], None]] = [
    in_tables, table_gone, table_torn, in_manifest, points_gone, points_flipped, points_torn,
]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_a_store_that_is_not_what_its_logs_say_is_found_and_made_right(
    stored: Site, damage: Callable[[Site], None]
) -> None:
    damage(stored)
    assert problems(stored)
    stored.sprov("rebuild")
    assert stored.verify()["points"] == 2 * STEPS
