"""A disk that is full is an error of ours, said in one line, and never one of the user's."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

SCRIPT = str(Path(sys.executable).with_name("sprov"))


def has_namespaces() -> bool:
    command = [
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "mount",
        "-t",
        "tmpfs",
        "x",
        "/mnt",
    ]
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def on_small_disk(folder: Path, kib: int, program: str) -> subprocess.CompletedProcess[str]:
    """Run a shell program in a folder that is a tmpfs of `kib` KiB, in a mount namespace."""
    script = f"mount -t tmpfs -o size={kib}k small {folder} && cd {folder} && {program}"
    namespace = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script]
    environment = {**os.environ, "SPROV_DIR": str(folder / ".sprov")}
    return subprocess.run(
        namespace, env=environment, capture_output=True, text=True, timeout=100, check=False
    )


@pytest.fixture(autouse=True)
def namespaces() -> None:
    if not has_namespaces():
        if os.environ.get("CI"):
            pytest.fail("CI must be able to make a mount namespace")
        pytest.skip("no mount namespaces here (unshare --user --mount)")


def test_a_rank_whose_disk_is_full_goes_on_and_counts(tmp_path):
    """Growing stops at what the disk has; the block's own work is not disturbed."""
    program = textwrap.dedent(
        """
        import pllib
        with pllib.open(mode="offline") as session:
            for n in range(60000):
                with session.transformation("step", used={"n": n, "t": "x" * 100}) as step:
                    step.generated(m=n)
            lost = sum(session.lost.values())
            kept = sum(writer.n_records for writer in session._writers)
        print(lost, kept)
        """
    )
    (tmp_path / "work").mkdir()
    path = tmp_path / "program.py"
    path.write_text(program)
    done = on_small_disk(tmp_path / "work", 6000, f"{sys.executable} {path}")
    assert done.returncode == 0, done.stderr
    lost, kept = (int(word) for word in done.stdout.split())
    assert lost > 0
    assert kept > 1000
    assert lost + kept >= 60000
    assert "Traceback" not in done.stderr
    assert "spool full" in done.stderr


def test_no_space_for_a_spool_is_said_when_it_is_opened(tmp_path):
    program = "import pllib; pllib.open(mode='offline')"
    done = on_small_disk(tmp_path, 64, f'{sys.executable} -c "{program}"')
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert "SPROV_SPOOL_DIR" in last
    assert "No space left" in last


def test_ingest_on_a_full_disk_says_so_and_keeps_the_logs(tmp_path):
    (tmp_path / "work").mkdir()
    program = tmp_path / "steps.py"
    program.write_text(
        "import pllib\n"
        "with pllib.open(mode='offline', settings={'spool_dir': '/dev/shm'}) as session:\n"
        "    for n in range(8000):\n"
        "        with session.transformation('step', used={'n': n}) as step:\n"
        "            step.generated(m=n)\n"
    )
    steps = [
        f"{sys.executable} {program}",
        "ls .sprov/spool/*.log",
        "cat /dev/zero > filler",
        f"{SCRIPT} ingest",
        "echo status $?",
        "rm filler",
        f"{SCRIPT} ingest",
        f"{SCRIPT} query 'SELECT (COUNT(*) AS ?n) {{ ?a a provml:DataTransformationExecution }}'",
    ]
    done = on_small_disk(tmp_path / "work", 120_000, "; ".join(steps))
    assert "status 0" not in done.stdout
    assert "Traceback" not in done.stderr
    assert "8000" in done.stdout.split(), done.stdout + done.stderr
