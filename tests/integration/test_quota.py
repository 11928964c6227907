"""A project whose quota is used up: nothing more is journalled, and nothing is lost."""

from __future__ import annotations

import errno
import json
import subprocess
from pathlib import Path

import pytest
from harness import TRANSFORMATIONS, Site, wait_until

from manager.metrics import render
from tracker.quota import Quota, project_bytes


def set_quota(site: Site, n_bytes: int) -> None:
    (site.project.root / "config.toml").write_text(f"[serve]\nquota_bytes = {n_bytes}\n")


def test_ranks_keep_what_is_beyond_a_quota_until_there_is_room(site: Site):
    set_quota(site, 1)
    site.serve()
    site.run("steps.py", "40", SPROV_CLOSE_TIMEOUT_S="1")
    found = json.loads(site.sprov("status", "--format", "json"))
    status = found["tracker"]
    assert found["waiting_logs"] == 1
    assert (status["frames"], status["quota_bytes"]) == (0, 1)
    assert status["refused_by"]["quota"] >= 1
    assert status["project_bytes"] > 1
    assert "quota of 1 bytes is used up" in status["trouble"]
    metrics = render({}, status, "").splitlines()
    assert "sprov_tracker_quota_bytes 1" in metrics
    n_refused = status["refused_by"]["quota"]
    assert f'sprov_tracker_refused_total{{reason="quota"}} {n_refused}' in metrics
    assert "quota of 1 bytes is used up" in site.sprov("ingest", status=4)
    site.stop()
    said = site.sprov("ingest", status=4)
    assert len(said.splitlines()) == 1
    assert "quota of 1 bytes is used up" in said
    assert "What waits stays where it is" in said
    set_quota(site, 1 << 40)
    site.sprov("ingest")
    assert site.count(TRANSFORMATIONS) == 40
    assert site.verify()["lost"] == 0


def test_what_is_journalled_counts_before_it_is_measured_again(tmp_path: Path):
    (tmp_path / "journal").write_bytes(bytes(100_000))
    used = project_bytes(tmp_path)
    quota = Quota(tmp_path, used + 1000)
    quota.measure()
    quota.check()
    quota.add(999)
    quota.check()
    quota.add(1)
    with pytest.raises(OSError, match="gc") as raised:
        quota.check()
    assert raised.value.errno == errno.EDQUOT


def test_what_was_freed_is_there_after_the_next_measurement(tmp_path: Path, monkeypatch):
    for name in ("EVERY_S", "REST"):
        monkeypatch.setattr(f"tracker.quota.{name}", 0)
    (tmp_path / "old").write_bytes(bytes(100_000))
    quota = Quota(tmp_path, 50_000)
    quota.measure()
    with pytest.raises(OSError, match="quota"):
        quota.check()
    (tmp_path / "old").unlink()
    wait_until(lambda: quota.measure() or quota.used_bytes == 0)
    quota.check()


def test_a_project_is_as_large_as_du_says(tmp_path: Path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store/a").write_bytes(bytes(300_000))
    (tmp_path / "snapshot").hardlink_to(tmp_path / "store/a")
    (tmp_path / "link").symlink_to("/usr")
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 30)
    done = subprocess.run(["du", "-sk", tmp_path], capture_output=True, text=True, check=True)
    folders = 2 * 4096  # which du counts, and we do not: they are as good as nothing
    assert abs(int(done.stdout.split()[0]) * 1024 - project_bytes(tmp_path)) <= 2 * folders


def test_without_a_quota_nothing_is_measured(tmp_path: Path):
    quota = Quota(tmp_path / "none", 0)
    quota.measure()
    quota.add(1 << 40)
    quota.check()
    assert quota.status() == {}
