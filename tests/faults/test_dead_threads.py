"""A daemon whose thread stops on an error ends, and says which: it would go on without a use."""

from __future__ import annotations

import subprocess
import sys

import pytest
from harness import Site, wait_until

FAULT = """
import sys
import {module}

def fail(*_, **__):
    raise ValueError("a fault of this test")

{module}.{name} = fail
from sprov.cli import main
sys.argv[0] = {script!r}
main()
"""


def start(site: Site, module: str, name: str, daemon: str) -> subprocess.Popen[str]:
    """Start a daemon of which one function fails."""
    program = FAULT.format(module=module, name=name, script=site.script)
    process = subprocess.Popen(
        [sys.executable, "-c", program, daemon, "serve"], cwd=site.folder, text=True,
        env=site.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    site.started.append(process)
    return process


@pytest.mark.parametrize(
    ("module", "name", "thread"),
    [
        ("tracker.handover", "Handover.watermarks", "linker"),
        ("tracker.journal", "Journal.seal_next", "sealer"),
        ("tracker.digester", "Digester._next", "digester"),
    ],
)
def test_a_tracker_ends_with_its_thread(site: Site, module: str, name: str, thread: str):
    process = start(site, module, name, "tracker")
    _, errors = process.communicate(timeout=site.timeout_s)

    assert process.returncode == 4, errors
    assert f"the tracker stopped, {thread}: ValueError: a fault of this test" in errors
    assert "Traceback" not in errors
    assert site.endpoint.tracker == ""


def test_a_manager_ends_with_its_writer_and_another_takes_what_it_lacks(site: Site):
    site.run("training.py")
    process = start(site, "manager.writer", "map_batch", "manager")
    wait_until(lambda: (site.project.endpoints / "local.json").exists() and site.endpoint.manager)
    tracker = subprocess.Popen(
        site.command("tracker", "serve"), cwd=site.folder, env=site.environment()
    )
    try:
        wait_until(lambda: site.endpoint.tracker)
        site.sprov("ingest")
        _, errors = process.communicate(timeout=site.timeout_s)

        assert process.returncode == 4, errors
        assert "the manager stopped: ValueError: a fault of this test" in errors
        assert "Traceback" not in errors
        another = subprocess.Popen(
            site.command("manager", "serve"), cwd=site.folder, env=site.environment()
        )
        try:
            wait_until(lambda: site.endpoint.manager)
            assert site.count("?run a provml:LearningExperimentExecution") == 1
            site.verify()
        finally:
            another.terminate()
            another.wait(site.timeout_s)
    finally:
        tracker.terminate()
        tracker.wait(site.timeout_s)
