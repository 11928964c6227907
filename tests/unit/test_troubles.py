"""What a tracker's threads say is wrong is said no more once it is over."""

from __future__ import annotations

import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from harness import wait_until

from pllib import linked
from pllib.data import File, version_of
from pllib.project import Project
from pllib.records import FileVersion
from tracker import processes
from tracker.digester import Digester
from tracker.digests import MIN_CONTENT_BYTES
from tracker.journal import Journal
from tracker.processes import ProcessWatch


@contextmanager
def running(run: Callable[[], None], stop: Callable[[], None]) -> Iterator[None]:
    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop()
        thread.join()


def test_digests_are_journalled_once_the_disk_takes_them(tmp_path: Path):
    file = tmp_path / "data"
    file.write_bytes(bytes(MIN_CONTENT_BYTES))
    found = version_of(File(file))
    assert isinstance(found, FileVersion)
    version = linked.File("", "file", found.store, str(file), found.size, found.mtime_ns)
    journal = Journal(tmp_path / "journal")
    digester = Digester(journal, 1 << 20)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with running(digester.run, digester.stop):
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
        try:
            digester.offer([version])
            wait_until(lambda: "not journalled" in digester.trouble)
            assert (digester.n_digested, digester.n_unfinished) == (0, 1)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        wait_until(lambda: digester.n_digested)
        assert digester.trouble == ""
    journal.close()


def test_a_mistake_in_the_settings_is_no_trouble_once_it_is_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(processes, "SCAN_S", 0.0)
    monkeypatch.setattr(processes, "LOOK_MS", 10)
    project = Project(tmp_path / ".sprov").create()
    project.config.write_text("[redaction")
    watch = ProcessWatch(project, project.endpoint("local"), {})
    with running(watch.run, watch.stop):
        wait_until(lambda: watch.trouble)
        project.config.unlink()
        wait_until(lambda: not watch.trouble)
