"""Only regular files are read: a FIFO, a socket or a device hangs nobody and is not disturbed."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from harness import TIMEOUT_S, wait_until

import pllib
from pllib import linked
from pllib.contents import FileChangedError, digest_of
from pllib.data import Directory, File, version_of
from pllib.log import LogReader
from pllib.records import Described, FileVersion
from pllib.regular import open_regular, read_regular
from tracker.digests import examine

WRITER = "import sys; print('ready', flush=True); open(sys.argv[1], 'w').write('whole')"
ENDLESS = "/dev/zero"


@pytest.fixture
def others(tmp_path: Path) -> dict[str, Path]:
    """What is no regular file, by kind."""
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "socket"))
    (tmp_path / "device").symlink_to(ENDLESS)
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    return {
        "a FIFO": tmp_path / "pipe",
        "a socket": tmp_path / "socket",
        "a character device": tmp_path / "device",
        "a directory": tmp_path,
    }


def examined(file: FileVersion) -> str | None:
    """Return the digest that the tracker and `sprov ingest` compute; None for "overwritten"."""
    asked = linked.File(
        "id", file.kind, file.store, file.path, file.size, file.mtime_ns, file.version
    )
    found = examine(asked, 1 << 30)
    assert found is not None
    return found.digest


def test_only_a_regular_file_is_opened(others: dict[str, Path], tmp_path: Path):
    for kind, path in others.items():
        with pytest.raises(OSError, match=f"{kind}, not a regular file"):
            open_regular(path)
    with pytest.raises(OSError, match="a FIFO, not"):
        LogReader(tmp_path / "link")
    (tmp_path / "plain").write_bytes(b"x" * 10)
    assert [len(read_regular(tmp_path / "plain", most)) for most in (0, 4, 10, 99)] == [
        0,
        4,
        10,
        10,
    ]


def test_a_file_that_is_none_has_no_version_and_says_what_it_is(others: dict[str, Path]):
    for kind, path in others.items():
        for file in (pllib.File(path), pllib.Model(path)):
            found = version_of(file)
            if kind == "a directory" and file.kind == "model":
                continue
            assert isinstance(found, Described)
            assert kind in found.reason


def test_the_writer_of_a_fifo_is_not_disturbed(others: dict[str, Path]):
    pipe = str(others["a FIFO"])
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, pipe], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        stat = Path(f"/proc/{writer.pid}/stat")
        wait_until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "S")
        for _ in range(100):
            version_of(File(pipe))
        assert Path(pipe).read_text() == "whole"
        assert writer.wait(TIMEOUT_S) == 0


def test_a_directory_with_all_kinds_in_it_is_digested_without_reading_them(
    others: dict[str, Path], tmp_path: Path
):
    (tmp_path / "plain").write_bytes(b"x" * 5000)
    (tmp_path / "nowhere").symlink_to("missing")
    found = version_of(Directory(tmp_path))
    assert isinstance(found, FileVersion)
    with_all = examined(found)
    others["a FIFO"].unlink()
    (tmp_path / "pipe").symlink_to("missing")
    changed = version_of(Directory(tmp_path))
    assert isinstance(changed, FileVersion)
    assert with_all != examined(changed) != ""


def test_no_more_is_read_than_was_recorded(tmp_path: Path):
    plain = tmp_path / "plain"
    plain.write_bytes(b"x" * 5000)
    n_read: list[int] = []
    digest_of(str(plain), 5000, is_directory=False, progress=n_read.append)
    assert sum(n_read) == 5000
    for path in (plain, tmp_path):
        with pytest.raises(FileChangedError):
            digest_of(str(path), 4999, is_directory=path == tmp_path)
