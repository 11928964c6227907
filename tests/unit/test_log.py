"""The provenance log keeps every intact frame, whatever else happens to the file."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pllib.errors import LogCorruptError, LogVersionError, NotALogError
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
    record_bodies,
    seal_header,
    unpack_frame,
)
from pllib.records import Metric, decode, encode

OWNER = Owner("node1", "boot", 42, 1.5)
LOG = bytes(range(16))
bodies = st.lists(st.binary(min_size=1, max_size=200), max_size=8)


def write(path: Path, frames: list[Frame], codec: int = RAW) -> Path:
    writer = LogWriter(path, new_header(OWNER))
    writer.append([frame.pack(codec) for frame in frames])
    writer.sync()
    writer.close()
    return path


def read(path: Path) -> tuple[list[Frame], LogReader]:
    with LogReader(path) as reader:
        return [found.frame for found in reader.frames()], reader


@settings(max_examples=40, deadline=None)
@given(st.lists(bodies, max_size=6), st.sampled_from([RAW, ZLIB]))
def test_what_is_written_is_read(tmp_path_factory, lists, codec):
    """Any records come back, in order, from raw and from compressed frames."""
    path = tmp_path_factory.mktemp("log") / "a.log"
    frames = [frame_of(LOG, number, records) for number, records in enumerate(lists)]
    found, reader = read(write(path, frames, codec))
    assert found == frames
    assert [[bytes(b) for b in record_bodies(f.payload)] for f in found] == lists
    assert (reader.torn, reader.corrupt) == (0, [])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_flipped_byte_costs_one_frame(tmp_path_factory, data):
    """Whichever byte after the file header changes, every other frame is read, and it is said."""
    path = tmp_path_factory.mktemp("log") / "a.log"
    frames = [frame_of(LOG, number, [b"%d" % number * 9, b"x"]) for number in range(4)]
    raw = bytearray(write(path, frames).read_bytes())
    at = data.draw(st.integers(HEADER_BYTES, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(raw)
    found, reader = read(path)
    hit = (at - HEADER_BYTES) // len(frames[0].pack())
    assert found == [frame for frame in frames if frame.number != hit]
    assert len(reader.corrupt) + reader.torn == 1


@pytest.mark.parametrize("cut", [1, FRAME_BYTES - 1, FRAME_BYTES + 3])
def test_a_torn_tail_is_an_append_that_never_finished(tmp_path, cut):
    """What is before the tear is kept, and the tear is counted."""
    frames = [frame_of(LOG, number, [b"record"]) for number in range(2)]
    path = write(tmp_path / "a.log", frames)
    tail = frame_of(LOG, 2, [b"never"]).pack()[:cut]
    path.write_bytes(path.read_bytes() + tail)
    found, reader = read(path)
    assert (found, reader.torn, reader.corrupt) == (frames, 1, [])


def test_a_spool_gives_what_was_committed_but_not_sealed(tmp_path):
    """A killed rank's chunk is read up to its last committed record."""
    stride = 256
    frame = frame_of(LOG, 1, [b"kept", b"also"])
    open_chunk = open_header(LOG, 1) + frame.payload + struct.pack("<I", 0) + b"half written"
    sealed = frame_of(LOG, 0, [b"sealed"])
    path = tmp_path / "a.spool"
    path.write_bytes(
        pack_file_header(msgspec.structs.replace(new_header(OWNER, stride), log_id=LOG))
        + sealed.pack().ljust(stride, b"\0")
        + open_chunk.ljust(stride, b"\0")
        + bytes(stride)
    )
    found, _ = read(path)
    assert [(f.number, f.payload, f.sealed) for f in found] == [
        (0, sealed.payload, True),
        (1, frame.payload, False),
    ]
    with LogReader(path) as reader:
        assert [f.frame.number for f in reader.frames(unsealed=False)] == [0]


