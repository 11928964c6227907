"""A flipped byte in any table file of a store is found, whichever index or text it is in."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from figures import figure
from harness import Site

N_STEPS = 3000


def verify(site: Site) -> tuple[int, list[str]]:
    done = subprocess.run(
        site.command("verify", "--tables", "--format", "json"), cwd=site.folder,
        env=site.environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done.returncode, list(json.loads(done.stdout)["problems"])


@pytest.mark.timeout(1800)
def test_each_table_file_in_turn(site: Site) -> None:
    site.run("steps.py", str(N_STEPS))
    site.sprov("ingest")
    assert verify(site) == (0, [])
    current = (site.project.snapshots / "current").resolve()
    tables = sorted(current.glob("*.sst"))
    assert len(tables) > 4
    for path in tables:
        whole = path.read_bytes()
        _flip(path, len(whole) // 2)
        status, problems = verify(site)
        assert status == 1, path
        assert len(problems) >= 1, path
        path.write_bytes(whole)
    assert verify(site) == (0, [])
    figure("tables", f"a flipped byte in each of {len(tables)} table files: {len(tables)} found")


def _flip(path: Path, at: int) -> None:
    """Flip a byte of a copy: what the snapshot has is the store's too, by a hard link."""
    copy = path.with_suffix(".copy")
    shutil.copy2(path, copy)
    with copy.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 0x20]))
    copy.replace(path)
