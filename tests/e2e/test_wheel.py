"""The wheel, installed without extras in an environment of its own, outside the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from harness import TIMEOUT_S

ROOT = Path(__file__).parents[2]


def run(command: list[str], cwd: Path, status: int = 0) -> str:
    done = subprocess.run(
        command, cwd=cwd, env=dict(os.environ), capture_output=True, text=True, timeout=TIMEOUT_S
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), "."], ROOT)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_the_rooms_and_no_tests(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    rooms = {name.partition("/")[0] for name in names if ".dist-info" not in name}
    assert rooms == {"pllib", "tracker", "manager", "query", "slurm", "sprov"}
    assert "pllib/py.typed" in names
    kinds = ("py", "ttl", "rq", "sparql", "sql")
    sources = {
        str(path.relative_to(ROOT))
        for room in rooms
        for kind in kinds
        for path in ROOT.glob(f"{room}/**/*.{kind}")
    }
    assert sources <= set(names)


def test_a_rank_captures_with_the_wheel_alone(wheel, tmp_path):
    """No extra: capture, init, status and log work; what needs more says what to install."""
    run([sys.executable, "-m", "venv", "env"], tmp_path)
    python, sprov = str(tmp_path / "env/bin/python"), str(tmp_path / "env/bin/sprov")
    run([python, "-m", "pip", "install", "-q", str(wheel)], tmp_path)
    run([sprov, "init"], tmp_path)
    program = """
import pllib
with pllib.open(study="alone") as session:
    with session.transformation("step", used={"n": 1}) as step:
        step.generated(m=2)
"""
    run([python, "-c", program], tmp_path)
    assert " 4 records" in run([sprov, "log", "ls"], tmp_path)
    assert "sprov ingest" in run([sprov, "status"], tmp_path)
    for command in ("runs", "ingest", "serve", "demo"):
        assert "pip install 'sprov[" in run([sprov, command], tmp_path, status=1)