def test_other_files_are_refused_in_one_line(tmp_path):
    """Not a log, another format version, a broken header: each is told apart, with a hint."""
    path = write(tmp_path / "a.log", [])
    good = path.read_bytes()[:2048] + bytes(2048)  # as of a log without a copy of its header
    for change, error in (
        (b"PROVSLOG" + good[8:], NotALogError),
        (good[:8] + b"\x09\x00" + good[10:], LogVersionError),
        (good[:30] + b"\xff\xff" + good[32:], LogCorruptError),
        (good[:100], NotALogError),
    ):
        path.write_bytes(change)
        with pytest.raises(error) as raised:
            LogReader(path)
        assert "\n" not in str(raised.value)
        assert raised.value.hint
        assert raised.value.exit_code == 3


@pytest.mark.parametrize("at", [0, 8, 12, 20, 40, 60, 2047, 2048, 2060, 4095])
def test_a_damaged_file_header_costs_nothing_for_there_is_a_copy(tmp_path, at):
    frames = [frame_of(LOG, number, [b"record"]) for number in range(3)]
    path = write(tmp_path / "a.log", frames)
    with LogReader(path) as reader:
        header = reader.header
    data = bytearray(path.read_bytes())
    data[at] ^= 0x55
    path.write_bytes(data)
    found, reader = read(path)
    assert (found, reader.header, reader.lost) == (frames, header, [])
    (damage,) = reader.corrupt
    assert damage.offset == (0 if at < 100 else 2047 + 2048 if at == 2047 else at)


def test_a_frame_that_unpacks_to_more_than_it_says_is_refused():
    """And costs no more memory than it says."""
    bomb = zlib.compress(bytes(64 << 20), 9)
    frame = Frame(LOG, 0, 1, bytes(1000))
    tracemalloc.start()
    with pytest.raises(LogCorruptError, match="not of 1000 bytes"):
        unpack_frame(seal_header(frame, bomb, ZLIB) + bomb)
    assert tracemalloc.get_traced_memory()[1] < 4 * len(bomb)
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [(4, 7, "codec"), (12, 1 << 30, "number of records"), (16, 3, "bytes stored"),
     (16, 1 << 31, "impossible length")],
)  # fmt: skip
def test_a_header_that_can_t_be_is_refused_whatever_its_checksum(field, value, says):
    packed = bytearray(frame_of(LOG, 0, [b"x"]).pack())
    packed[field : field + 2 if field == 4 else field + 4] = value.to_bytes(
        2 if field == 4 else 4, "little"
    )
    packed[20:24] = bytes(4)
    packed[20:24] = zlib.crc32(packed).to_bytes(4, "little")
    with pytest.raises(LogCorruptError, match=says):
        unpack_frame(packed)


def test_a_log_made_up_to_mislead_the_scan_is_read_in_bounded_memory(tmp_path):
    """Every 48 bytes claim to be a frame of 16 MiB; an intact one at the end is found."""
    claims = struct.pack("<4sHHIIIIQ16s", b"SPFR", 0, 0, 8 << 20, 0, 8 << 20, 7, 0, LOG)
    last = frame_of(LOG, 1, [b"found"])
    path = write(tmp_path / "a.log", [])
    path.write_bytes(path.read_bytes() + b"damage" + claims * ((8 << 20) // 48) + last.pack())
    tracemalloc.start()
    found, reader = read(path)
    assert tracemalloc.get_traced_memory()[1] < 40 << 20
    tracemalloc.stop()
    assert (found, len(reader.corrupt)) == ([last], 1)


def test_a_frame_of_impossible_length_is_refused():
    """A length that no frame has is not believed, nor allocated."""
    packed = bytearray(frame_of(LOG, 0, [b"x"]).pack())
    packed[8:12] = b"\xff\xff\xff\x7f"
    with pytest.raises(LogCorruptError, match="impossible length"):
        unpack_frame(packed)


def test_a_record_of_a_newer_rank_decodes():
    """Fields that a newer version appends are ignored; those an older one lacks have defaults."""
    point = Metric(seq=3, activity=1, signature=0, step=None, at_ns=9, value=0.5)
    fields = msgspec.msgpack.decode(encode(point))
    assert decode(msgspec.msgpack.encode([*fields, "from the future"])) == point
    assert decode(msgspec.msgpack.encode(fields[:-1])) == point
