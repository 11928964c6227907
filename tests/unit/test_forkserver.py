"""Commands that the tests fork are those that users start."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import harness
import pytest
from harness import SCRIPT, TIMEOUT_S, Site, lack


@pytest.fixture
def warm() -> harness.ForkServer:
    if harness.warm is None:
        lack("SPROV_TEST_COLD is set")
    return harness.warm


def cold(site: Site, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPT, *arguments], cwd=site.folder, env=site.environment(**extra), text=True,
        stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("command", [["runs"], ["log", "no such"], ["init"], ["query", "--help"]])
def test_a_command_does_what_it_does_alone(
    site: Site, warm: harness.ForkServer, command: list[str]
):
    ours = warm.run([SCRIPT, *command], site.folder, site.environment(), TIMEOUT_S)
    alone = cold(site, *command)
    assert (ours.returncode, ours.stdout, ours.stderr) == (
        alone.returncode, alone.stdout, alone.stderr
    )  # fmt: skip


def test_several_at_once_each_have_their_own_answer(warm: harness.ForkServer, tmp_path: Path):
    def declare(nth: int) -> str:
        command = [SCRIPT, "declare", "--check", f"plan-{nth}.yaml"]
        return warm.run(command, tmp_path, {}, TIMEOUT_S).stderr

    with ThreadPoolExecutor(4) as pool:
        said = list(pool.map(declare, range(4)))
    assert all(f"plan-{nth}.yaml" in line for nth, line in enumerate(said))


def test_what_an_interpreter_reads_when_it_starts_is_not_forked(warm: harness.ForkServer):
    here = {**warm.environment}
    assert warm.takes([SCRIPT, "runs"], here)
    assert not warm.takes([SCRIPT, "runs"], {**here, "PYTHONPATH": "elsewhere"})
    assert not warm.takes([SCRIPT, "runs"], {**here, "LD_PRELOAD": "shim.so"})
    assert not warm.takes([SCRIPT, "serve"], here)
    assert not warm.takes(["ssh", "node1", SCRIPT, "runs"], here)
